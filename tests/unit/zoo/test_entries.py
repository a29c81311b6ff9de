"""The entries of the zoo: their schema, the packaged ones, and where each number comes from."""

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from unifmir.checkpoint.detect import detect
from unifmir.checkpoint.inspection import inspect_file, parameter_count
from unifmir.checkpoint.saving import save
from unifmir.errors import ZooError
from unifmir.export.credit import Credit, Person
from unifmir.hashing import sha256_of
from unifmir.model import build
from unifmir.tasks import TASKS
from unifmir.tasks.base import Normalization
from unifmir.training.configuration import preset_names, preset_path, read_config
from unifmir.training.training_record import SUFFIX, TrainingRecord, read_training_record
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.adding import give_file
from unifmir.zoo.catalogue.entry_credit import completed_credit
from unifmir.zoo.catalogue.index import entries, find
from unifmir.zoo.catalogue.refresh import refreshed
from unifmir.zoo.catalogue.schema import (
    MULTITASK,
    Normalisation,
    ZooEntry,
    entry_text,
    parse_entry,
    schema_text,
)

OFFICIAL = {
    "unifmir-sr-ccps": ("sr", None),
    "unifmir-sr-er": ("sr", None),
    "unifmir-sr-microtubules": ("sr", 8420081),
    "unifmir-sr-f-actin": ("sr", 8420100),
    "unifmir-denoise-planaria": ("denoise", 10579778),
    "unifmir-denoise-tribolium": ("denoise", 10579822),
    "unifmir-isotropic-liver": ("isotropic", 10595460),
    "unifmir-projection-flywing": ("projection", 10577218),
    "unifmir-volume-vcd": ("volume", 10595428),
}
"""Task and Zenodo record of the nine official models (Ma et al. 2024, references 57 to 63)."""
LAYOUTS = {
    **dict.fromkeys((name for name, (task, _) in OFFICIAL.items() if task == "sr"), "sr"),
    "unifmir-denoise-planaria": "denoise1",
    "unifmir-denoise-tribolium": "denoise5",
    "unifmir-isotropic-liver": "denoise1",
    "unifmir-projection-flywing": "projection",
    "unifmir-volume-vcd": "volume",
}
"""Keys of each official file, in tests/golden/state_dicts."""
COUNTED = {
    "sr": 1_564_973,
    "denoise1": 1_527_981,
    "denoise5": 1_531_221,
    "projection": 78_654_258 - 4,
    "volume": 20_689_400,
}
"""Parameters as counted in the official files (facts/reference_models.md, section 6.1), without the
four of `sub_mean` and `add_mean`, which no network reads."""
CONFIRMED = {
    # Title, journal, pages: reference 5 of Ma et al. 2024. DOI: the publisher's page of that title.
    "10.1038/s41592-020-01048-5": "Qiao, C. et al. Evaluation and development of deep neural "
    "networks for image super-resolution in optical microscopy. Nature Methods 18, 194-202 (2021).",
    # Reference 8 of Ma et al. 2024. DOI: the README of VCD-Net's authors.
    "10.1038/s41592-021-01058-x": "Wang, Z. et al. Real-time volumetric reconstruction of "
    "biological dynamics with light-field microscopy and deep learning. Nature Methods 18, 551-556 "
    "(2021).",
    # Reference 55 of Ma et al. 2024, DOI included.
    "10.5281/zenodo.8401470": "Ma, C., Tan, W., He, R. & Yan, B. UniFMIR: pre-training a "
    "foundation model for universal fluorescence microscopy image restoration (2023.10.03). "
    "Zenodo (2023).",
}
"""Works that official entries cite, each with where title and DOI are confirmed."""
STATE_DICTS = Path(__file__).parents[2] / "golden" / "state_dicts"
WEIGHTS = directories.packaged("weights", f"{EMBEDDED}.safetensors")
EVALUATION = WEIGHTS.with_suffix(".evaluation.json")


@pytest.fixture(autouse=True)
def _no_user_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(directories.CACHE_VARIABLE, str(tmp_path / "cache"))


def changed(**values: object) -> str:
    """The text of a packaged entry with other values."""
    document = find("unifmir-sr-er").model_dump(mode="json")
    return json.dumps({**document, **values})


def test_the_frozen_schema_is_the_models():
    assert directories.packaged("schema", "v1.json").read_text("utf-8") == schema_text()


def test_the_nine_official_models_and_the_embedded_one_are_there():
    assert set(entries()) == {*OFFICIAL, EMBEDDED}


@pytest.mark.parametrize("name", sorted([*OFFICIAL, EMBEDDED]))
def test_a_packaged_entry_is_written_as_the_schema_writes_it(name):
    path = directories.packaged("entries", f"{name}.json")
    assert path.read_text("utf-8") == entry_text(find(name))


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_entry_names_its_record_and_invents_no_hash(name):
    entry, (task, record) = find(name), OFFICIAL[name]
    assert entry.task == task
    assert (entry.source.sha256, entry.source.size_bytes) == (None, None)
    assert entry.source.note
    if record is None:
        assert (entry.source.kind, entry.licence) == ("file", None)
        assert "authors must be asked" in str(entry.licence_note)
        assert f"unifmir zoo add --from {name}" in entry.notes
    else:
        assert entry.source.kind == "zenodo"
        assert (entry.source.record, entry.source.doi) == (record, f"10.5281/zenodo.{record}")
        assert entry.licence == "CC-BY-4.0"
        assert "BioImage.IO" in str(entry.licence_note)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_configuration_is_that_of_the_official_files_keys(name):
    entry = find(name)
    official = json.loads((STATE_DICTS / f"{LAYOUTS[name]}.json").read_text("utf-8"))
    shapes = {key: tuple(shape) for key, (_, shape) in official.items()}
    assert entry.config == detect(shapes, task=entry.task)
    assert entry.parameters == parameter_count(entry.config)
    assert entry.parameters == COUNTED[LAYOUTS[name]]


def test_a_small_networks_file_is_not_an_official_models(tiny_single, tmp_path):
    save(tiny_single("sr"), tmp_path / "small.safetensors")
    with pytest.raises(ZooError, match=r"body\.embed_dim is 24, the entry says 90"):
        give_file("unifmir-sr-er", tmp_path / "small.safetensors")


def test_every_cited_work_is_one_that_was_looked_up():
    stated = [find(name).package for name in OFFICIAL]
    cited = {(one.doi, one.text) for part in stated if part for one in part.cite}
    assert cited == set(CONFIRMED.items())


def test_the_papers_reference_of_the_data_is_cited_word_for_word(shared_dir):
    (paper,) = (shared_dir / "paper").glob("002_*.txt")
    text = paper.read_text("utf-8").replace("*", "")
    title = CONFIRMED["10.5281/zenodo.8401470"].removesuffix(" Zenodo (2023).")
    assert f"{title} Zenodo <https://doi.org/10.5281/zenodo.8401470> (2023)." in text


@pytest.mark.parametrize("name", sorted([*OFFICIAL, EMBEDDED]))
def test_normalisation_is_that_of_the_tasks(name):
    entry = find(name)
    # Truths of the embedded model share the scaling of their inputs: they may lie beyond it.
    shared = {"clip": False} if name == EMBEDDED else {}
    assert {k: v.model_dump() for k, v in entry.normalisation.items()} == {
        task: asdict(TASKS[task].normalization)
        | (shared if TASKS[task].normalization.invertible else {})
        for task in entry.tasks
    }


def test_the_embedded_model_was_trained_as_its_preset_says():
    told, names = find(EMBEDDED).training, [n for n in preset_names() if "embedded" in n]
    assert told is not None
    presets = [read_config(preset_path(name)) for name in names]
    assert told.steps == sum(preset.steps or 0 for preset in presets)
    assert told.learning_rate == presets[0].learning_rate
    for preset in presets:
        for task, change in preset.recipes.items():
            assert f"{task}: {change.scenes} images simulated" in told.data
    for preset in presets[1:]:
        part = f"then {preset.tasks[0]} alone: {preset.steps} steps at {preset.learning_rate};"
        assert part in told.learning_rate_schedule
    # From random weights truths share them, where the preset says nothing else.
    assert presets[0].intensities is None
    assert "intensities shared" in told.preprocessing


def test_what_a_package_says_of_the_embedded_training_is_its_record():
    record = read_training_record(WEIGHTS.with_suffix(SUFFIX))
    for task in TASKS:
        credit = completed_credit(Credit(), find(EMBEDDED), task)
        assert (credit.training, credit.training_data) == (record, record.data)


def test_the_training_has_one_place_in_an_entry():
    entry = json.loads(changed())
    entry["package"]["training"] = entry["training"]
    with pytest.raises(ZooError, match=r"package\.training: Extra inputs are not permitted"):
        parse_entry(json.dumps(entry), "x.json")


def test_people_and_pixel_size_of_an_entry_reach_the_credit():
    people = {
        "maintainers": ["ada-hub <ada@example.org>"],
        "packaged_by": ["Bo Builder <bo@example.org> An institute"],
    }
    entry = parse_entry(changed(**people, pixel_size_um=[0.1, 0.0626]), "x.json")
    credit = completed_credit(Credit(), entry, "sr")
    assert credit.maintainers == (Person("", github_user="ada-hub", email="ada@example.org"),)
    assert credit.packaged_by == (Person("Bo Builder", "An institute", email="bo@example.org"),)
    assert credit.pixel_size_um == (("y", 0.1), ("x", 0.0626))
    mine = Credit(maintainers=(Person("", github_user="me"),))
    assert completed_credit(mine, entry, "sr").maintainers == mine.maintainers


def test_normalisation_has_the_fields_of_the_core():
    assert set(Normalisation.model_fields) == {field.name for field in fields(Normalization)}


def test_measured_values_of_official_models_are_the_papers(shared_dir):
    with (shared_dir / "facts" / "paper_quality.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "prune-UniFMIR"]
    printed = {
        (row["task"], row["dataset"], row["precision"], metric, float(row[key]), row["table"])
        for row in rows
        for metric, key in (("PSNR", "psnr_db"), ("SSIM", "ssim"))
    }
    declared = {
        (
            entry.task,
            value.dataset,
            value.precision,
            value.metric,
            value.value,
            value.source.partition("Extended Data Table ")[2][:1],
        )
        for name in OFFICIAL
        for entry in [find(name)]
        for value in entry.measured
    }
    assert declared == printed


def test_each_printed_value_belongs_to_one_model():
    rows = [(v.dataset, v.metric, v.precision) for n in OFFICIAL for v in find(n).measured]
    assert len(rows) == len(set(rows))


def test_the_embedded_entry_is_what_its_files_say():
    if not WEIGHTS.is_file():
        pytest.skip("the embedded weights are not in this checkout yet")
    entry = find(EMBEDDED)
    assert entry == refreshed(entry, WEIGHTS, EVALUATION)
    assert entry.source.sha256 == sha256_of(WEIGHTS)
    assert entry.configuration == inspect_file(WEIGHTS).config


def test_the_embedded_configuration_builds_the_network_of_that_size():
    config = find(EMBEDDED).config
    if config is None:
        pytest.skip("the embedded weights are not in this checkout yet")
    network = build(config)
    assert sum(p.numel() for p in network.parameters()) == find(EMBEDDED).parameters


def test_the_embedded_model_says_it_is_not_for_science():
    entry = find(EMBEDDED)
    assert (entry.task, entry.tasks, entry.licence) == (MULTITASK, tuple(TASKS), "BSD-3-Clause")
    assert "not for science" in entry.notes


def test_refreshing_fills_in_the_evaluation(tmp_path):
    result = {
        "model": {"psnr_db": 30.5, "ssim": 0.9, "nrmse": 0.1, "slope": 0.9}
        | {"psnr_unfitted_db": 20.5, "ssim_unfitted": 0.7, "nrmse_unfitted": 0.3},
        "baselines": {"bicubic": {"psnr_db": 29.0, "ssim": 0.8, "nrmse": 0.2}},
        "best_baseline": "bicubic",
        "gain_db": 1.5,
        "images": 16,
    }
    report = {
        "command": "unifmir evaluate",
        "seed": 7,
        "training": {"steps": 100, "hours": 2.5, "hardware": "a machine"},
        "tasks": {"sr": result},
    }
    (tmp_path / "e.json").write_text(json.dumps(report), encoding="utf-8")
    entry = refreshed(find(EMBEDDED), tmp_path / "missing", tmp_path / "e.json")
    assert [(m.metric, m.value, m.unit) for m in entry.measured] == [
        ("fitted PSNR", 30.5, "dB"),
        ("unfitted PSNR", 20.5, "dB"),
        ("fitted SSIM", 0.9, None),
        ("unfitted SSIM", 0.7, None),
        ("fitted NRMSE", 0.1, None),
        ("unfitted NRMSE", 0.3, None),
        ("intensity slope", 0.9, None),
        ("fitted PSNR above the best simple method, bicubic", 1.5, "dB"),
    ]
    assert "16 simulated" in entry.measured[0].dataset
    assert "seed 7" in entry.measured[0].source
    assert entry.training == TrainingRecord(steps=100, hours=2.5, hardware="a machine")
    assert (entry.source.sha256, entry.configuration, entry.parameters) == (None, None, None)


def test_refreshing_reads_the_weights(tiny_multitask, tmp_path):
    source = save(tiny_multitask, tmp_path / "w.safetensors")
    entry = refreshed(find(EMBEDDED), tmp_path / "w.safetensors", tmp_path / "missing")
    assert (entry.source.sha256, entry.source.size_bytes) == (source.sha256, source.size_bytes)
    assert entry.config == tiny_multitask.config
    assert entry.parameters == sum(p.numel() for p in tiny_multitask.parameters())
    assert (entry.measured, entry.training) == ((), None)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"id": "Not An Id"}, "id: String should match"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"task": "segmentation"}, "unknown task 'segmentation'"),
        ({"task": "denoise"}, "normalisation is not what unifmir does"),
        ({"title": ""}, "title"),
        ({"authors": []}, "authors"),
        ({"cite": ["Smith 2020"]}, "cite"),
        ({"maintainers": ["Ada Author"]}, "begins with no GitHub user"),
        ({"packaged_by": ["Ada, An institute"]}, "'NAME <> AFFILIATION'"),
        ({"pixel_size_um": [0.3, 0.1, 0.1]}, "one for each of the input's axes 'yx'"),
        ({"training": {"steps": "100"}}, "training.steps"),
        ({"licence": None, "licence_note": ""}, "say why in licence_note"),
        ({"parameters": None}, "known together"),
        ({"configuration": {}, "parameters": 3}, "configuration of no network"),
        ({"source": {"kind": "ftp"}}, "source"),
        ({"source": {"kind": "embedded", "filename": "../x"}}, "filename"),
        ({"source": {"kind": "url", "url": "file:///etc/passwd"}}, "url"),
        ({"source": {"kind": "file", "sha256": "ABC"}}, "sha256"),
        ({"source": {"kind": "file", "size_bytes": "12"}}, "size_bytes"),
        ({"measured": [{"metric": "PSNR", "value": float("nan")}]}, "measured"),
    ],
)
def test_a_malformed_entry_is_refused_with_the_field(values, told):
    with pytest.raises(ZooError, match="is not a zoo entry") as caught:
        parse_entry(changed(**values), "x.json")
    assert told in str(caught.value)
    assert "zoo show" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1}', "\0"])
def test_text_that_is_no_entry_is_refused(text):
    with pytest.raises(ZooError, match="is not a zoo entry"):
        parse_entry(text, "x.json")


def test_the_configuration_must_be_for_the_entrys_task(tiny_config):
    config = tiny_config.single("denoise").to_dict()
    with pytest.raises(ZooError, match="task is 'sr', but the configuration's 'denoise'"):
        parse_entry(changed(configuration=config, parameters=1), "x.json")


def test_an_entry_survives_being_written_and_read(tiny_config):
    config = tiny_config.single("sr").to_dict()
    entry = parse_entry(changed(configuration=config, parameters=5), "x.json")
    assert parse_entry(entry_text(entry), "x.json") == entry
    assert entry.config == tiny_config.single("sr")


def test_an_entry_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        find(EMBEDDED).title = "other"


def test_no_entry_names_a_path_of_a_machine():
    for path in Path(directories.packaged("entries")).glob("*.json"):
        text = path.read_text("utf-8")
        assert isinstance(parse_entry(text, path.name), ZooEntry)
        assert "/home/" not in text
        assert str(Path(__file__).resolve().parents[3]) not in text

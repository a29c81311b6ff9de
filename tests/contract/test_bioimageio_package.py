"""A finished package of every task, tested by the library itself."""

import gc
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bioimageio.core import predict
from bioimageio.spec import load_model_description

from tests.compat.canned import untested, untested_package
from tests.compat.packages import half_precision, image, inputs, network
from tests.helpers.empty_phrases import empty_phrases
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.export.formats.bioimageio.lint_weights import WEIGHT_FORMATS
from unifmir.export.formats.bioimageio.package import (
    PackageInputs,
    PackageResult,
    build_package,
    read_lineage,
)
from unifmir.export.formats.bioimageio.rdf import FILES
from unifmir.export.formats.bioimageio.score import axes_order
from unifmir.export.formats.bioimageio.testing import (
    quiet_library,
    require_passed,
    run_test,
)
from unifmir.export.lineage import Lineage
from unifmir.model import image_interface
from unifmir.normalize import normalize
from unifmir.output_place import PREFIX
from unifmir.samples import sample
from unifmir.tasks import TASKS

_built: dict[str, PackageResult] = {}


@pytest.fixture
def built(request, tmp_path_factory) -> PackageResult:
    """The package of a task, built and tested once."""
    task = request.param
    if task not in _built:
        folder = tmp_path_factory.mktemp(task)
        _built[task] = build_package(inputs(task, folder / "inputs"), folder / f"{task}.zip")
    return _built[task]


ANY_SIZE = {
    "sr": np.s_[:61, :75],
    "denoise": np.s_[:, :61, :75],
    "isotropic": np.s_[:37, :41, :47],
    "projection": np.s_[:, :61, :69],
    "volume": np.s_[:57, :69],
}
"""Parts of each task's image whose sizes are no multiple of a window; of `volume`, whole lenses."""
QUICK = "sr"
"""Task whose package takes the library the shortest time to test; the others are slow tests."""
LONG = ("isotropic", "projection")
"""Tasks that `make test-all` tests: their axes are those of `denoise` and `sr`, and
test_exporters.py has their packages."""


def packages(*tasks: str) -> pytest.MarkDecorator:
    """The tests of a task's package run in one process, which builds it once."""
    rows = [
        pytest.param(
            task,
            marks=[
                pytest.mark.xdist_group(f"package {task}"),
                *([pytest.mark.slow] if task != QUICK else []),
                *([pytest.mark.long] if task in LONG else []),
            ],
        )
        for task in tasks
    ]
    return pytest.mark.parametrize("built", rows, indirect=True)


every_task = packages(*TASKS)


@every_task
def test_the_library_says_passed_with_every_weight_format(built: PackageResult):
    assert built.summary.status == "passed"
    assert set(built.summary.reproduced) == set(WEIGHT_FORMATS)
    assert built.summary.core_version == "0.11.0"
    assert [finding.where for finding in built.findings] == ["maintainers"]


@pytest.mark.slow  # its smallest tiles with every format, where a build runs sizes around a window
@every_task
def test_the_whole_test_of_the_library_passes_on_the_finished_package(built: PackageResult):
    summary = run_test(built.path, [])
    assert (summary.status, summary.failures) == ("passed", ())
    assert set(summary.reproduced) == set(WEIGHT_FORMATS)
    assert summary.metadata_completeness == built.summary.metadata_completeness


@every_task
def test_all_of_the_score_but_completeness_is_reached(built: PackageResult):
    assert built.score.metadata_format == built.score.core == 1
    assert built.score.biapy == built.score.ilastik == 1


@every_task
def test_what_nobody_told_is_left_out(built: PackageResult):
    rdf = read_package(built.path).rdf
    untold = {
        "training",
        "environmental_impact",
        "memory_requirements_training",
        "inference_time",
        "memory_requirements_inference",
        "target_structure",
    }
    assert not untold & set(rdf["config"]["bioimageio"])
    assert "version_comment" not in rdf
    assert "--benchmark FILE" in [one.option for one in built.missing]
    assert "training_data" not in rdf["config"]["unifmir"]
    text = read_package(built.path).files["README.md"].decode("utf-8")
    assert "made from does not say" in text


@every_task
def test_no_field_holds_a_phrase_in_place_of_a_fact(built: PackageResult):
    assert empty_phrases(read_package(built.path)) == []


def _lists(value: object) -> Iterator[list[object]]:
    """Every list within a value."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list):
        yield value
    if isinstance(parts, list):
        for part in parts:
            yield from _lists(part)


@every_task
def test_curves_are_in_the_attachment(built: PackageResult):
    package = read_package(built.path)
    # The test image's sizes and the network's depths are lists too.
    lists = list(_lists(package.rdf["config"]))
    assert max(map(len, lists)) <= 8
    curve = json.loads(package.files["verification.json"])["halo"]["curve"]
    assert len(curve) >= 8  # of light fields, whose points are lenses; 64 of planes
    assert curve not in lists


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_origin_of_the_test_image_is_whole(task: str, tmp_path: Path):
    file = sample(task).file
    given = inputs(task, tmp_path / "inputs")
    given = replace(given, image_note=file.attribution, image_source=file.url)
    package = read_package(untested_package(given, tmp_path / "p.zip").path)
    text = package.files["README.md"].decode("utf-8").partition("## Licence")[2]
    told = (file.name, file.source, file.url, file.licence, file.cut, *file.authors)
    assert [one for one in told if one not in text] == []
    assert package.rdf["config"]["unifmir"]["test_image"] == file.attribution
    assert file.url in str(package.rdf["config"]["bioimageio"]["evaluations"])


@every_task
def test_the_readme_compares_all_three_formats(built: PackageResult):
    text = read_package(built.path).files["README.md"].decode("utf-8")
    table = text.partition("### Same picture")[2].partition("###")[0]
    assert all(f"| {name} |" in table for name in WEIGHT_FORMATS)


@every_task
def test_the_description_is_in_the_portable_dialect(built: PackageResult):
    rdf = read_package(built.path).rdf
    assert rdf["format_version"] == "0.5.7"
    assert rdf["documentation"] == "README.md"
    assert rdf["covers"] == ["cover.png"]
    assert list(rdf["weights"]) == ["onnx", "pytorch_state_dict", "torchscript"]
    assert "parent" not in rdf["weights"]["pytorch_state_dict"]


@every_task
def test_the_axes_are_those_of_the_task(built: PackageResult, request):
    task = request.node.callspec.params["built"]
    rdf = read_package(built.path).rdf
    axes = {kind: axes_order(rdf[kind][0]) for kind in ("inputs", "outputs")}
    assert axes["inputs"] == "bc" + TASKS[task].input_axes
    assert axes["outputs"] == "bc" + TASKS[task].output_axes
    operations = [step["id"] for step in rdf["inputs"][0].get("preprocessing", [])]
    assert operations == ([] if task == "volume" else ["scale_range"])


@every_task
def test_the_lineage_is_found_again(built: PackageResult, request):
    lineage = Lineage.from_strings(read_lineage(built.path), built.path.name)
    assert lineage.task == request.node.callspec.params["built"]
    assert lineage.parent["sha256"] == "0" * 64


@every_task
def test_the_readme_states_what_was_measured(built: PackageResult):
    text = read_package(built.path).files["README.md"].decode("utf-8")
    assert "## Validation" in text
    assert f"{built.halo.measured_px} input pixels" in text
    assert "10.1038/s41592-024-02244-3" in text


@pytest.mark.slow
@every_task
def test_the_library_restores_a_whole_image_of_any_size_as_unifmir_does(
    built: PackageResult, request
):
    task = request.node.callspec.params["built"]
    raw = image(task)[ANY_SIZE[task]]
    rdf = read_package(built.path).rdf
    given, made = (
        {axis["id"]: axis for axis in rdf[kind][0]["axes"][2:]} for kind in ("inputs", "outputs")
    )
    for size, axis in zip(raw.shape, given.values(), strict=True):
        assert axis["size"] == size or size > axis["size"]["min"]
    with quiet_library():
        model = load_model_description(built.path)
        sample = predict(model=model, inputs=raw[None, None])
        actual = next(iter(sample.members.values())).data.to_numpy()
        # The library leaves zip readers open, whose warnings would come up in a later test.
        del model, sample
        gc.collect()
    # It mirrors the image by the halo before anything else, and crops the result.
    halos = {name: axis.get("halo", 0) for name, axis in made.items()}
    margins = [
        int(halos.get(name, 0) * made.get(name, axis)["scale"] / axis["scale"])
        for name, axis in given.items()
    ]
    padded = np.pad(raw, [(margin, margin) for margin in margins], mode="symmetric")
    normalised, _ = normalize(padded, TASKS[task].normalization)
    with torch.inference_mode():
        restored = image_interface(network(task))(torch.from_numpy(normalised[None, None])).numpy()
    inside = tuple(slice(halo, -halo or None) for halo in halos.values())
    assert np.allclose(actual, restored[(..., *inside)], rtol=0, atol=1e-4)


@packages("denoise")
def test_members_have_no_date_and_no_owner_and_are_in_order(built: PackageResult):
    with zipfile.ZipFile(built.path) as archive:
        members = archive.infolist()
    assert [m.filename for m in members] == sorted(m.filename for m in members)
    assert {m.date_time for m in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {m.external_attr >> 16 for m in members} == {0o100644}


@pytest.mark.slow
@pytest.mark.long  # tests/contract/test_exporters.py has a package of two processes
def test_a_build_in_another_process_gives_the_same_bytes(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; "
        "from tests.compat.canned import untested; "
        "print(untested('denoise', Path(sys.argv[1])).sha256)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == untested("denoise", tmp_path / "here").sha256


@pytest.mark.slow  # tests/contract/test_exporters.py has fp16 storage among the quick tests
def test_fp16_weights_are_half_the_file_and_still_pass(plain: PackageInputs, tmp_path: Path):
    half = half_precision(plain, tmp_path / "half")
    result = build_package(half, tmp_path / "half.zip")
    assert result.summary.status == "passed"
    files = read_package(result.path).files
    state = torch.load(io.BytesIO(files[FILES["pytorch_state_dict"]]), weights_only=True)
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float16}
    assert "stored as float16" in files["README.md"].decode("utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PackageInputs:
    """What a package of sr is made of."""
    return inputs("sr", tmp_path_factory.mktemp("plain"))


def test_reports_reach_the_readme_and_the_attachment(plain: PackageInputs, tmp_path: Path):
    report = {
        "format": "onnx",
        "precision": "fp32",
        "passed": True,
        "cases": [{"max_abs": 1e-6, "max_abs_over_std": 2e-6, "psnr_db": 120.0}],
    }
    given = replace(plain, reports=(report,))
    files = read_package(untested_package(given, tmp_path / "p.zip").path).files
    assert "| onnx | fp32 | 1 | 2e-06 | 120.0 | yes |" in files["README.md"].decode("utf-8")
    assert json.loads(files["verification.json"])["reports"] == [report]


@pytest.mark.slow
def test_files_of_another_network_leave_nothing_behind(plain: PackageInputs, tmp_path: Path):
    other = network("sr")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05)
    foreign = inputs("sr", tmp_path / "other", other)
    mixed = replace(plain, onnx_file=foreign.onnx_file)
    out = tmp_path / "out"
    with pytest.raises(ExportError, match="onnx file does not reproduce"):
        build_package(mixed, out / "p.zip")
    assert not list(out.iterdir())


def test_a_broken_rule_of_the_zoo_stops_the_build(plain: PackageInputs, tmp_path: Path):
    nameless = replace(plain, card=replace(plain.card, cite=plain.card.cite[:0]))
    with pytest.raises(ExportError, match="cite"):
        untested_package(nameless, tmp_path / "out" / "p.zip")
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(PREFIX)]
    assert not list((tmp_path / "out").iterdir())


@packages("sr")
def test_a_status_other_than_passed_or_a_missing_format_is_refused(built: PackageResult):
    require_passed(built.summary, WEIGHT_FORMATS)
    with pytest.raises(ExportError, match="valid-format"):
        require_passed(replace(built.summary, status="valid-format"), WEIGHT_FORMATS)
    with pytest.raises(ExportError, match="onnx"):
        require_passed(replace(built.summary, reproduced=("torchscript",)), ["onnx"])

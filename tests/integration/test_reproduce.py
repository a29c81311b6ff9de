"""`unifmir reproduce` on miniature copies of the public sets, small networks for the official."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from tests.helpers.public_set_copies import (
    biosr_test_cells,
    care_stacks,
    flywing_stacks,
    liver_stacks,
)
from tests.helpers.small_models import without_configurations
from unifmir.benchmarks.reproduction.paper_sets import PAPER_SETS
from unifmir.benchmarks.reproduction.quality_tables import OFFICIAL, printed_quality
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.metrics.scores import score
from unifmir.normalize import normalize
from unifmir.restoration.restoration_options import Options
from unifmir.tasks.denoise import DENOISE
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.restore.files import restore

COPIES = {
    "care-planaria": care_stacks,
    "biosr": biosr_test_cells,
    "care-liver": liver_stacks,
    "care-flywing": flywing_stacks,
}
PLANARIA = "unifmir-denoise-planaria"


def run(*arguments: object):
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, make in COPIES.items():
        make(tmp_path / "data" / name, np.random.default_rng(3))
    return tmp_path / "data"


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_single):
    """Gives small networks of tasks as the user's files of official models."""
    without_configurations(monkeypatch)
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(directories.CACHE_VARIABLE, str(tmp_path / "cache"))

    def given(model: str) -> Path:
        file = tmp_path / f"{model}.safetensors"
        save(tiny_single(find(model).task), file)
        added = CliRunner().invoke(app, ["zoo", "add", "--from", model, "--file", str(file)])
        assert added.exit_code == 0, added.output
        return file

    return given


def rows_of(*arguments: object) -> dict[tuple[str, ...], dict[str, Any]]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    keys = ("dataset", "model", "precision")
    return {tuple(row["printed"][key] for key in keys): row for row in rows}


def test_every_column_of_the_tables_has_a_set_and_its_official_model():
    cells = printed_quality()
    assert len(cells) == 66
    assert {cell.dataset for cell in cells} == set(PAPER_SETS)
    for cell in cells:
        assert find(PAPER_SETS[cell.dataset].model).task == cell.task
    # As the zoo's entries have them.
    printed = {
        (cell.dataset, cell.precision, name): value
        for cell in cells
        for name, value in (("PSNR", cell.psnr_db), ("SSIM", cell.ssim))
        if cell.model == OFFICIAL
    }
    entries = {
        (one.dataset, one.precision, one.metric): one.value
        for model in {one.model for one in PAPER_SETS.values()}
        for one in find(model).measured
    }
    assert printed == entries


def test_stacks_are_measured_as_the_network_learned_them(data, official):
    file = official(PLANARIA)
    rows = rows_of(data, "--table", 4, "--device", "cpu")
    measured = {key: row for key, row in rows.items() if row["figures"]}
    assert set(measured) == {
        (f"Planaria C{number}", OFFICIAL, precision)
        for number in (1, 2, 3)
        for precision in ("float32", "float16")
    }
    row = measured["Planaria C2", OFFICIAL, "float32"]
    assert row["images"] == 2
    expected = []
    for name in ("a", "b"):
        image, truth = (
            tifffile.imread(data / "care-planaria/test_data" / part / f"{name}.tif").astype("f4")
            for part in ("condition_2", "GT")
        )
        _, scaling = normalize(image, DENOISE.normalization)
        options = Options(intensity="percentile")
        restored = restore(image, file, task="denoise", device="cpu", options=options)
        scaled = (restored - scaling.low) / scaling.span
        expected.append(score(scaled, normalize(truth, DENOISE.normalization)[0]))
    for name, value in row["figures"].items():
        assert value == pytest.approx(np.mean([one[name] for one in expected]), abs=1e-4)
    assert row["differences"]["psnr_db"] == pytest.approx(row["figures"]["psnr_db"] - 36.644)
    half = measured["Planaria C2", OFFICIAL, "float16"]["figures"]["psnr_db"]
    assert half == pytest.approx(row["figures"]["psnr_db"], abs=0.05)
    assert half != row["figures"]["psnr_db"]


@pytest.mark.parametrize(
    ("model", "table", "measured"),
    [
        ("unifmir-sr-ccps", 3, {"CCP": 2}),
        pytest.param(
            *("unifmir-isotropic-liver", 5, {"Liver XY": 2, "Liver XZ": 2}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("unifmir-projection-flywing", 6, {f"Flywing C{number}": 1 for number in range(4)}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_other_tables_are_measured_too(model, table, measured, data, official):
    official(model)
    rows = rows_of(data, "--table", table, "--device", "cpu")
    found = {
        key[0]: row["images"] for key, row in rows.items() if row["figures"] and key[2] == "float32"
    }
    assert found == measured
    for row in rows.values():
        assert bool(row["figures"]) != bool(row["missing"])


@pytest.mark.slow
def test_slices_of_two_orientations_have_figures_of_their_own(data, official):
    official("unifmir-isotropic-liver")
    rows = rows_of(data, "--table", 5, "--device", "cpu", "--images", 1)
    across, along = (rows[f"Liver {cut}", OFFICIAL, "float32"] for cut in ("XY", "XZ"))
    assert across["images"] == along["images"] == 1
    assert across["figures"]["psnr_db"] != along["figures"]["psnr_db"]


def test_weights_of_ones_own_stand_for_models_without_published_ones(data, tmp_path, tiny_single):
    rivals = tmp_path / "rivals"
    rivals.mkdir()
    save(tiny_single("denoise"), rivals / "care-planaria.safetensors")
    given = ("--table", 4, "--device", "cpu", "--images", 1, "--rivals", rivals)
    row = rows_of(data, *given)["Planaria C1", "CARE", "float32"]
    assert (row["weights"], row["images"]) == ("care-planaria.safetensors", 1)


def test_what_is_not_on_disk_is_named_with_where_it_comes_from(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 0
    assert "Cells of the tables: 66, measured: 0." in done.stdout
    for text in (
        "care-planaria/test_data/condition_3/{name}.tif with care-planaria/test_data/GT/{name}.tif",
        "https://doi.org/10.6084/m9.figshare.13264793",
        "unifmir zoo pull unifmir-denoise-planaria",
        "care-liver.safetensors in the folder of --rivals",
    ):
        assert text in done.stdout


def test_a_stack_that_does_not_fit_its_truth_is_told_and_the_others_are_measured(data, official):
    official(PLANARIA)
    place = data / "care-planaria/test_data/condition_1/a.tif"
    place.write_bytes(place.read_bytes()[:200])
    done = run(data, "--table", 4, "--device", "cpu", "--json")
    assert done.exit_code == 1
    assert "images that could not be measured: 1" in done.stderr
    row = next(
        one
        for one in json.loads(done.stdout)["rows"]
        if one["printed"]["dataset"] == "Planaria C1" and one["figures"]
    )
    assert row["images"] == 1
    assert list(row["failed"]) == ["test_data/condition_1/a.tif"]


def test_a_folder_that_is_not_there_is_one_message(tmp_path):
    done = run(tmp_path / "none")
    assert done.exit_code == 2
    assert "no such folder; expected one that holds the public sets" in done.stderr

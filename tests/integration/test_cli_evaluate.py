"""`unifmir evaluate` of image files: figures, comparison, files, and what is told of bad ones."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.identity_networks import identity_network
from tests.helpers.lab_folders import lab_folder
from tests.helpers.restoration_cases import small
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest

IMAGES = 7


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, Path]:
    """Folders of truths, and of images with noise of two strengths."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    folders = {name: root / name for name in ("truth", "good", "poor")}
    for folder in folders.values():
        folder.mkdir()
    for index in range(IMAGES):
        truth = 100 + 400 * rng.random((48, 40))
        for name, noise in (("truth", 0), ("good", 5), ("poor", 40)):
            ending = "tif" if name == "truth" else "denoise.tif"
            values = truth + noise * rng.normal(size=truth.shape)
            tifffile.imwrite(folders[name] / f"cell {index}.{ending}", values.astype(np.float32))
    return folders


def test_two_sets_are_compared_image_by_image(sets, tmp_path):
    table, pictures = tmp_path / "scores.csv", tmp_path / "pictures"
    report = tmp_path / "report.html"
    more = ("--against", sets["poor"], "--csv", table, "--pictures", pictures, "--report", report)
    done = run(sets["good"], sets["truth"], *more, "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    gain = document["differences"]["psnr_unfitted_db"]
    # 40 over 5, as noise of the same truth.
    assert gain["mean"] == pytest.approx(20 * np.log10(8), abs=0.3)
    assert gain["low"] < gain["mean"] < gain["high"]
    assert gain["p"] == pytest.approx(2 / 2**IMAGES)
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [row["set"] for row in rows] == ["restored"] * IMAGES + ["against"] * IMAGES
    assert float(rows[0]["ssim"]) == document["images"]["cell 0"]["ssim"]
    assert len(list(pictures.iterdir())) == IMAGES
    page = report.read_text("utf-8")
    assert page.count("data:image/png;base64,") == IMAGES
    assert f"{gain['mean']:+.3f}" in page
    with Image.open(pictures / "cell 0.png") as picture:
        assert picture.size == (3 * 40 + 2 * 8, 48)


def test_people_see_means_intervals_and_what_was_fitted(sets):
    done = run(sets["good"], sets["truth"])
    assert done.exit_code == 0, done.stderr
    assert "95 % interval of the mean" in done.stdout
    assert f"Images: {IMAGES}. Fitted: after the scale" in done.stdout
    compared = run(sets["good"], sets["truth"], "--against", sets["poor"])
    assert "Wilcoxon" in compared.stdout


def test_one_file_is_held_against_another(sets):
    done = run(sets["poor"] / "cell 1.denoise.tif", sets["truth"] / "cell 1.tif", "--json")
    (figures,) = json.loads(done.stdout)["images"].values()
    span = np.ptp(tifffile.imread(sets["truth"] / "cell 1.tif"))
    assert figures["psnr_unfitted_db"] == pytest.approx(20 * np.log10(span / 40), abs=0.5)


def test_a_bad_image_stops_no_other_and_is_named(sets, tmp_path):
    for path in sets["good"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "cell 3.denoise.tif").write_bytes(b"II*\0 no image")
    (tmp_path / "stray.tif").write_bytes((sets["good"] / "cell 0.denoise.tif").read_bytes())
    done = run(tmp_path, sets["truth"], "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert len(document["images"]) == IMAGES - 1
    assert {Path(place).name for place in document["failed"]} == {
        "cell 3.denoise.tif",
        "stray.tif",
    }
    assert "cell 3.denoise.tif" in done.stderr


def test_options_of_the_other_kind_are_refused(sets):
    for arguments in (
        (sets["good"], sets["truth"], "--task", "sr"),
        ("unifmir-small-sim", "--csv", "a.csv"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2
        assert "belong" in done.stderr
    missing = run(sets["good"], sets["truth"] / "none")
    assert missing.exit_code == 2
    assert "no such file or folder" in missing.stderr


def test_an_image_smaller_than_a_window_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, rng.random((10, 40), np.float32))
    done = run(tmp_path / "a.tif", tmp_path / "b.tif")
    assert done.exit_code == 2
    assert "40 x 10 pixels are too few" in " ".join(done.stderr.split())


@pytest.mark.slow  # tests/unit/training/test_dataset_evaluation.py has it among the quick tests
def test_objects_of_restored_images_are_scored(tmp_path):
    rng = np.random.default_rng(0)
    folders = {name: tmp_path / name for name in ("truth", "good", "poor", "labels")}
    for folder in folders.values():
        folder.mkdir()
    for index in range(2):
        labels = np.zeros((48, 48), np.uint16)
        labels[8:20, 8 + index : 20], labels[28:40, 24:40] = 1, 2
        truth = 100.0 + 200 * (labels > 0)
        images = {"truth": truth, "good": truth, "poor": 0 * truth, "labels": labels}
        for name, image in images.items():
            noise = 0 if name == "labels" else 5 * rng.normal(size=image.shape)
            dtype = np.uint16 if name == "labels" else np.float32
            tifffile.imwrite(folders[name] / f"cell {index}.tif", (image + noise).astype(dtype))
    more = ("--against", folders["poor"], "--labels", folders["labels"])
    done = run(folders["good"], folders["truth"], *more, "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    good, poor = (
        [one["dice"] for one in images["images"].values()]
        for images in (document, document["against"])
    )
    assert min(good) > 0.95 > 0.7 > max(poor)
    assert document["differences"]["dice"]["mean"] == pytest.approx(np.mean(good) - np.mean(poor))
    assert "AP 0.5" in run(folders["good"], folders["truth"], *more).stdout

    (folders["labels"] / "cell 1.tif").unlink()
    failed = run(folders["good"], folders["truth"], *more)
    assert failed.exit_code == 2
    assert "no labels for cell 1" in " ".join(failed.stderr.split())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of nine pairs, seven of them in its training split."""
    folder = tmp_path_factory.mktemp("lab")
    lab_folder(folder, pairs=IMAGES + 2, shape=(1, 24, 24))
    prepare(PreparationRequest(folder, folder / "cells.zarr", "denoise", patch=24))
    return folder / "cells.zarr"


def test_two_models_are_compared_on_a_dataset(store: Path, tmp_path: Path):
    models = {name: tmp_path / f"{name}.safetensors" for name in ("good", "poor")}
    for path, added in zip(models.values(), (0.0, -0.25), strict=True):
        save(identity_network("denoise", "shared", added=added), path)
    table, report = tmp_path / "scores.csv", tmp_path / "report.html"
    given = ("--data", store, "--split", "train")
    more = ("--against", models["poor"], "--csv", table, "--report", report)
    done = run("--model", models["good"], *given, *more, "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    alone = json.loads(run("--model", models["poor"], *given, "--json").stdout)
    assert alone["against"] is None
    assert document["against"]["images"] == alone["images"], "as if it were evaluated by itself"
    assert document["against"]["model"] == "poor.safetensors"
    # The inputs are darker than the truths, and a quarter of their contrast less is darker still;
    # the fit forgives it.
    offset, gain = (document["differences"][name] for name in ("offset", "psnr_unfitted_db"))
    means = [one["offset"] for one in (document["model_mean"], alone["model_mean"])]
    assert offset["mean"] == pytest.approx(means[0] - means[1], abs=1e-5)
    assert document["differences"]["psnr_db"]["mean"] == pytest.approx(0, abs=1e-3)
    assert 0 < gain["low"] < gain["mean"] < gain["high"]
    assert gain["p"] == pytest.approx(2 / 2**IMAGES)
    sets = [row["set"] for row in csv.DictReader(table.read_text("utf-8").splitlines())]
    assert sets[: 2 * IMAGES] == ["model"] * IMAGES + ["against"] * IMAGES
    assert set(sets[2 * IMAGES :]) == set(document["baselines"])
    page = report.read_text("utf-8")
    assert "good.safetensors against poor.safetensors on cells.zarr" in page
    assert "model minus against" in page
    assert f"{gain['mean']:+.3f}" in page
    shown = " ".join(run("--model", models["good"], *given, *more).stdout.split())
    assert "The other: poor.safetensors." in shown
    assert "Wilcoxon" in shown


def test_a_second_model_needs_a_dataset_and_its_task(store: Path, tmp_path: Path):
    other = tmp_path / "sr.safetensors"
    save(small("sr"), other)
    for arguments, expected in (
        (("--against", "unifmir-small-sim"), "give TRUTH or --data"),
        (("--data", store, "--split", "train", "--against", other), "sr.safetensors: this is not"),
    ):
        done = run("--model", "unifmir-small-sim", *arguments)
        assert done.exit_code == 2
        assert expected in " ".join(done.stderr.replace("│", " ").split())

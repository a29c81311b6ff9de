"""Datasets prepared from folders: what is kept, what is set aside, and what training reads."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.lab_folders import files_of, lab_folder, noisy, structure, write
from unifmir.datasets.pairing import SPLITS, PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationCallbacks, PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset, StoredPatches
from unifmir.errors import ImageError, OutputError
from unifmir.normalize import normalize
from unifmir.output_place import PREFIX
from unifmir.tasks import TASKS


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Pairs of stacks of 4 planes of 24 x 24 pixels."""
    return lab_folder(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def store(lab, tmp_path_factory) -> Path:
    """The dataset of `lab`."""
    out: Path = tmp_path_factory.mktemp("store") / "cells.zarr"
    prepare(asked(lab, out))
    return out


def asked(folder: Path, out: Path, **changes) -> PreparationRequest:
    return replace(PreparationRequest(folder, out, "denoise", patch=16, planes=4), **changes)


def reasons(folder: Path, out: Path, **changes) -> dict[str, str]:
    manifest = prepare(asked(folder, out, **changes))
    return {one.name: one.reason for one in manifest.set_aside}


def test_what_is_stored_is_cut_from_the_files_and_normalised_by_the_whole_image(lab, store):
    dataset = StoredDataset(store)
    rule = TASKS["denoise"].normalization
    for split in SPLITS:
        patches = dataset.patches(split)
        for patch in patches:
            _, z, y, x = np.asarray(dataset._arrays(patch.pair)["places"][patch.number]).tolist()
            for part, read, record in (
                ("low", dataset.input, patch.pair.input),
                ("high", partial(dataset.truth, intensities="own"), patch.pair.truth),
            ):
                assert record is not None
                assert record.name.startswith(part)
                whole, _ = normalize(tifffile.imread(lab / record.name), rule)
                expected = whole[z : z + 4, y : y + 16, x : x + 16]
                np.testing.assert_array_equal(read(patch), expected)
    assert [len(dataset.manifest.of(split)) for split in SPLITS] == [4, 1, 1]


def test_the_manifest_tells_sources_sizes_and_statistics(lab, store):
    manifest = StoredDataset(store).manifest
    first = manifest.pairs[0]
    image = tifffile.imread(lab / "low/00.tif")
    assert first.truth is not None
    assert (first.input.name, first.truth.name) == ("low/00.tif", "high/00.tif")
    assert first.input.shape == (4, 24, 24)
    assert first.input.pixel_size_um == pytest.approx((0.5, 0.1, 0.1))
    assert (first.input.minimum, first.input.maximum) == (image.min(), image.max())
    assert first.input.mean == pytest.approx(image.mean())
    assert first.shift_px == (0.0, 0.0)


def test_one_image_of_files_that_hold_several_is_taken_by_its_number(tmp_path):
    (folder := tmp_path / "noisy").mkdir()
    rng = np.random.default_rng(0)
    images = [noisy(rng, structure(rng, (4, 24, 24))) for _ in range(2)]
    with tifffile.TiffWriter(folder / "two.ome.tif", ome=True) as writer:
        for image in images:
            writer.write(image, metadata={"axes": "ZYX"})
    out = tmp_path / "cells.zarr"
    alone = {"rules": (PairRule("noisy"),), "fractions": (0.0, 0.0)}
    with pytest.raises(ImageError, match=r"holds 2 images .* choose one \(--series 0 to 1\)"):
        prepare(asked(tmp_path, out, **alone))
    manifest = prepare(asked(tmp_path, out, **alone, series=1))
    (pair,) = manifest.pairs
    assert pair.input.mean == pytest.approx(images[1].mean())
    assert pair.input.mean != pytest.approx(images[0].mean())


@pytest.mark.slow
def test_a_second_run_gives_the_same_bytes(lab, store, tmp_path):
    prepare(asked(lab, tmp_path / "cells.zarr"))
    assert files_of(tmp_path / "cells.zarr") == files_of(store)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zarr"]


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_run_goes_on_and_ends_as_if_undisturbed(lab, store, tmp_path, after):
    names: list[str] = []

    def interrupt(name: str) -> None:
        names.append(name)
        if len(names) == after:
            raise KeyboardInterrupt

    out = tmp_path / "cells.zarr"
    with pytest.raises(KeyboardInterrupt):
        prepare(asked(lab, out), PreparationCallbacks(on_pair=interrupt))
    assert not out.exists()
    kept = tmp_path / f"{PREFIX}cells.zarr" / "pairs"
    written = {path: path.stat().st_mtime_ns for path in kept.glob("0*/pair.json")}
    assert len(written) == after
    prepare(asked(lab, out))
    assert files_of(out) == files_of(store)
    assert len(list(tmp_path.iterdir())) == 1
    again = {path: (out / path.relative_to(kept.parent)).stat().st_mtime_ns for path in written}
    assert again == written, "what was finished is not written again"


def bad_pairs(folder: Path) -> Path:
    """A folder with one pair of each trouble, and two that are well."""
    lab_folder(folder, pairs=2)
    rng = np.random.default_rng(9)
    truth = structure(rng, (4, 24, 24)).astype(np.uint16)
    images = {
        "constant": (np.full_like(truth, 7), truth),
        "shape": (noisy(rng, truth)[:, :20], truth),
        "planes": (noisy(rng, truth)[:3], truth),
        "saturated": (np.minimum(noisy(rng, truth), 150), np.minimum(truth, 255)),
        "shifted": (noisy(rng, truth), np.roll(truth, 5, axis=2)),
        "small": (noisy(rng, truth)[:, :8, :8], truth[:, :8, :8]),
    }
    for name, (low, high) in images.items():
        write(folder / "low" / f"{name}.tif", low, "zyx")
        write(folder / "high" / f"{name}.tif", high, "zyx")
    nan = truth.astype(np.float32)
    nan[1, 2, 3] = np.nan
    write(folder / "low/nan.tif", nan, "zyx")
    write(folder / "high/nan.tif", truth, "zyx")
    write(folder / "low/sizes.tif", noisy(rng, truth), "zyx", 0.1)
    write(folder / "high/sizes.tif", truth, "zyx", 0.2)
    write(folder / "low/steps.tif", noisy(rng, truth), "zyx", step_um=0.3)
    write(folder / "high/steps.tif", truth, "zyx", step_um=1.5)
    (folder / "low/cut.tif").write_bytes((folder / "low/00.tif").read_bytes()[:2000])
    write(folder / "high/cut.tif", truth, "zyx")
    (folder / "low/again.tif").write_bytes((folder / "low/00.tif").read_bytes())
    write(folder / "high/again.tif", truth, "zyx")
    return folder


def test_bad_pairs_are_set_aside_by_name_with_the_reason(tmp_path):
    found = reasons(bad_pairs(tmp_path / "lab"), tmp_path / "a.zarr", most_shift_px=2.0)
    expected = {
        "constant": "it is constant: all pixels are 7",
        "shape": "the shapes do not fit: the input has 4x20x24 pixels",
        "planes": "the shapes do not fit",
        "saturated": "its truth high/saturated.tif: .* of its pixels are saturated, at 255",
        "shifted": r"its truth lies .* and 5 pixels \(y, x\) from it|its truth lies .* and [45]\.",
        "small": "less than a patch of 4x16x16",
        "nan": "1 of its pixels are NaN or infinite",
        "sizes": "the pixel sizes along y do not fit: 0.1 um of the input and 0.2",
        "steps": "the distances of planes do not fit: 0.3 um in the input and 1.5",
        "cut": "cut.tif",
        "again": "it is the same file as low/00.tif|its truth lies",
    }
    assert found.keys() == {f"low/{name}.tif" for name in expected}
    for name, reason in expected.items():
        with pytest.raises(ImageError, match=reason):
            raise ImageError(found[f"low/{name}.tif"])


def test_stacks_of_coarse_planes_are_set_aside_where_isotropic_ones_are_learned(tmp_path):
    for name, step in (("coarse", 2.0), ("fine", 0.1)):
        truth = structure(np.random.default_rng(1), (24, 24, 24)).astype(np.uint16)
        image = noisy(np.random.default_rng(len(name)), truth)
        write(tmp_path / f"lab/low/{name}.tif", image, "zyx", step_um=step)
        write(tmp_path / f"lab/high/{name}.tif", truth, "zyx", step_um=step)
    found = reasons(tmp_path / "lab", tmp_path / "a.zarr", task="isotropic")
    assert found.keys() == {"low/coarse.tif"}
    assert "planes are 2 um apart and its pixels 0.1 um along y" in found["low/coarse.tif"]


def test_a_pair_whose_shift_cannot_be_told_is_kept(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("low", "high"):
        noise = rng.poisson(50, (1, 40, 40)).astype(np.uint16)
        write(tmp_path / "lab" / name / "noise.tif", noise, "zyx")
    manifest = prepare(asked(tmp_path / "lab", tmp_path / "a.zarr", planes=1))
    assert manifest.set_aside == ()
    assert [pair.shift_px for pair in manifest.pairs] == [None]


def test_nothing_is_written_where_nothing_can_be_used(tmp_path):
    write(tmp_path / "lab/low/a.tif", np.ones((4, 24, 24), np.uint16), "zyx")
    with pytest.raises(ImageError, match=r"nothing in it can be used.*a.tif: it is constant"):
        prepare(asked(tmp_path / "lab", tmp_path / "a.zarr", rules=(PairRule("low"),)))
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.slow
def test_noisy_images_alone_make_a_dataset_without_truths(lab, tmp_path):
    manifest = prepare(asked(lab, tmp_path / "a.zarr", rules=(PairRule("low"),)))
    assert (manifest.kind, manifest.truth_patch) == ("noisy", None)
    dataset = StoredDataset(tmp_path / "a.zarr")
    inputs = StoredPatches(dataset, dataset.patches("train"))
    assert inputs[0].shape == (4, 16, 16)
    with pytest.raises(ImageError, match="no truths"):
        dataset.truth(inputs.patches[0], "own")


def test_empty_parts_of_an_image_give_no_patches(tmp_path):
    rng = np.random.default_rng(3)
    truth = np.full((2, 64, 64), 100, np.float32)
    truth[:, 16:32, 32:48] = 20 * structure(rng, (2, 16, 16))
    for name, image in (("low", noisy(rng, truth)), ("high", truth.astype(np.uint16))):
        write(tmp_path / "lab" / name / "a.tif", image, "zyx")
    manifest = prepare(asked(tmp_path / "lab", tmp_path / "a.zarr", planes=2))
    assert (manifest.pairs[0].patches, manifest.pairs[0].candidates) == (1, 16)
    places = np.asarray(StoredDataset(tmp_path / "a.zarr")._arrays(manifest.pairs[0])["places"])
    assert places.tolist() == [[0, 0, 16, 32]]


def test_a_folder_that_is_no_dataset_is_not_replaced(lab, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(OutputError, match="is no dataset"):
        prepare(asked(lab, tmp_path / "a.zarr"))
    with pytest.raises(OutputError, match=r"ends in \.zarr"):
        prepare(asked(lab, tmp_path / "a"))


def test_a_dataset_is_not_written_over_its_images(tmp_path):
    lab_folder(tmp_path / "lab.zarr", pairs=1)
    (tmp_path / "lab.zarr/manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="would replace the input"):
        prepare(asked(tmp_path / "lab.zarr", tmp_path / "lab.zarr"))


def first_input(path: Path) -> np.ndarray:
    dataset = StoredDataset(path)
    return dataset.input(dataset.patches("train")[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema": 2}, "schema"),
        ({"task": "denoising"}, "denoising"),
        ({"splits": {}}, "without a split"),
        ({"kind": "noisy"}, "says noisy, and holds others"),
        ({"patch": [4, 16, 17]}, "another than the manifest says"),
        ({"more": 1}, "no such entry"),
    ],
)
def test_a_manifest_that_lies_is_refused(store, tmp_path, change, expected):
    shutil.copytree(store, tmp_path / "a.zarr")
    path = tmp_path / "a.zarr/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ImageError, match=expected):
        first_input(tmp_path / "a.zarr")


def test_a_truth_shares_the_scaling_of_its_input_where_that_is_asked_for(lab, store):
    dataset = StoredDataset(store)
    assert dataset.keeps_intensities
    patch = dataset.patches("train")[0]
    kept = patch.pair.input.scalings[0]
    _, z, y, x = np.asarray(dataset._arrays(patch.pair)["places"][patch.number]).tolist()
    assert patch.pair.truth is not None
    counts = tifffile.imread(lab / patch.pair.truth.name)[z : z + 4, y : y + 16, x : x + 16]
    truth = dataset.truth(patch, "shared")
    np.testing.assert_allclose(truth * kept.span + kept.low, counts, rtol=1e-5)
    assert not np.allclose(truth, dataset.truth(patch, "own"))

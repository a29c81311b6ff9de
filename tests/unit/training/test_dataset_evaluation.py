"""Models on a prepared dataset: identity networks have the figures of their inputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.identity_networks import identity_network
from tests.helpers.lab_folders import lab_folder
from tests.helpers.restoration_cases import SMALL, small, weighted
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import CheckpointError, ImageError
from unifmir.metrics.image_pairs import MEASURED
from unifmir.metrics.pixel_classifier import LabelledImage, segmentation_scores
from unifmir.metrics.scores import score
from unifmir.training.dataset_evaluation import evaluate_on_dataset, restored_patches

SIDE = 32


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Five pairs of stacks of 4 planes."""
    folder: Path = tmp_path_factory.mktemp("lab")
    return lab_folder(folder, pairs=5, shape=(4, SIDE, SIDE))


@pytest.fixture(scope="module")
def whole(lab, tmp_path_factory) -> StoredDataset:
    """Their dataset, of patches that are whole images."""
    out = tmp_path_factory.mktemp("whole") / "cells.zarr"
    prepare(PreparationRequest(lab, out, "denoise", patch=SIDE, planes=4))
    return StoredDataset(out)


def test_an_identity_has_the_figures_of_the_image_itself(lab: Path, whole: StoredDataset):
    (image,) = restored_patches(identity_network("denoise", "shared"), whole, "test")
    assert image.whole
    recorded = tifffile.imread(lab / image.name)
    np.testing.assert_allclose(image.restored, recorded, rtol=1e-5)
    np.testing.assert_array_equal(
        image.truth, tifffile.imread(lab / image.name.replace("low", "high"))
    )
    found = evaluate_on_dataset(identity_network("denoise", "shared"), whole, "test")
    assert (found.patches, found.whole_images, list(found.images)) == (1, 1, [image.name])
    expected = score(recorded.astype(np.float32), image.truth, MEASURED)
    assert found.images[image.name] == pytest.approx(expected, rel=1e-3)
    assert found.baselines["input"][image.name] == pytest.approx(expected, rel=1e-3)
    psnr = {name: rows[image.name]["psnr_db"] for name, rows in found.baselines.items()}
    assert found.best_baseline == max(psnr, key=lambda name: psnr[name])
    gain = found.differences["psnr_db"].mean
    assert gain == pytest.approx(expected["psnr_db"] - max(psnr.values()), abs=1e-3)


def test_patches_are_scaled_as_their_whole_image(lab: Path, tmp_path: Path):
    prepare(PreparationRequest(lab, tmp_path / "a.zarr", "denoise", patch=16, planes=4))
    dataset = StoredDataset(tmp_path / "a.zarr")
    for kind in ("own", "shared"):
        network = identity_network("denoise", kind, added=0.5)
        (image,) = restored_patches(network, dataset, "test")
        assert not image.whole
        patches = dataset.patches("test")
        assert image.patches == len(patches)
        low, high = np.percentile(tifffile.imread(lab / image.name), (2, 99.8))
        given = np.concatenate([dataset.recorded(patch)[0] for patch in patches])
        np.testing.assert_allclose(image.restored, given + 0.5 * (high - low), rtol=1e-5)


def test_a_light_field_is_scaled_by_its_whole_images_brightest_pixel(tmp_path: Path):
    views = replace(SMALL.view_unet, views=121)
    network = weighted(replace(SMALL, view_unet=views).single("volume"))
    n, planes = 11, network.config.signature.out_channels
    rng = np.random.default_rng(0)
    for place, image in (
        ("low/a.tif", rng.poisson(100, (8 * n, 8 * n)).astype(np.uint16)),
        ("high/a.tif", rng.poisson(50, (planes, 8 * n, 8 * n)).astype(np.uint16)),
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        axes = "ZYX"[-image.ndim :]
        tifffile.imwrite(tmp_path / place, image, imagej=True, metadata={"axes": axes})
    request = PreparationRequest(tmp_path, tmp_path / "a.zarr", "volume", patch=8 * n)
    prepare(request)
    dataset = StoredDataset(tmp_path / "a.zarr")
    (found,) = restored_patches(network, dataset, "train")
    assert found.restored.shape == found.truth.shape
    assert 0 <= found.restored.min() <= found.restored.max() <= 1


def test_what_cannot_be_evaluated_is_refused(lab: Path, whole: StoredDataset, tmp_path: Path):
    with pytest.raises(CheckpointError, match="restores 'sr'"):
        list(restored_patches(identity_network("sr", "own"), whole, "test"))
    few = tmp_path / "few"
    lab_folder(few, pairs=2)
    prepare(PreparationRequest(few, tmp_path / "few.zarr", "denoise", patch=16, planes=4))
    with pytest.raises(ImageError, match="no pairs for test, but 2 for train, 0 for validation"):
        list(restored_patches(small("denoise"), StoredDataset(tmp_path / "few.zarr"), "test"))


def test_the_segmentation_of_restored_patches_is_scored(tmp_path: Path):
    lab_folder(tmp_path / "lab", pairs=2, shape=(1, SIDE, SIDE))
    labels = tmp_path / "labels"
    labels.mkdir()
    for place in (tmp_path / "lab" / "high").iterdir():
        truth = tifffile.imread(place)
        tifffile.imwrite(labels / place.name, (truth > np.median(truth)).astype(np.uint8))
    prepare(PreparationRequest(tmp_path / "lab", tmp_path / "a.zarr", "denoise", patch=SIDE))
    dataset = StoredDataset(tmp_path / "a.zarr")
    network = identity_network("denoise", "shared")
    found = evaluate_on_dataset(network, dataset, "train", labels=labels)
    assert len(found.images) == 2
    assert list(found.baselines) == [found.best_baseline]
    images = {one.name: one for one in restored_patches(network, dataset, "train")}
    labelled = {
        name: LabelledImage(one.truth, (one.truth > np.median(one.truth)).astype(np.int64))
        for name, one in images.items()
    }
    (expected,) = segmentation_scores(labelled, {name: images[name].restored for name in images})
    for name, figures in found.images.items():
        assert {key: figures[key] for key in expected[name]} == expected[name]
        assert figures.keys() == found.baselines[found.best_baseline][name].keys()
    assert "dice" in found.differences

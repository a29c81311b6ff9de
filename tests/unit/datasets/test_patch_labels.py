"""Labelled objects of a dataset's truths: cut as its patches, and refused where they are none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.lab_folders import lab_folder
from tests.helpers.tiff_bytes import LENGTH, LONG, ROWS, WIDTH, Page, tiff
from unifmir.datasets.patch_labels import labels_of
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import ImageError
from unifmir.metrics.labelled_pairs import add_segmentation

SHAPE = (4, 24, 24)
WORDS = "has values that are no labels: expected 0 for background and a whole number"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> StoredDataset:
    """Pairs of stacks in patches of 16 pixels and 2 planes."""
    root: Path = tmp_path_factory.mktemp("lab")
    lab_folder(root / "lab", pairs=2, shape=SHAPE)
    request = PreparationRequest(root / "lab", root / "cells.zarr", "denoise", patch=16, planes=2)
    prepare(request)
    return StoredDataset(root / "cells.zarr")


def numbered() -> np.ndarray:
    """Labels of which no two are alike."""
    return np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def write(path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(path, values, photometric="minisblack")


def image(values: np.ndarray) -> Callable[[Path], object]:
    return lambda path: write(path, values)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def truncated(path: Path) -> None:
    write(path, numbered())
    path.write_bytes(path.read_bytes()[:3000])


def bomb(path: Path) -> None:
    side = 2**20
    tags = {WIDTH: (LONG, [side]), LENGTH: (LONG, [side]), ROWS: (LONG, [side])}
    path.write_bytes(tiff(Page([b"\0\0"], (side, side), np.dtype(np.uint16), None, tags)))


def changed(value: float, dtype: str = "f4") -> np.ndarray:
    values = numbered().astype(dtype)
    values[1, 2, 3] = value
    return values


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "one plane less": (image(numbered()[1:]), "shape|pixels"),
    "a row less": (image(numbered()[:, 1:]), "shape|pixels"),
    "an axis less": (image(numbered()[0]), "shape|pixels"),
    "turned": (image(numbered().transpose(1, 2, 0).copy()), "shape|pixels|channels|axes"),
    "half objects": (image(changed(0.5)), WORDS),
    "below nothing": (image(changed(-1)), WORDS),
    "whole numbers below nothing": (image(changed(-1, "i4")), WORDS),
    "not a number": (image(changed(np.nan)), "NaN|no labels"),
    "infinite": (image(changed(np.inf)), "Inf|no labels"),
    "beyond any count": (image(changed(1e30)), WORDS),
    "beyond float64's whole numbers": (image(changed(2**60, "u8")), WORDS),
    "complex": (image(numbered().astype(np.complex64)), "01.tif"),
    "truncated": (truncated, "01.tif"),
    "terabytes": (bomb, "01.tif"),
    "text": (content(b"cell 1, cell 2\n"), "01.tif"),
    "nothing": (content(b""), "01.tif"),
    "zeros": (content(bytes(5000)), "01.tif"),
    "a header alone": (content(b"II*\0\x08\0\0\0"), "01.tif"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_image_of_labels_is_refused_by_name(name, dataset, tmp_path):
    make, told = HOSTILE[name]
    labels = tmp_path / "labels"
    labels.mkdir()
    write(labels / "00.tif", numbered())
    make(labels / "01.tif")
    with pytest.raises(ImageError, match=told) as refused:
        labels_of(dataset, dataset.manifest.pairs, labels)
    assert "01.tif" in str(refused.value)

    truth = tmp_path / "truth"
    truth.mkdir()
    for number in (0, 1):
        write(truth / f"{number:02d}.tif", numbered())
    figures = {f"{number:02d}": {"psnr_db": 1.0} for number in (0, 1)}
    with pytest.raises(ImageError, match="01"):
        add_segmentation([truth], truth, labels, [figures])


def test_labels_are_cut_where_the_patches_lie(dataset, tmp_path):
    for number in (0, 1):
        write(tmp_path / f"{number:02d}.tif", numbered())
    for pair in dataset.manifest.pairs:
        labels = labels_of(dataset, [pair], tmp_path)[pair.input.name]
        assert labels.shape == (2 * pair.patches, 16, 16)
        for number in range(pair.patches):
            patch = labels[2 * number : 2 * number + 2]
            z, y, x = np.unravel_index(patch[0, 0, 0], SHAPE)
            assert np.array_equal(patch, numbered()[z : z + 2, y : y + 16, x : x + 16])


def test_a_truth_without_labels_or_with_two_is_told(dataset, tmp_path):
    write(tmp_path / "00.tif", numbered())
    with pytest.raises(ImageError, match=r"no labels for high/01\.tif"):
        labels_of(dataset, dataset.manifest.pairs, tmp_path)
    (tmp_path / "more").mkdir()
    for place in ("01.tif", "more/01.tif"):
        write(tmp_path / place, numbered())
    with pytest.raises(ImageError, match=r"2 images of labels for high/01\.tif"):
        labels_of(dataset, dataset.manifest.pairs, tmp_path)
    with pytest.raises(ImageError, match="no such folder"):
        labels_of(dataset, dataset.manifest.pairs, tmp_path / "none")

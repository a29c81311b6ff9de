"""Restored image files and the truths that they are held against."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from unifmir.errors import ImageError
from unifmir.images import open_source, whole_region
from unifmir.images.base import AXES, Source, described
from unifmir.images.damage import check_size, reading
from unifmir.images.file_names import image_stem, image_suffix
from unifmir.images.zarr import is_zarr
from unifmir.metrics import FILE_METRICS, METRICS
from unifmir.metrics.base import Metric, RestoredImage
from unifmir.normalize import checked
from unifmir.tasks import TASKS

MEASURED: Mapping[str, Metric] = {**METRICS, **FILE_METRICS}
"""Metrics of image files."""


@dataclass(frozen=True, slots=True)
class ImagePair:
    """A restored image file and its truth."""

    name: str
    """Name of the truth without its end: what pairs of several sets are matched by."""
    restored: Path
    truth: Path


@dataclass(frozen=True, slots=True)
class FoundPairs:
    """Pairs of two places, and why some images of either have no partner."""

    pairs: tuple[ImagePair, ...]
    unpaired: Mapping[Path, str]


def find_image_pairs(restored: Path, truth: Path) -> FoundPairs:
    """Pair restored images with truths of the same name.

    Parameters
    ----------
    restored, truth : Path
        Two image files, or two folders. In folders a truth `cells.tif` belongs to `cells.tif`,
        or to `cells.TASK.tif` as `unifmir restore` names results, whatever kind of image either
        is.

    Raises
    ------
    ImageError
        One of them does not exist, one is a folder and the other is not, or nothing pairs.
    """
    for place in (restored, truth):
        if not place.exists():
            raise ImageError(f"{place}: no such file or folder")
    folders = [place.is_dir() and not is_zarr(place) for place in (restored, truth)]
    if folders == [False, False]:
        return FoundPairs((ImagePair(image_stem(truth.name), restored, truth),), {})
    if folders != [True, True]:
        one, other = (restored, truth) if folders[0] else (truth, restored)
        raise ImageError(
            f"{one} is a folder and {other} is one image: expected two images, or two folders of "
            "images with the same names"
        )
    truths, unpaired = _by_name(truth)
    pairs: dict[str, ImagePair] = {}
    for path in _images(restored):
        stem = image_stem(path.name)
        names = [name for name in (stem, _without_task(stem)) if name in truths]
        if not names:
            unpaired[path] = f"{truth} holds no image named {_without_task(stem)}"
        elif names[0] in pairs:
            unpaired[path] = f"{pairs[names[0]].restored.name} is already held against its truth"
        else:
            pairs[names[0]] = ImagePair(names[0], path, truths[names[0]])
    unpaired |= {
        path: f"{restored} holds no image of it"
        for name, path in truths.items()
        if name not in pairs
    }
    if not pairs:
        raise ImageError(
            f"no image of {restored} has the name of one of {truth}: expected, for cells.tif, "
            "cells.tif or cells.TASK.tif"
        )
    return FoundPairs(tuple(pairs[name] for name in sorted(pairs)), unpaired)


def read_pair(pair: ImagePair) -> tuple[RestoredImage, RestoredImage]:
    """The restored image and the truth, float64, (y, x) or (planes, y, x).

    Planes of all times, channels and depths follow each other.

    Raises
    ------
    ImageError
        One is damaged or holds NaN or Inf, they differ in shape, or the truth is constant.
    """
    sources = [open_source(pair.restored), open_source(pair.truth)]
    try:
        first, second = (source.shape for source in sources)
        if first != second:
            raise ImageError(
                f"{pair.restored.name} has shape {_shown(sources[0])}, and its truth "
                f"{pair.truth.name} {_shown(sources[1])}: expected the same pixels of both"
            )
        restored, truth = (
            _planes(path, source)
            for path, source in zip((pair.restored, pair.truth), sources, strict=True)
        )
    finally:
        for source in sources:
            source.close()
    if truth.min() == truth.max():
        raise ImageError(
            f"{pair.truth.name}: every pixel is {truth.flat[0]:g}: nothing can be held against it"
        )
    return restored, truth


def _planes(path: Path, source: Source) -> RestoredImage:
    check_size(path, prod(source.shape) * np.dtype(np.float64).itemsize)
    with reading(path):
        values = checked(source.read(whole_region(source.shape))).astype(np.float64)
    values = values.reshape(-1, *source.shape[-2:])
    return values[0] if len(values) == 1 else values


def _shown(source: Source) -> str:
    long = [
        (axis, n)
        for axis, n in zip(AXES, source.shape, strict=True)
        if n > 1 or axis in source.info.axes
    ]
    return described(tuple(n for _, n in long), "".join(axis for axis, _ in long))


def _images(folder: Path) -> list[Path]:
    """Images of a folder, hidden ones left out, sorted by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if image_suffix(path.name) and not path.name.startswith(".")
    )


def _by_name(folder: Path) -> tuple[dict[str, Path], dict[Path, str]]:
    """Truths by their names without the end, and why others of the same name are left out."""
    truths: dict[str, Path] = {}
    left_out: dict[Path, str] = {}
    for path in _images(folder):
        same = truths.setdefault(image_stem(path.name), path)
        if same != path:
            left_out[path] = f"{same.name} is already the truth of this name: expected one of each"
    return truths, left_out


def _without_task(stem: str) -> str:
    """The name of the image that a result named so was restored from."""
    first, _, last = stem.rpartition(".")
    return first if first and last in TASKS else stem

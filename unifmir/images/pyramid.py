"""Coarser copies of an OME-Zarr image, for viewers; made chunk by chunk."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unifmir.images.base import ImageInfo
from unifmir.images.layout import Layout
from unifmir.images.ngff import finite_window, ngff_attributes

if TYPE_CHECKING:
    from zarr import Array, Group

_COARSE_ENOUGH = 512
"""No level follows one that is no longer than this along y and x."""
_THREADS = 4
"""Each holds four chunks at a time; compressors release the interpreter's lock."""


def create_level(
    group: "Group", level: int, layout: Layout, chunks: tuple[int, ...], dtype: np.dtype[Any]
) -> "Array[Any]":
    """Create the empty array of one level: intensities of `layout.shape` in units of level 0."""
    from numcodecs import Blosc

    return group.create_array(
        str(level),
        shape=layout.shape,
        chunks=chunks,
        dtype=dtype,
        # Any fast compressor every reader has; zstd makes noisy float32 about a fifth smaller.
        compressors=Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE),
        chunk_key_encoding={"name": "v2", "separator": "/"},
        fill_value=0,
        overwrite=True,
    )


def build_pyramid(path: Path, info: ImageInfo, layout: Layout) -> None:
    """Add the coarser levels and the metadata to a group that holds level 0.

    Each level halves y and x: means of 2 x 2 pixels, of fewer at odd edges; whole numbers are
    rounded.
    """
    import zarr

    group = zarr.open_group(store=str(path), mode="r+")
    fine = zarr.open_array(store=str(path / "0"), mode="r")
    factors = [1]
    while max(_lateral(fine.shape, layout.axes)) > _COARSE_ENOUGH:
        fine = _coarser(group, len(factors), fine, layout.axes)
        factors.append(2 * factors[-1])
    attributes = ngff_attributes(info, layout, factors, _windows(fine, layout))
    group.update_attributes(attributes)


def _lateral(shape: tuple[int, ...], axes: str) -> tuple[int, int]:
    return shape[axes.index("y")], shape[axes.index("x")]


def _coarser(group: "Group", level: int, fine: "Array[Any]", axes: str) -> "Array[Any]":
    shape = tuple(
        math.ceil(length / 2) if axis in "yx" else length
        for axis, length in zip(axes, fine.shape, strict=True)
    )
    coarse = create_level(group, level, Layout(axes, shape), fine.chunks, fine.dtype)

    def fill(region: tuple[slice, ...]) -> None:
        covered = tuple(
            slice(2 * bounds.start, min(2 * bounds.stop, length)) if axis in "yx" else bounds
            for axis, bounds, length in zip(axes, region, fine.shape, strict=True)
        )
        coarse[region] = _mean(np.asarray(fine[covered]))

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        for _ in pool.map(fill, _chunks(coarse)):
            pass
    return coarse


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    """Means of blocks of 2 x 2 along the last two axes, the array's last ones."""
    y, x = values.shape[-2:]
    # An odd edge is repeated, so that its mean is that of the pixels that are there.
    edges = [(0, 0)] * (values.ndim - 2) + [(0, y % 2), (0, x % 2)]
    even = np.pad(values, edges, mode="edge")
    blocks = even.reshape(*even.shape[:-2], even.shape[-2] // 2, 2, even.shape[-1] // 2, 2)
    mean = blocks.mean(axis=(-3, -1), dtype=np.result_type(values.dtype, np.float32))
    rounded: NDArray[Any] = mean if values.dtype.kind == "f" else np.rint(mean)
    return rounded.astype(values.dtype)


def _chunks(array: "Array[Any]") -> Iterator[tuple[slice, ...]]:
    starts = [range(0, n, step) for n, step in zip(array.shape, array.chunks, strict=True)]
    for corner in product(*starts):
        yield tuple(
            slice(at, min(at + step, n))
            for at, step, n in zip(corner, array.chunks, array.shape, strict=True)
        )


def _windows(array: "Array[Any]", layout: Layout) -> list[tuple[float, float]]:
    """Least and greatest value of each channel, of means at the coarsest level."""
    count = layout.image_shape[1]
    found = [(np.inf, -np.inf)] * count
    at = layout.axes.find("c")
    for region in _chunks(array):
        values = np.asarray(array[region])
        first = region[at].start if at >= 0 else 0
        planes = np.moveaxis(values, at, 0) if at >= 0 else values[None]
        for channel, plane in enumerate(planes, start=first):
            low, high = found[channel]
            found[channel] = (min(low, float(plane.min())), max(high, float(plane.max())))
    return [finite_window(*window) for window in found]

"""Result of one stack at one sampling, computed where it is read."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from unifmir.errors import TooLittleMemoryError
from unifmir.normalize import FloatImage, Scaling
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import (
    Box,
    Size,
    TileGeometry,
    X,
    Y,
    Z,
    halves,
    size_of,
    slices,
)
from unifmir.restoration.resampling import View
from unifmir.restoration.tile_inference import Stack, read_block, restore_block


@dataclass(slots=True)
class TileLimit:
    """Limits of memory that a process has met, and results it keeps. One for each image."""

    batch: int | None = None
    """Network inputs in one run that did fit; None: not met yet."""
    pixels: int | None = None
    """Lateral pixels (or voxels, where planes count) that did not fit; None: not met yet."""
    splits: int = 0
    """Times a batch or a tile was halved."""
    windows: "OrderedDict[Hashable, FloatImage]" = field(default_factory=OrderedDict)
    """Results that neighbouring tiles share, of networks with whole-image statistics."""
    stacks: "dict[Hashable, FloatImage]" = field(default_factory=dict)
    """Whole results of the stacks of a small image, in the network's units."""

    def learn(self, batch: int, pixels: int) -> None:
        """A run of so much failed for want of memory."""
        self.splits += 1
        if batch > 1:
            self.batch = batch // 2
        else:
            self.pixels = pixels


@dataclass(frozen=True, slots=True)
class LazyRestoredImage:
    """Lazy restored image: runs the network only on the box that `read` asks for."""

    image: View
    geometry: TileGeometry
    scaling: Scaling
    predictor: Predictor
    limit: TileLimit
    batch: int = 1
    ramp: int = 0
    """Pixels of the result over which windows are blended; 0: tiles are cropped."""
    pitch: Size = (0, 0, 0)
    """Distance of windows that are blended, in pixels of the result."""
    key: Hashable = None
    """Tells this view's windows from those of others in the limit."""

    @property
    def size(self) -> Size:
        """Pixels along z, y and x."""
        return self.geometry.size_out(self.image.size)

    def read(self, box: Box) -> Stack:
        """Restore a box, in units of the normalised image.

        Raises
        ------
        TooLittleMemoryError
            The smallest part does not fit the memory; with blending, the window.
        """
        return self._blended(box) if self.ramp else self._fitted(box)

    def _fitted(self, box: Box) -> FloatImage:
        """Restore a box, in parts where memory does not suffice for all of it."""
        while True:
            batch = min(self.batch, self.limit.batch or self.batch)
            pixels = self._pixels(box)
            too_large = self.limit.pixels is not None and pixels >= self.limit.pixels
            if too_large and (parts := halves(box, self.geometry.steps())):
                return _joined(box, parts, [self._fitted(part) for part in parts])
            try:
                return self._block(box, batch)
            except MemoryError as error:
                if batch == 1 and not halves(box, self.geometry.steps()):
                    raise TooLittleMemoryError(
                        f"{_shown(self.geometry.read(box, self.image.size))} pixels, the least "
                        f"that can be restored at once, do not fit the memory ({error}). Close "
                        "other programs, or use --device cpu"
                    ) from error
                self.limit.learn(batch, pixels)

    def _pixels(self, box: Box) -> int:
        z, y, x = size_of(self.geometry.read(box, self.image.size))
        return max(y, x) * z if self.geometry.grid[Z] > 1 else y * x

    def _block(self, box: Box, batch: int) -> FloatImage:
        """One block, whose memory is released when this returns."""
        read = self.geometry.read(box, self.image.size)
        block = read_block(self.image, self.scaling, read, box, self.predictor)
        return restore_block(block, self.predictor, batch)

    def _blended(self, box: Box) -> FloatImage:
        """The windows around a box, weighted so that one passes into the next."""
        result = np.zeros(size_of(box), dtype=np.float32)
        for window, support, weights in self._windows(box):
            y, x = (
                (max(a[0], b[0]), min(a[1], b[1]))
                for a, b in zip(support[Y:], box[Y:], strict=True)
            )
            shared: Box = (box[Z], y, x)
            rows = weights[0][y[0] - support[Y][0] : y[1] - support[Y][0]]
            columns = weights[1][x[0] - support[X][0] : x[1] - support[X][0]]
            part = self._window(window, support)[slices(shared, support)]
            result[slices(shared, box)] += part * (rows[:, None] * columns[None, :])
        return result

    def _windows(
        self, box: Box
    ) -> Iterator[tuple[tuple[int, int], Box, tuple[FloatImage, FloatImage]]]:
        """Windows that reach into a box: place, support, and weights along y and x."""
        size, half = self.size, self.ramp // 2
        along = []
        for axis in (Y, X):
            pitch, length = self.pitch[axis], size[axis]
            first = max(0, (box[axis][0] - half) // pitch)
            last = min(-(-length // pitch), -(-(box[axis][1] + half) // pitch))
            supports = [
                (place, (max(0, place * pitch - half), min(length, (place + 1) * pitch + half)))
                for place in range(first, last)
            ]
            along.append(
                [
                    (place, support, _trapezoid(place, pitch, length, half))
                    for place, support in supports
                    if support[0] < box[axis][1] and box[axis][0] < support[1]
                ]
            )
        for (row, rows, row_weight), (column, columns, column_weight) in product(*along):
            yield (row, column), (box[Z], rows, columns), (row_weight, column_weight)

    def _window(self, place: tuple[int, int], support: Box) -> FloatImage:
        """Restored once: tiles are worked on row by row, so two rows are kept."""
        kept, key = self.limit.windows, (self.key, place, support[Z])
        if key not in kept:
            try:
                kept[key] = self._block(support, self.batch)
            except MemoryError as error:
                read = _shown(self.geometry.read(support, self.image.size))
                raise TooLittleMemoryError(
                    f"a tile of {read} pixels does not fit the memory"
                ) from error
            columns = -(-self.size[X] // self.pitch[X])
            while len(kept) > 2 * (2 * columns + 3):
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]


def _trapezoid(place: int, pitch: int, length: int, half: int) -> FloatImage:
    """Weight of a window along one axis, on its support; those of all windows sum to 1."""
    start, stop = place * pitch, min(length, (place + 1) * pitch)
    first, last = max(0, start - half), min(length, stop + half)
    at = np.arange(first, last) + 0.5
    weight = np.ones(last - first)
    if start > 0:
        weight = np.minimum(weight, (at - (start - half)) / (2 * half))
    if stop < length:
        weight = np.minimum(weight, ((stop + half) - at) / (2 * half))
    return weight.clip(0, 1).astype(np.float32)


def _joined(box: Box, parts: tuple[Box, Box], values: list[FloatImage]) -> FloatImage:
    result = np.empty(size_of(box), dtype=np.float32)
    for part, value in zip(parts, values, strict=True):
        result[slices(part, box)] = value
    return result


def _shown(box: Box) -> str:
    z, y, x = size_of(box)
    return f"{x} x {y}" + (f" x {z}" if z > 1 else "")

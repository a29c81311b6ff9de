"""Resampled images, computed where they are read.

Positions are computed from the whole image's coordinates, so that a part is the same whichever
tile asks for it. Kernels: cubic convolution (Keys 1981, a = -0.5), linear, and the mean of an area,
widened by the step where the sampling becomes coarser, so that what it cannot carry is averaged
and not aliased; `between` is linear and never widened. Beyond the edges the last pixel is repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float32, Int64, Shaped
from numpy.typing import NDArray

from unifmir.images.base import Source
from unifmir.normalize import FloatImage
from unifmir.restoration.geometry import Box, Interval, Size, slices

BLOCK_PIXELS = 2**22
"""Read at once where a whole image is gone through."""

Kernel = Literal["cubic", "linear", "area", "between"]

_REACH: dict[Kernel, float] = {"cubic": 2.0, "linear": 1.0, "area": 0.5, "between": 1.0}
_ROUNDING = 1e-6
"""Planes: a last plane that rounding puts behind the stack is still in it."""


class View(Protocol):
    """A stack (z, y, x) that is read by boxes."""

    @property
    def size(self) -> Size:
        """Pixels along z, y and x."""

    def read(self, box: Box) -> Shaped[np.ndarray, "z y x"]:
        """The pixels of a box: intensities, of any real dtype."""


@dataclass(frozen=True, slots=True)
class StackView:
    """One time point and channel of a source."""

    source: Source
    t: int
    c: int

    @property
    def size(self) -> Size:
        """Pixels along z, y and x."""
        return self.source.shape[2:]

    def read(self, box: Box) -> Shaped[np.ndarray, "z y x"]:
        """The pixels of a box: raw intensities, in the source's dtype."""
        z, y, x = slices(box)
        region = (slice(self.t, self.t + 1), slice(self.c, self.c + 1), z, y, x)
        pixels: Shaped[np.ndarray, "z y x"] = self.source.read(region)[0, 0]
        return pixels

    def blocks(self) -> Iterator[Shaped[np.ndarray, "z y x"]]:
        """All raw intensities, in blocks that hold whole chunks."""
        for box in block_boxes(self.size, self.source.chunks[2:]):
            yield self.read(box)


def block_boxes(size: Size, chunks: Size) -> Iterator[Box]:
    """Boxes of whole chunks that cover an image, of about `BLOCK_PIXELS`; at least one chunk."""
    block = [min(chunk, length) for chunk, length in zip(chunks, size, strict=True)]
    for axis in (2, 1, 0):
        rest = max(1, BLOCK_PIXELS // int(np.prod(block)))
        block[axis] = min(size[axis], block[axis] * rest)
    for z in range(0, size[0], block[0]):
        for y in range(0, size[1], block[1]):
            for x in range(0, size[2], block[2]):
                starts = (z, y, x)
                first, second, third = (
                    (start, min(start + step, length))
                    for start, step, length in zip(starts, block, size, strict=True)
                )
                yield first, second, third


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis sampled anew: pixel j of the new axis lies at j * step + offset of the old one."""

    before: int
    """Pixels of the old axis."""
    after: int
    step: float
    offset: float
    kernel: Kernel = "cubic"

    def taps(
        self, interval: Interval
    ) -> tuple[Int64[np.ndarray, "pixels taps"], Float32[np.ndarray, "pixels taps"]]:
        """Indices of the old pixels that new ones are made of, and weights that sum to 1."""
        wide = 1.0 if self.kernel == "between" else max(1.0, self.step)
        reach = _REACH[self.kernel] * wide
        position = np.arange(*interval) * self.step + self.offset
        first = np.floor(position - reach).astype(np.int64) + 1
        index = first[:, None] + np.arange(int(np.ceil(2 * reach)))
        weight = _kernel(self.kernel, (index - position[:, None]) / wide)
        weight /= weight.sum(axis=1, keepdims=True)
        return index.clip(0, self.before - 1), weight.astype(np.float32)

    def needs(self, interval: Interval) -> Interval:
        """Old pixels that an interval of new ones is made of."""
        index, _ = self.taps((interval[0], interval[0] + 1))
        last, _ = self.taps((interval[1] - 1, interval[1]))
        return int(index[0, 0]), int(last[0, -1]) + 1


Axes = tuple[Axis | None, Axis | None, Axis | None]
"""New samplings of z, y and x; None: as it is."""


def scaled(before: int, after: int) -> Axis | None:
    """Axis that samples the same field of view in `after` pixels; None where nothing changes."""
    step = before / after
    return None if before == after else Axis(before, after, step, step / 2 - 0.5)


def scaled_length(length: int, factor: float) -> int:
    """Pixels of an axis at `factor` times its sampling, at least 1."""
    return max(1, round(length * factor))


def interpolated_planes(planes: int, factor: float) -> Axis | None:
    """`factor` planes per plane, linear between them; the first stays where it is."""
    if factor == 1:
        return None
    after = int((planes - 1) * factor + _ROUNDING) + 1
    return Axis(planes, after, 1 / factor, 0.0, "linear")


@dataclass(frozen=True, slots=True)
class Resampled:
    """A view at another sampling."""

    view: View
    axes: Axes

    @property
    def size(self) -> Size:
        """Pixels along z, y and x."""
        z, y, x = (
            length if axis is None else axis.after
            for length, axis in zip(self.view.size, self.axes, strict=True)
        )
        return z, y, x

    def read(self, box: Box) -> Float32[np.ndarray, "z y x"]:
        """The pixels of a box, in the units of the view."""
        needed = needs(self.axes, box)
        image: FloatImage = self.view.read(needed).astype(np.float32, copy=False)
        for index, axis in enumerate(self.axes):
            if axis is not None:
                image = _resample(image, index, axis, box[index], needed[index][0])
        return image


def needs(axes: Axes, box: Box) -> Box:
    """The box of the old sampling that a box of the new one is computed from."""
    z, y, x = (
        interval if axis is None else axis.needs(interval)
        for interval, axis in zip(box, axes, strict=True)
    )
    return z, y, x


def _resample(
    image: FloatImage, index: int, axis: Axis, interval: Interval, start: int
) -> FloatImage:
    """Sample one axis of an image that begins at pixel `start` of it."""
    taps, weights = axis.taps(interval)
    along = [1, 1, 1]
    along[index] = -1
    result = np.zeros(1, dtype=np.float32)
    for column in range(taps.shape[1]):
        part = image.take(taps[:, column] - start, axis=index)
        result = result + part * weights[:, column].reshape(along)
    return result


def _kernel(name: Kernel, distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of a pixel at a distance, in pixels of the coarser sampling."""
    d = np.abs(distance)
    if name == "area":
        inside: NDArray[np.float64] = (d <= 0.5).astype(np.float64)
        return inside
    if name in ("linear", "between"):
        linear: NDArray[np.float64] = np.maximum(1 - d, 0)
        return linear
    near = (1.5 * d - 2.5) * d**2 + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    weight: NDArray[np.float64] = np.where(d <= 1, near, np.where(d < 2, far, 0))
    return weight

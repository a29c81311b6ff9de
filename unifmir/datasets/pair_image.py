"""One image of a pair as frames of (z, y, x), whatever axes its file has, read by regions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from unifmir.errors import ImageError
from unifmir.images.base import AXES, Source, described
from unifmir.restoration.resampling import block_boxes

Box = tuple[slice, slice, slice]
"""Pixels along z, y and x."""
Pixels = Shaped[np.ndarray, "z y x"]


@dataclass(frozen=True, slots=True)
class PairImage:
    """An image of a pair.

    Parameters
    ----------
    source : Source
    axes : str
        Axes that the task has: `yx` or `zyx`.
    channel : int, optional
        The channel to take, where there are several.
    averaged : bool
        Whether its planes are exposures of one plane.

    Raises
    ------
    ImageError
        By `require_fitting`: it is longer than 1 along an axis that the task does not have.
    """

    source: Source
    axes: str
    channel: int | None = None
    averaged: bool = False

    @property
    def frames(self) -> int:
        """Time points, each an image of its own, or samples of a training file."""
        return self.source.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pixels along z, y and x."""
        z, y, x = self.source.shape[2:]
        return (1 if self.averaged else z), y, x

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Pixel type of what is read."""
        return np.dtype(np.float32) if self.averaged else self.source.dtype

    def require_fitting(self) -> None:
        """Refuse an image of other axes than the task's."""
        shape = self.source.shape
        lengths = {axis: shape[AXES.index(axis)] for axis in self.source.info.axes}
        told = described(tuple(lengths.values()), "".join(lengths))
        if self.channel is None and shape[1] > 1:
            raise ImageError(f"{told}: it has {shape[1]} channels; choose one (--channel)")
        if self.channel is not None and not self.channel < shape[1]:
            raise ImageError(f"{told}: it has no channel number {self.channel}, counted from 0")
        if self.shape[0] > 1 and "z" not in self.axes:
            raise ImageError(
                f"{told}: expected single planes, {self.axes.upper()}. If its planes are time "
                "points, say so (--axes tyx)"
            )

    def read(self, frame: int, box: Box) -> Pixels:
        """Raw intensities of a box of one frame."""
        channel = self.channel or 0
        z = slice(0, self.source.shape[2]) if self.averaged else box[0]
        region = (slice(frame, frame + 1), slice(channel, channel + 1), z, *box[1:])
        found: Pixels = self.source.read(region)[0, 0]
        if not self.averaged:
            return found
        mean: Pixels = found.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return mean

    def blocks(self, frame: int) -> Iterator[Pixels]:
        """All intensities of a frame, in blocks that hold whole chunks."""
        chunks = self.source.chunks[2:]
        for box in block_boxes(self.shape, (1, *chunks[1:]) if self.averaged else chunks):
            z, y, x = (slice(*interval) for interval in box)
            yield self.read(frame, (z, y, x))

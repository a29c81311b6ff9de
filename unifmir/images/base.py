"""Images as the rest of the package sees them, whatever file they lie in.

Every image is five-dimensional here, (T, C, Z, Y, X), read and written by regions, so that an
image never has to fit in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from jaxtyping import Shaped

from unifmir.errors import ImageError

AXES = "tczyx"
Shape = tuple[int, int, int, int, int]
Region = tuple[slice, slice, slice, slice, slice]
"""Slices with explicit bounds and step 1, one an axis of `AXES`."""
Pixels = Shaped[np.ndarray, "t c z y x"]
"""Intensities of a region, of any real dtype."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Metadata of one channel."""

    name: str | None = None
    color: str | None = None
    """Six hexadecimal digits, RRGGBB."""
    display: tuple[float, float] | None = None
    """Intensities shown as black and as white."""


COORDINATES = "tzyx"
"""Axes along which there are distances and places."""
Coordinates = tuple[float | None, float | None, float | None, float | None]
"""A number for each axis of `COORDINATES`; None where it is unknown."""
UNKNOWN: Coordinates = (None, None, None, None)
Sampling = tuple[float, float]
"""Step and offset, in old pixels, of pixels that lie anew."""
_AS_IT_IS: Sampling = (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Metadata that a file holds of its image. None where it does not say."""

    name: str
    """Name of the file, for people."""
    axes: str
    """Axes that the file really has, in the order of `AXES`; the others have length 1."""
    pixel_size_um: tuple[float | None, float | None] = (None, None)
    """Along y and x."""
    z_step_um: float | None = None
    frame_interval_s: float | None = None
    channels: tuple[Channel, ...] = ()
    """One a channel, or none."""
    unitless: Coordinates = UNKNOWN
    """Distances of frames, planes, rows and columns whose unit the file does not say."""
    origin: Coordinates = UNKNOWN
    """Place of the centre of the first pixel, in seconds and micrometres, or without a unit where
    the distance has none."""
    provenance: str = ""
    """How the pixels were made, as JSON; empty where the file does not say."""

    def resampled(
        self, z: Sampling = _AS_IT_IS, y: Sampling = _AS_IT_IS, x: Sampling = _AS_IT_IS
    ) -> Self:
        """Metadata of the same image sampled anew along z, y and x.

        Parameters
        ----------
        z, y, x : (float, float)
            Step and offset: new pixel j lies at j * step + offset of the old ones.
        """
        samplings = (_AS_IT_IS, z, y, x)
        known = (None, self.z_step_um, *self.pixel_size_um)
        _, step, rows, columns = _scaled(known, samplings)
        places = zip(self.origin, samplings, known, self.unitless, strict=True)
        first, depth, top, left = (
            None if place is None else place + offset * (size or unitless or 1.0)
            for place, (_, offset), size, unitless in places
        )
        return replace(
            self,
            pixel_size_um=(rows, columns),
            z_step_um=step,
            unitless=_scaled(self.unitless, samplings),
            origin=(first, depth, top, left),
        )

    def without(self, axes: str) -> Self:
        """Metadata without some axes, which now have length 1."""
        gone = set(axes.lower())
        kept = [axis not in gone for axis in COORDINATES]
        return replace(
            self,
            axes="".join(axis for axis in self.axes if axis not in gone),
            z_step_um=None if "z" in gone else self.z_step_um,
            frame_interval_s=None if "t" in gone else self.frame_interval_s,
            channels=() if "c" in gone and len(self.channels) != 1 else self.channels,
            unitless=_kept(self.unitless, kept),
            origin=_kept(self.origin, kept),
        )


def _scaled(distances: Coordinates, samplings: tuple[Sampling, ...]) -> Coordinates:
    t, z, y, x = (
        None if distance is None else distance * step
        for distance, (step, _) in zip(distances, samplings, strict=True)
    )
    return t, z, y, x


def _kept(values: Coordinates, kept: Iterable[bool]) -> Coordinates:
    t, z, y, x = (value if keep else None for value, keep in zip(values, kept, strict=True))
    return t, z, y, x


class Source(Protocol):
    """An image that is read by regions. Can be pickled, and opened again where it is unpickled."""

    info: ImageInfo
    shape: Shape
    dtype: np.dtype[Any]
    chunks: Shape
    """Size that is cheap to read at once."""

    def read(self, region: Region) -> Pixels:
        """The intensities of a region, in the file's own dtype."""

    def close(self) -> None:
        """Release the file."""


class PathSource:
    """Base of sources of a file, which is opened again with the same options when unpickled."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._path = path
        self._options = options

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._options), (self._path,)

    def close(self) -> None:
        """Release nothing: no file is kept open."""


class Sink(Protocol):
    """An image that is written by regions, aside, and appears under its name when complete.

    Can be pickled, as a source. A sink that is opened again for the same path, shape and dtype
    after an interruption still holds what was flushed.
    """

    shape: Shape
    dtype: np.dtype[Any]
    chunks: Shape
    """Regions that do not share a chunk can be written by several processes at once."""
    resumed: bool
    """Whether it found, and holds, what an interrupted run wrote; else it began empty."""

    def write(self, region: Region, values: Pixels) -> None:
        """Write intensities to a region."""

    def flush(self) -> None:
        """Bring everything written so far to where it survives a kill of this process."""

    def publish(self) -> None:
        """Rename into place, replacing what was there."""

    def discard(self) -> None:
        """Delete what lies aside."""


def whole_region(shape: Shape) -> Region:
    """The region of all pixels."""
    t, c, z, y, x = (slice(0, length) for length in shape)
    return t, c, z, y, x


def region_shape(region: Region) -> Shape:
    """The lengths of a region's five slices."""
    t, c, z, y, x = (bounds.stop - bounds.start for bounds in region)
    return t, c, z, y, x


def check_region(region: Region, shape: Shape) -> None:
    """Raise ImageError where a region is empty, stepped, or reaches beyond the image."""
    fits = len(region) == len(AXES) and all(
        bounds.step in (None, 1) and 0 <= bounds.start < bounds.stop <= length
        for bounds, length in zip(region, shape, strict=True)
    )
    if not fits:
        shown = ", ".join(f"{bounds.start}:{bounds.stop}" for bounds in region)
        raise ImageError(
            f"the region ({shown}) does not lie in the image of {described(shape)}: "
            "expected five slices with explicit bounds inside it, none of them empty"
        )


def check_values(region: Region, values: Pixels, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Raise ImageError where values cannot be written to a region of an image."""
    check_region(region, shape)
    if values.shape != region_shape(region):
        raise ImageError(
            f"values of shape {times(values.shape)} cannot be written to a region of "
            f"{described(region_shape(region))}: expected the same shape"
        )
    if not np.can_cast(values.dtype, dtype, casting="same_kind"):
        raise ImageError(
            f"values are {values.dtype}, but the file holds {dtype}: convert them first"
        )


def check_output(shape: tuple[int, ...], info: ImageInfo) -> None:
    """Raise ImageError where an image of this shape cannot be described by this info."""
    if len(shape) != len(AXES) or min(shape, default=0) < 1:
        raise ImageError(f"shape {times(shape)}: expected five lengths of at least 1, {AXES}")
    axes = [axis for axis in AXES if axis in info.axes]
    if "".join(axes) != info.axes or info.axes[-2:] != "yx":
        raise ImageError(f"axes {info.axes!r}: expected some of {AXES} in this order, ending in yx")
    unnamed = [a for a, length in zip(AXES, shape, strict=True) if length > 1 and a not in axes]
    if unnamed:
        raise ImageError(
            f"shape {times(shape)} is longer than 1 along {', '.join(unnamed)}, "
            f"which the axes {info.axes!r} lack"
        )
    sizes = (*info.pixel_size_um, info.z_step_um, info.frame_interval_s)
    known = [size for size in (*sizes, *info.unitless) if size is not None]
    if not all(np.isfinite(size) and size > 0 for size in known):
        raise ImageError(
            f"pixel size (y, x), z step and frame interval are {sizes}, and without unit "
            f"{info.unitless}: expected more than 0"
        )


def described(shape: tuple[int, ...], axes: str = AXES) -> str:
    """A shape with its axes, for messages: "5x21x34 with axes ZYX"."""
    return f"{times(shape)} with axes {axes.upper()}"


def times(shape: tuple[int, ...]) -> str:
    """A shape for messages: "5x21x34"."""
    return "x".join(str(length) for length in shape)

"""Arrays as images: what is restored in memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unifmir.images.base import (
    ImageInfo,
    Region,
    Shape,
    check_output,
    check_region,
    check_values,
)
from unifmir.images.layout import layout, real

_CHUNK = 1024
"""Pixels along y and x that are read at once."""


class ArraySource:
    """A NumPy array as a source.

    Parameters
    ----------
    values : array, one axis a letter of `axes`, integer, boolean or floating point
        Read where it lies, not copied.
    axes : str
        Some of T, C, Z, Y, X in the array's order, any case.
    info : ImageInfo, optional
        What is known of the image; its axes are those of `axes` whatever it says.

    Raises
    ------
    ImageError
        The axes do not fit, or the array is empty or complex.
    """

    def __init__(self, values: NDArray[Any], axes: str, info: ImageInfo | None = None) -> None:
        found = layout(axes, values.shape)
        self.dtype = real(values.dtype)
        self.shape: Shape = found.five
        height, width = found.five[3:]
        self.chunks: Shape = (1, 1, 1, min(height, _CHUNK), min(width, _CHUNK))
        known = info or ImageInfo(name="array", axes=found.named)
        self.info = ImageInfo(
            name=known.name,
            axes=found.named,
            pixel_size_um=known.pixel_size_um,
            z_step_um=known.z_step_um,
            frame_interval_s=known.frame_interval_s,
            channels=known.channels,
        )
        self._values = found.arranged(values)

    def read(self, region: Region) -> NDArray[Any]:
        """The pixels of a region: a copy, in the machine's byte order."""
        check_region(region, self.shape)
        return self._values[region].astype(self.dtype)

    def close(self) -> None:
        """Nothing to release."""


class ArraySink:
    """A NumPy array as a sink; `values` holds what was written, zeros elsewhere.

    Parameters
    ----------
    shape : Shape
        (T, C, Z, Y, X).
    dtype : dtype
        Of the pixels.
    info : ImageInfo
        What is known of the image.
    chunks : Shape, optional
        Default: the whole image.
    """

    def __init__(
        self, shape: Shape, dtype: np.dtype[Any], info: ImageInfo, *, chunks: Shape | None = None
    ) -> None:
        check_output(shape, info)
        self.info = info
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.chunks = chunks or shape
        self.resumed = False
        self.values = np.zeros(shape, self.dtype)

    def write(self, region: Region, values: NDArray[Any]) -> None:
        """Write a region; values have its shape."""
        check_values(region, values, self.shape, self.dtype)
        self.values[region] = values

    def flush(self) -> None:
        """Nothing in memory survives."""

    def publish(self) -> None:
        """The array is the result."""

    def discard(self) -> None:
        """Nothing lies aside."""

    def array(self) -> NDArray[Any]:
        """What was written, with the axes of `info.axes` only."""
        lengths = [self.shape["tczyx".index(axis)] for axis in self.info.axes]
        return self.values.reshape(lengths)

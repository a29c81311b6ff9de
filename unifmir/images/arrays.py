"""Arrays as images: what is restored in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unifmir.images.base import (
    AXES,
    ImageInfo,
    Pixels,
    Region,
    Shape,
    check_output,
    check_region,
    check_values,
)
from unifmir.images.layout import find_layout, pixel_dtype

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
        found = find_layout(axes, values.shape)
        self.dtype = pixel_dtype(values.dtype)
        self.shape: Shape = found.image_shape
        height, width = found.image_shape[3:]
        self.chunks: Shape = (1, 1, 1, min(height, _CHUNK), min(width, _CHUNK))
        known = info or ImageInfo(name="array", axes=found.image_axes)
        self.info = replace(known, axes=found.image_axes)
        self._values = found.to_image(values)

    def read(self, region: Region) -> Pixels:
        """The intensities of a region: a copy, in the machine's byte order."""
        check_region(region, self.shape)
        return self._values[region].astype(self.dtype)

    def close(self) -> None:
        """Release nothing: the array is the caller's."""


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

    def write(self, region: Region, values: Pixels) -> None:
        """Write intensities to a region."""
        check_values(region, values, self.shape, self.dtype)
        self.values[region] = values

    def flush(self) -> None:
        """Do nothing: what is in memory does not survive."""

    def publish(self) -> None:
        """Do nothing: the array is the result."""

    def discard(self) -> None:
        """Do nothing: nothing lies aside."""

    def array(self) -> NDArray[Any]:
        """Intensities that were written, shape and axes as `info.axes`."""
        lengths = [self.shape[AXES.index(axis)] for axis in self.info.axes]
        return self.values.reshape(lengths)

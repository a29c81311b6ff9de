"""How the five axes lie in a file's array, whose axes are fewer or in another order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from unifmir.errors import ImageError
from unifmir.images.base import AXES, Pixels, Region, Shape, described, times
from unifmir.normalize import check_real

_UNKNOWN = "qi"
"""tifffile's letters for pages of unknown meaning."""
_SAMPLES = "s"
"""tifffile's letter for the red, green and blue of a pixel."""
_COLOURS = (3, 4)
"""Numbers of samples of colour pictures, with or without opacity."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of an array as a file holds it, for reading and writing it as (T, C, Z, Y, X)."""

    axes: str
    """One letter of `AXES` for each of the array's axes, or `.` for one of length 1 to drop."""
    shape: tuple[int, ...]
    """Shape of the file's array."""

    @property
    def image_axes(self) -> str:
        """The axes the file has, in the order of `AXES`."""
        return "".join(axis for axis in AXES if axis in self.axes)

    @property
    def image_shape(self) -> Shape:
        """The image's shape."""
        return self.image_lengths(self.shape)

    def image_lengths(self, in_file: tuple[int, ...]) -> Shape:
        """Lengths along the file's axes (of chunks, say) as five; 1 for axes it lacks."""
        given = dict(zip(self.axes, in_file, strict=True))
        t, c, z, y, x = (given.get(axis, 1) for axis in AXES)
        return t, c, z, y, x

    def file_lengths(self, shape: Shape) -> tuple[int, ...]:
        """Five lengths as lengths along the file's axes."""
        given = dict(zip(AXES, shape, strict=True))
        return tuple(given.get(axis, 1) for axis in self.axes)

    def region(self, region: Region) -> tuple[slice, ...]:
        """A region as slices of the file's array."""
        given = dict(zip(AXES, region, strict=True))
        return tuple(given.get(axis, slice(0, 1)) for axis in self.axes)

    def to_image(self, values: Shaped[np.ndarray, "..."]) -> Pixels:
        """Intensities of a part of the file's array, with five axes."""
        kept = [index for index, axis in enumerate(self.axes) if axis != "."]
        squeezed = values.reshape([values.shape[index] for index in kept])
        axes = self.axes.replace(".", "")
        ordered = squeezed.transpose([axes.index(axis) for axis in self.image_axes])
        return ordered.reshape(self.image_lengths(values.shape))

    def to_file(self, values: Pixels) -> Shaped[np.ndarray, "..."]:
        """Intensities as a part of the file's array; the opposite of `to_image`."""
        lengths = self.file_lengths(_five(values.shape))
        squeezed = values.reshape([values.shape[AXES.index(axis)] for axis in self.image_axes])
        axes = self.axes.replace(".", "")
        return squeezed.transpose([self.image_axes.index(axis) for axis in axes]).reshape(lengths)


def find_layout(axes: str, shape: tuple[int, ...], *, wanted: str | None = None) -> Layout:
    """How an array whose axes a file names is an image.

    Parameters
    ----------
    axes : str
        The file's letters, any case: those of `AXES`, tifffile's Q and I for unknown ones, others.
    shape : tuple of int
        Of the file's array.
    wanted : str, optional
        What the user says the axes are, for all of the array's axes or for those longer than 1.

    Raises
    ------
    ImageError
        An axis longer than 1 is none of `AXES`, or could be several of them.
    """
    if len(axes) != len(shape):
        raise ImageError(f"its axes {axes.upper()} do not fit its shape {times(shape)}")
    if not shape or min(shape) < 1:
        raise ImageError(f"the image is empty: its shape is {times(shape) or 'a single number'}")
    letters = _as_told(wanted, shape) if wanted is not None else list(axes.lower())
    for index, (axis, length) in enumerate(zip(letters, shape, strict=True)):
        if length == 1 and axis not in AXES:
            letters[index] = "."
    if wanted is None:
        _name_the_unknown(letters)
    _check(letters, shape, axes)
    return Layout("".join(letters), shape)


def _as_told(wanted: str, shape: tuple[int, ...]) -> list[str]:
    told = list(wanted.lower())
    if len(told) == len(shape):
        return told
    long = [index for index, length in enumerate(shape) if length > 1]
    if len(told) != len(long):
        raise ImageError(
            f"axes {wanted.upper()} do not fit its shape {times(shape)}: "
            f"expected {len(shape)} letters, one an axis"
        )
    letters = ["."] * len(shape)
    for index, axis in zip(long, told, strict=True):
        letters[index] = axis
    return letters


def _name_the_unknown(letters: list[str]) -> None:
    """Take the only axis of unknown meaning as planes, as Fiji does, if there are no others."""
    unknown = [index for index, axis in enumerate(letters) if axis in _UNKNOWN]
    if len(unknown) == 1 and "z" not in letters:
        letters[unknown[0]] = "z"


def _check(letters: list[str], shape: tuple[int, ...], axes: str) -> None:
    found = f"shape {described(shape, axes)}"
    if _SAMPLES in letters:
        told = "".join("c" if axis == _SAMPLES else axis for axis in letters if axis != ".")
        samples = shape[letters.index(_SAMPLES)]
        if samples in _COLOURS and "c" not in letters:
            advice = (
                "this is a colour picture: convert it to grey (Fiji: Image > Type > 16-bit), or, "
                f"if its {samples} samples are channels of a microscope, say so (--axes {told})"
            )
        else:
            advice = (
                f"its pixels have {samples} samples each: if they are channels, say so "
                f"(--axes {told})"
            )
        raise ImageError(f"{found}: {advice}")
    strange = [axis for axis in letters if axis not in AXES + "."]
    named = [axis for axis in letters if axis != "."]
    if strange or len(set(named)) != len(named):
        raise ImageError(
            f"{found}: expected each of T, C, Z, Y, X once at most, and no others; name the axes "
            "(--axes), or correct them in Fiji (Image > Properties) and save the image again"
        )
    if "y" not in letters or "x" not in letters:
        raise ImageError(f"{found}: expected Y and X among them")


def _five(shape: tuple[int, ...]) -> Shape:
    t, c, z, y, x = shape
    return t, c, z, y, x


def pixel_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The pixel type in the machine's byte order; ImageError where pixels are no real numbers."""
    check_real(dtype)
    return dtype.newbyteorder("=")

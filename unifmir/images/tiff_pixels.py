"""Intensities that Fiji shows for the numbers that a TIFF file stores."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from unifmir.errors import ImageError
from unifmir.images.base import ImageInfo
from unifmir.images.layout import pixel_dtype

_SIGNED_16 = (0, -32768.0, 1.0)
"""ImageJ's calibration of signed 16 bit: function "straight line", offset and slope."""


@dataclass(frozen=True, slots=True)
class PixelMeaning:
    """How stored numbers become intensities."""

    stored: np.dtype[Any]
    """Type of the stored numbers, in the machine's byte order."""
    kind: Literal["as stored", "white is zero", "signed 16 bit"] = "as stored"
    top: int = 0
    """The largest number of so many bits, where white is zero."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the intensities."""
        return np.dtype(np.int16) if self.kind == "signed 16 bit" else self.stored

    def intensities(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Intensities of stored numbers, same shape."""
        if self.kind == "white is zero":
            inverted: NDArray[Any] = ~stored if self.stored.kind == "b" else self.top - stored
            return inverted.astype(self.stored, copy=False)
        if self.kind == "signed 16 bit":
            return (stored ^ np.uint16(0x8000)).view(np.int16)
        return stored

    def shown(self, info: ImageInfo) -> ImageInfo:
        """Metadata whose display ranges are those of the intensities."""
        return replace(
            info, channels=tuple(replace(c, display=self._range(c.display)) for c in info.channels)
        )

    def _range(self, display: tuple[float, float] | None) -> tuple[float, float] | None:
        if display is None or self.kind == "as stored":
            return display
        low, high = display
        if self.kind == "signed 16 bit":
            return low + _SIGNED_16[1], high + _SIGNED_16[1]
        return self.top - high, self.top - low


def pixel_meaning(file: tifffile.TiffFile, key: tifffile.TiffPage) -> PixelMeaning:
    """How the numbers of a file's pages are meant.

    Raises
    ------
    ImageError
        Pixels are no real numbers, or white is zero and there is no largest number.
    """
    stored = pixel_dtype(np.dtype(key.dtype))
    if key.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        if stored.kind not in "bu":
            raise ImageError(
                f"its pixels are {stored} and white is said to be zero, which only whole numbers "
                "without a sign can be: invert the image in Fiji (Edit > Invert) and save it again"
            )
        bits = key.bitspersample if isinstance(key.bitspersample, int) else 8 * stored.itemsize
        return PixelMeaning(stored, "white is zero", 2 ** int(bits) - 1)
    said = (file.imagej_metadata or {}) if file.is_imagej and not file.is_ome else {}
    calibration = tuple(said.get(name) for name in ("cf", "c0", "c1"))
    if stored == np.uint16 and calibration == _SIGNED_16:
        return PixelMeaning(stored, "signed 16 bit")
    return PixelMeaning(stored)

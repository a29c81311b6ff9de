"""PNG files: one plane of 8 or 16 bit, read and written as a whole."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unifmir.atomic import writing
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.images.base import ImageInfo, PathSource, Pixels, Region, Shape, times
from unifmir.images.damage import check_size, reading
from unifmir.images.layout import find_layout, pixel_dtype
from unifmir.images.plane_output import PlanesSink

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 178_956_970
"""Pillow reads no larger ones."""


class PngSource(PathSource):
    """The grey plane of a PNG file, decoded when it is opened.

    Parameters
    ----------
    path : Path
    axes : str, optional
        "yx", which is all that a PNG can hold.

    Raises
    ------
    ImageError
        The file is damaged or cut short, is a colour picture, or is too large for a PNG.
    """

    def __init__(self, path: Path, *, axes: str | None = None) -> None:
        super().__init__(path, axes=axes)
        values = _values(path)
        with reading(path):
            found = find_layout("yxs"[: values.ndim], values.shape, wanted=axes)
            self.dtype: np.dtype[Any] = pixel_dtype(values.dtype)
            self._array = ArraySource(values, found.axes, ImageInfo(path.name, found.image_axes))
        self.info: ImageInfo = self._array.info
        self.shape: Shape = self._array.shape
        self.chunks: Shape = self._array.chunks

    def read(self, region: Region) -> Pixels:
        """The intensities of a region."""
        return self._array.read(region)


def _values(path: Path) -> NDArray[Any]:
    from PIL import Image as Pillow

    with reading(path):
        _whole_png(path)
        try:
            with warnings.catch_warnings():
                # Pillow warns from 89 million pixels on; what is too large is decided below.
                warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
                opened = Pillow.open(path, formats=("PNG",))
        except Pillow.DecompressionBombError as error:
            raise ImageError(
                "more pixels than PNG files are read with (179 million); save it as TIFF"
            ) from error
        with opened as file:
            width, height = file.size
            sample_bytes = 2 if file.mode.startswith("I") else 1
            check_size(path, width * height * len(file.getbands()) * sample_bytes)
            if file.mode in ("P", "PA"):
                raise ImageError(
                    "a PNG with a colour table; expected grey values. "
                    "Convert it to 8 or 16 bit grey (Fiji: Image > Type)"
                )
            return np.asarray(file)


def _whole_png(path: Path) -> None:
    """Check every chunk's length and checksum: Pillow forgives some damage."""
    data = path.read_bytes()
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            break
        (recorded,) = struct.unpack(">I", data[end - 4 : end])
        if zlib.crc32(data[at + 4 : end - 4]) != recorded:
            raise ImageError(f"the PNG is damaged (checksum of {kind!r})")
        if kind == b"IEND":
            return
        at = end
    raise ImageError("the PNG is cut short. Copy or download it again")


class PngSink(PlanesSink):
    """A plane of whole numbers in a PNG file, without loss; it has no pixel size.

    Real numbers are refused and not scaled to the 8 or 16 bit that PNG has: a picture whose
    intensities were changed looks like one that can be measured.
    """

    kind = "png"

    def _check(self) -> None:
        name = self.path.name
        if self.dtype.name not in ("uint8", "uint16"):
            raise ImageError(
                f"{name}: PNG holds whole numbers of 8 or 16 bit, and the image is {self.dtype}: "
                "write a TIFF (.tif), which keeps its intensities and pixel size"
            )
        *outer, y, x = self.shape
        if max(outer) > 1 or y * x > MAX_PIXELS:
            raise ImageError(
                f"{name}: PNG holds one plane of at most {MAX_PIXELS // 10**6} million pixels, and "
                f"the image is {times(self.shape)} (T, C, Z, Y, X): write a TIFF (.tif)"
            )

    def _create(self, path: Path) -> dict[str, Any]:
        with path.open("wb") as file:
            file.truncate(self.shape[-2] * self.shape[-1] * self.dtype.itemsize)
        return {"offset": 0, "byteorder": "="}

    def publish(self) -> None:
        """Encode what lies aside into the file, and delete it."""
        from PIL import Image as Pillow

        plane = np.fromfile(self._staged.path, self._stored).reshape(self.shape[-2:])
        with writing(self.path) as encoded:
            Pillow.fromarray(plane).save(encoded, format="PNG")
        self.discard()

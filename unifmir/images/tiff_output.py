"""TIFF files written by regions."""

import math
from pathlib import Path
from typing import Any, Literal

import tifffile

from unifmir.errors import ImageError
from unifmir.images.plane_output import PlanesSink
from unifmir.images.tiff_metadata import imagej_keywords, ome_keywords

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_IMAGEJ_BYTES = 2**32 - 2**26
"""TIFF counts in 32 bits; 64 MiB are left for the headers of up to 300,000 planes."""
_OME_DTYPES = (*_IMAGEJ_DTYPES, "int8", "int16", "int32", "uint32", "float64")
_STRIP_BYTES = 2**20
"""Bio-Formats reads whole strips: a plane in one piece could not be opened beyond 2 GiB."""


class TiffSink(PlanesSink):
    """An image in a TIFF file, uncompressed.

    ImageJ's own hyperstack where ImageJ has the pixel type and the file stays below 4 GiB, and
    the name does not end in .ome.tif; else an OME-TIFF with 64-bit offsets (BigTIFF), which Fiji
    opens through Bio-Formats.
    """

    kind = "tiff"

    def _check(self) -> None:
        if self.dtype.name not in _OME_DTYPES:
            raise ImageError(
                f"{self.path.name}: TIFF files of {self.dtype} pixels are not opened by Fiji; "
                f"expected one of {', '.join(_OME_DTYPES)}"
            )

    def _is_imagej(self) -> bool:
        size = math.prod(self.shape) * self.dtype.itemsize
        named_ome = ".ome." in self.path.name.lower()
        return self.dtype.name in _IMAGEJ_DTYPES and size <= _IMAGEJ_BYTES and not named_ome

    def _create(self, path: Path) -> dict[str, Any]:
        keywords = imagej_keywords if self._is_imagej() else ome_keywords
        byteorder: Literal[">", "<"] = ">" if self._is_imagej() else "<"
        rows = _STRIP_BYTES // (self.shape[-1] * self.dtype.itemsize)
        written = tifffile.imwrite(
            path,
            # One sample a pixel, said in so many words: else tifffile takes an image that is one
            # pixel wide for samples.
            shape=(*self._layout.shape, 1) if self._is_imagej() else self._layout.shape,
            dtype=self.dtype,
            byteorder=byteorder,
            rowsperstrip=min(max(1, rows), self.shape[-2]),
            photometric="minisblack",
            returnoffset=True,
            **keywords(self.info, self._layout),
        )
        if written is None:
            raise ImageError(f"{path.name}: tifffile {tifffile.__version__} wrote no planes")
        return {"offset": int(written[0]), "byteorder": byteorder}

"""TIFF files written by regions."""

import math
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from unifmir.errors import ImageError
from unifmir.images.ngff import finite_window
from unifmir.images.plane_output import PlanesSink
from unifmir.images.tiff_metadata import DISPLAY_LATER, display_text, imagej_keywords, ome_keywords

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

    def publish(self) -> None:
        """Write display ranges that nobody gave, and rename into place."""
        if self._is_imagej():
            self._write_displays()
        super().publish()

    def _write_displays(self) -> None:
        known = [channel.display for channel in self.info.channels] or [None] * self.shape[1]
        if None not in known:
            return
        found = self._ranges()
        displays = [display or window for display, window in zip(known, found, strict=True)]
        later = [display or DISPLAY_LATER for display in known]
        with self._staged.path.open("rb+") as file:
            header = file.read(self._offset)
            for before, after in zip(_display_bytes(later), _display_bytes(displays), strict=True):
                header = header.replace(before, after)
            file.seek(0)
            file.write(header)

    def _ranges(self) -> list[tuple[float, float]]:
        """Least and greatest value of each channel."""
        shape = self._layout.shape
        at = self._layout.axes.find("c")
        mapped = np.memmap(self._staged.path, self._stored, "r", self._offset, shape)
        found = [(np.inf, -np.inf)] * self.shape[1]
        for position in np.ndindex(*shape[:-2]):
            channel = position[at] if at >= 0 else 0
            low, high = found[channel]
            plane = mapped[position]
            found[channel] = (min(low, float(plane.min())), max(high, float(plane.max())))
        return [finite_window(*window) for window in found]

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


def _display_bytes(displays: list[tuple[float, float]]) -> list[bytes]:
    """Display ranges as they lie in the header: the first one's text, and all numbers."""
    low, high = displays[0]
    numbers = [value for display in displays for value in display]
    return [
        f"min={display_text(low)}\n".encode(),
        f"max={display_text(high)}\n".encode(),
        struct.pack(f">{len(numbers)}d", *numbers),
    ]

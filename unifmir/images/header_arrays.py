"""Images whose file is a header of a fixed form and then all pixels: MRC, and NIfTI-1.

Both are read here and not by a library: the header is what a stranger may lie in, its fields that
matter are ten, and pixels must be read by regions from where they lie.
"""

import gzip
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unifmir.errors import ImageError
from unifmir.images.base import ImageInfo, PathSource, Pixels, Region, Shape, check_region, times
from unifmir.images.damage import (
    MAX_BYTES,
    MAX_RATIO,
    SUSPICIOUS_BYTES,
    check_memory,
    reading,
)
from unifmir.images.layout import find_layout, pixel_dtype

MRC_SUFFIX = ".mrc"
NIFTI_SUFFIXES = (".nii", ".nii.gz")
_MRC_HEADER = 1024
_NIFTI_HEADER = 348
_MRC_TYPES: Mapping[int, str] = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
"""Pixel types by mode (MRC2014, ccpem.ac.uk/mrc-format/mrc2014)."""
_NIFTI_TYPES: Mapping[int, str] = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
"""Pixel types by code (nifti.nimh.nih.gov, nifti1.h); colours and complex numbers are none."""
_NIFTI_UNITS_UM: Mapping[int, float] = {1: 1e6, 2: 1e3, 3: 1.0}
"""Micrometres of a metre, a millimetre and a micrometre, by code."""
_MOST_HEADER = 2**24
"""Bytes before the pixels: extended headers hold some hundred bytes a plane."""
_PIECE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """Facts of the pixels behind a header."""

    axes: str
    """Letters of the axes, the slowest first."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    """Bytes before the first pixel."""
    distances: tuple[float | None, float | None, float | None]
    """Distances of pixels along z, y and x."""
    unit_um: float | None
    """Micrometres of a distance of 1; None where the file does not say."""
    slope: float = 1.0
    intercept: float = 0.0
    """Intensities are slope * number + intercept."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the pixels."""
        return math.prod(self.shape) * self.dtype.itemsize


def is_header_array(path: Path) -> bool:
    """Whether a file's name is that of an MRC or NIfTI image."""
    return path.name.lower().endswith((MRC_SUFFIX, *NIFTI_SUFFIXES))


class HeaderArraySource(PathSource):
    """An MRC or NIfTI-1 image.

    Parameters
    ----------
    path : Path
        `.mrc`, `.nii`, or `.nii.gz`, which is unpacked into memory as a whole.
    axes : str, optional
        The axes, where the file says them wrongly.

    Raises
    ------
    ImageError
        The header is none, or does not fit the file's size.
    TooLittleMemoryError
        A packed image does not fit in memory.
    """

    def __init__(self, path: Path, *, axes: str | None = None) -> None:
        super().__init__(path, axes=axes)
        with reading(path):
            self._packed = _unpacked(path) if path.suffix.lower() == ".gz" else None
            stored = path.stat().st_size if self._packed is None else len(self._packed)
            header = self._header = _read_header(path, self._packed)
            if stored != header.offset + header.size_bytes:
                raise ImageError(
                    f"{times(header.shape)} pixels of {header.dtype} behind {header.offset} bytes "
                    f"are {header.offset + header.size_bytes} bytes, and it has {stored}: it is "
                    "damaged, or cut short"
                )
            self._layout = find_layout(header.axes, header.shape, wanted=axes)
            self._scaled = (header.slope, header.intercept) != (1.0, 0.0)
            self.dtype: np.dtype[Any] = (
                np.dtype(np.float32) if self._scaled else pixel_dtype(header.dtype)
            )
            self.shape: Shape = self._layout.image_shape
            self.chunks: Shape = (1, 1, 1, *self.shape[3:])
            self.info = _info(path.name, header, self._layout.image_axes)

    def read(self, region: Region) -> Pixels:
        """The intensities of a region."""
        check_region(region, self.shape)
        header = self._header
        with reading(self._path):
            array: NDArray[Any]
            if self._packed is None:
                array = np.memmap(self._path, header.dtype, "r", header.offset, header.shape)
            else:
                array = np.ndarray(header.shape, header.dtype, self._packed, header.offset)
            values = np.asarray(array[self._layout.region(region)])
            if self._scaled:
                values = values * header.slope + header.intercept
        return self._layout.to_image(values).astype(self.dtype)


def _unpacked(path: Path) -> bytes:
    """All of a packed file; ImageError where it grows out of proportion."""
    stored = path.stat().st_size
    most = min(MAX_BYTES, max(SUSPICIOUS_BYTES, MAX_RATIO * stored))
    pieces: list[bytes] = []
    size = 0
    with gzip.open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            size += len(piece)
            if size > most:
                raise ImageError(
                    f"its {stored} bytes unpack to more than {most}: it is damaged. Copy or "
                    "download it again"
                )
            pieces.append(piece)
            if len(pieces) % 64 == 0:
                check_memory(path, 2 * size)
    return b"".join(pieces)


def _read_header(path: Path, packed: bytes | None) -> ArrayHeader:
    if packed is not None:
        start = packed[:_MRC_HEADER]
    else:
        with path.open("rb") as file:
            start = file.read(_MRC_HEADER)
    return _mrc(start) if path.suffix.lower() == MRC_SUFFIX else _nifti(start)


def _mrc(start: bytes) -> ArrayHeader:
    if len(start) < _MRC_HEADER:
        raise ImageError(f"it has {len(start)} bytes, less than the header of an MRC image")
    for order in "<>":
        columns, rows, sections, mode = struct.unpack(f"{order}4i", start[:16])
        if mode in _MRC_TYPES and all(0 < n < 2**24 for n in (columns, rows, sections)):
            break
    else:
        raise ImageError(
            f"its header is none of an MRC image of real numbers: modes {sorted(_MRC_TYPES)} are "
            "read"
        )
    grid = struct.unpack(f"{order}3i", start[28:40])
    cell = struct.unpack(f"{order}3f", start[40:52])
    (extended,) = struct.unpack(f"{order}i", start[92:96])
    if not 0 <= extended <= _MOST_HEADER:
        raise ImageError(f"its header says {extended} bytes of an extended one")
    x, y, z = (
        _distance(length / n) if n > 0 else None for length, n in zip(cell, grid, strict=True)
    )
    axes, shape = ("zyx", (sections, rows, columns)) if sections > 1 else ("yx", (rows, columns))
    dtype = np.dtype(order + _MRC_TYPES[mode])
    # The format says Angstrom, and light microscopes write micrometres: the unit is not known.
    return ArrayHeader(axes, shape, dtype, _MRC_HEADER + extended, (z, y, x), None)


def _nifti(start: bytes) -> ArrayHeader:
    if len(start) < _NIFTI_HEADER:
        raise ImageError(f"it has {len(start)} bytes, less than the header of a NIfTI image")
    order = next((one for one in "<>" if struct.unpack(f"{one}i", start[:4])[0] == 348), None)
    if order is None or start[344:348] != b"n+1\0":
        raise ImageError(
            "it is no NIfTI-1 image in one file: save it so (nifti-2, and pairs of .hdr and .img, "
            "are not read)"
        )
    count, *lengths = struct.unpack(f"{order}8h", start[40:56])
    (code,) = struct.unpack(f"{order}h", start[70:72])
    distances = struct.unpack(f"{order}8f", start[76:108])[1:4]
    offset, slope, intercept = struct.unpack(f"{order}3f", start[108:120])
    if not 2 <= count <= 5 or min(lengths[:count]) < 1:
        raise ImageError(f"its header says {count} axes of {lengths}, expected 2 to 5")
    if code not in _NIFTI_TYPES:
        raise ImageError(f"its pixels are of type {code}, expected real numbers")
    if not _NIFTI_HEADER <= offset <= _MOST_HEADER or offset != int(offset):
        raise ImageError(f"its header says that pixels begin at byte {offset:g}")
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise ImageError("its header says a scale that is no number")
    if slope == 0:  # not scaled
        slope, intercept = 1.0, 0.0
    x, y, z = (_distance(one) for one in distances)
    shape = tuple(lengths[:count])[::-1]
    unit = _NIFTI_UNITS_UM.get(start[123] & 7)
    dtype = np.dtype(order + _NIFTI_TYPES[code])
    axes = "ctzyx"[-count:]
    return ArrayHeader(axes, shape, dtype, int(offset), (z, y, x), unit, slope, intercept)


def _distance(value: float) -> float | None:
    """A distance of pixels; None where it is none."""
    return value if math.isfinite(value) and 0 < value < 1e12 else None


def _info(name: str, header: ArrayHeader, axes: str) -> ImageInfo:
    z, y, x = header.distances
    z = z if "z" in axes else None
    if header.unit_um is None:
        return ImageInfo(name=name, axes=axes, unitless=(None, z, y, x))
    z, y, x = (None if one is None else one * header.unit_um for one in (z, y, x))
    return ImageInfo(name=name, axes=axes, pixel_size_um=(y, x), z_step_um=z)

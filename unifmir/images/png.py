"""PNG files: one plane of 8 or 16 bit, read and written as a whole."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
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
MAX_CHUNKS = 2**18
"""Parts of a file: of the usual 8 KiB, 2 GiB of packed pixels."""
MAX_OTHER_CHUNKS = 2**10
"""Parts that hold no pixels: words, profiles, times."""
MAX_OTHER_BYTES = 2**26
"""Bytes of a part that holds no pixels."""
_PIECE = 2**20
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Type of colours -> samples of a pixel."""
_ADAM_7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""Passes of an interlaced picture: first column and row, and their steps."""


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
        _check_whole(path)
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on; what is too large was refused before.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            opened = Pillow.open(path, formats=("PNG",))
        with opened as file:
            if file.mode in ("P", "PA"):
                raise ImageError(
                    "a PNG with a colour table; expected grey values. "
                    "Convert it to 8 or 16 bit grey (Fiji: Image > Type)"
                )
            return np.asarray(file)


@dataclass(frozen=True, slots=True)
class _Header:
    """First chunk of a PNG (PNG specification, 11.2.2)."""

    width: int
    height: int
    bits: int
    samples: int
    interlaced: bool

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the pixels in memory."""
        return self.width * self.height * self.samples * (2 if self.bits == 16 else 1)

    @property
    def filtered_bytes(self) -> int:
        """Bytes that the picture's data unpack to: rows, and a byte before each."""
        passes = _ADAM_7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, step_x, step_y in passes:
            columns = -(-(self.width - left) // step_x)
            rows = -(-(self.height - top) // step_y)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * self.samples * self.bits // 8))
        return total


def _header(data: bytes) -> _Header:
    if len(data) != 13:
        raise ImageError(f"the PNG is damaged: its size takes {len(data)} bytes, expected 13")
    width, height, bits, colours, packing, filtering, interlaced = struct.unpack(
        ">IIBBBBB", data[:13]
    )
    known = colours in _SAMPLES and bits in (1, 2, 4, 8, 16)
    if not known or packing or filtering or interlaced > 1 or not width or not height:
        raise ImageError(
            f"the PNG is damaged: its header says {width}x{height} pixels of {bits} bits, colours "
            f"{colours}, compression {packing}, filter {filtering}, interlacing {interlaced}"
        )
    if width * height > MAX_PIXELS:
        raise ImageError("more pixels than PNG files are read with (179 million); save it as TIFF")
    return _Header(width, height, bits, _SAMPLES[colours], bool(interlaced))


def _check_whole(path: Path) -> None:
    """Check every chunk's length and checksum, and what the picture's data unpack to.

    Pillow forgives some damage, and goes on unpacking what a picture has no room for.
    """
    size = path.stat().st_size
    header: _Header | None = None
    decoder = zlib.decompressobj()
    unpacked = chunks = others = 0
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            chunks, others = chunks + 1, others + (kind != b"IDAT")
            if file.tell() + length + 4 > size:
                break
            # Data that do not pack take a little more than the pixels.
            most = 2 * header.filtered_bytes if header and kind == b"IDAT" else 0
            if length > most + MAX_OTHER_BYTES:
                raise ImageError(f"the PNG is damaged: one of its parts has {length} bytes")
            body, recorded = file.read(length), file.read(4)
            if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(recorded, "big"):
                raise ImageError(f"the PNG is damaged (checksum of {kind!r})")
            if header is None or kind == b"IHDR":
                if header is not None or kind != b"IHDR":
                    raise ImageError("the PNG is damaged: its size stands elsewhere, or twice")
                header = _header(body)
                check_size(path, header.decoded_bytes)
            if kind == b"IDAT":
                unpacked += _unpacked(decoder, body, header.filtered_bytes - unpacked)
            if kind == b"IEND":
                _check_pixels(unpacked, decoder, header)
                return
            if chunks > MAX_CHUNKS or others > MAX_OTHER_CHUNKS:
                raise ImageError(
                    f"the PNG has {chunks} parts or more, {others} of them without pixels; "
                    f"expected {MAX_CHUNKS} and {MAX_OTHER_CHUNKS} at most: save it as TIFF"
                )
    raise ImageError("the PNG is cut short. Copy or download it again")


def _unpacked(decoder: Any, data: bytes, room: int) -> int:
    """Bytes that data unpack to, counted no further than just beyond the room there is."""
    total = 0
    while data and total <= room and not decoder.eof:
        total += len(decoder.decompress(data, _PIECE))
        data = decoder.unconsumed_tail
    return total


def _check_pixels(unpacked: int, decoder: Any, header: _Header) -> None:
    expected = header.filtered_bytes
    if unpacked != expected:
        found = f"more than {expected}" if unpacked > expected else unpacked
        raise ImageError(
            f"the PNG is damaged: {header.width}x{header.height} pixels take {expected} bytes, and "
            f"its data unpack to {found}"
        )
    if not decoder.eof:
        raise ImageError("the PNG is damaged: its data have no end. Copy or download it again")


def write_grey(path: Path, picture: UInt8[np.ndarray, "rows columns"]) -> None:
    """Write a picture for people as a PNG file, all or nothing.

    Parameters
    ----------
    path : Path
    picture : array, shape (rows, columns), uint8
        In [0, 255], 0 black and 255 white.
    """
    with writing(path) as aside:
        aside.write_bytes(grey_png(picture))


def grey_png(picture: UInt8[np.ndarray, "rows columns"]) -> bytes:
    """A picture for people, uint8 in [0, 255], as the content of a PNG file."""
    from PIL import Image as Pillow

    file = BytesIO()
    Pillow.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


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

"""How many pixels a compressed picture says it has: what a decoder would allocate.

Codecs of bytes (Deflate, LZW, Zstandard, LZMA, PackBits) are told how much to give and give no
more. These picture formats carry a size of their own, which the strip or tile around them does not
bind. Read as their standards lay the headers out: ITU-T T.81, T.800 and T.832, ISO/IEC 18181-1, the
PNG specification, RFC 9649 and Esri's LERC specification.
"""

import math
import struct

from unifmir.errors import ImageError

_SAVE = "save it with Deflate, LZW or Zstandard instead"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xDA)}) - {0xDA}
"""Markers without a length."""


def pixels_of(compression: int, data: bytes) -> int | None:
    """Pixels, samples not counted, of an encoded picture; None where its codec is told them.

    Parameters
    ----------
    compression : int
        TIFF's number of the codec.
    data : bytes
        The encoded strip or tile.

    Raises
    ------
    ImageError
        The picture has no header that says its size.
    """
    reader = _READERS.get(compression)
    if reader is None:
        return None
    try:
        return reader(data)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError("a strip or tile is damaged: its picture has no size") from error


def _jpeg(data: bytes) -> int:
    at, largest = 2, 0
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:  # the scan: what follows is entropy coded
            break
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            largest = max(largest, height * width)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return largest


def _jpeg_2000(data: bytes) -> int:
    at = data.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    return max(0, int(right) - int(left)) * max(0, int(bottom) - int(top))


def _png(data: bytes) -> int:
    if data[12:16] != b"IHDR":
        raise ValueError
    return math.prod(struct.unpack_from(">II", data, 16))


def _webp(data: bytes) -> int:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
    else:
        raise ValueError
    return width * height


def _lerc(data: bytes) -> int:
    if data[:6] != b"Lerc2 ":
        raise ImageError(f"it is compressed with an old LERC; {_SAVE}")
    (version,) = struct.unpack_from("<i", data, 6)
    rows, columns, *rest = struct.unpack_from("<4i", data, 10 if version < 3 else 14)
    depth = rest[0] if version >= 4 else 1
    if min(rows, columns, depth) < 1:
        raise ValueError
    return int(rows) * int(columns) * int(depth)


def _jpeg_xr(data: bytes) -> int:
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    lengths = {}
    for number in range(count):
        tag, kind, _, value = struct.unpack_from("<HHII", data, at + 2 + 12 * number)
        lengths[tag] = value & 0xFFFF if kind == 3 else value
    return int(lengths.get(0xBC80, 0)) * int(lengths.get(0xBC81, 0))


class _Bits:
    """Bits of a JPEG XL header, the least significant of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise IndexError
        taken = self._number & ((1 << count) - 1)
        self._number >>= count
        return taken

    def length(self) -> int:
        """A length of a size header: its range, then the number."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1


_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jpeg_xl(data: bytes) -> int:
    if not data.startswith(b"\xff\x0a"):  # in a container: the box of the codestream
        at = min(found for kind in (b"jxlc", b"jxlp") if (found := data.find(kind)) >= 0)
        data = data[at + (4 if data[at : at + 4] == b"jxlc" else 8) :]
    if not data.startswith(b"\xff\x0a"):
        raise ValueError
    bits = _Bits(data[2:64])
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.length()
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        width = height * over // under
    else:
        width = (bits.take(5) + 1) * 8 if small else bits.length()
    # Metadata: all as usual, or no extra fields, or those of which one tells an animation.
    if not bits.take(1) and bits.take(1):
        bits.take(3)
        if bits.take(3):
            raise ImageError(f"a strip or tile is a JPEG XL of several pictures; {_SAVE}")
    return width * height


_READERS = {
    **dict.fromkeys((6, 7, 33007, 34892), _jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg_2000),
    **dict.fromkeys((22610, 34934), _jpeg_xr),
    **dict.fromkeys((34927, 50001), _webp),
    **dict.fromkeys((50002, 52546), _jpeg_xl),
    34887: _lerc,
    34933: _png,
}
"""TIFF's number of each codec that allocates what its own header says."""

"""TIFF files written byte by byte, with any tag told wrongly."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTE, ASCII, SHORT, LONG, RATIONAL, SLONG, FLOAT, DOUBLE, IFD, LONG8 = (
    1,
    2,
    3,
    4,
    5,
    9,
    11,
    12,
    13,
    16,
)
_FORMATS = {
    BYTE: "B",
    ASCII: "B",
    SHORT: "H",
    LONG: "I",
    SLONG: "i",
    FLOAT: "f",
    DOUBLE: "d",
    IFD: "I",
    LONG8: "Q",
}
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR, FORMAT = 273, 277, 278, 279, 284, 339
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, PREDICTOR, FILL_ORDER = (
    322,
    323,
    324,
    325,
    317,
    266,
)
SUB_IFDS = 330


@dataclass(frozen=True)
class Raw:
    """A tag's entry as it stands in the file: what it counts, and its value or the offset of it."""

    kind: int
    count: int
    value: int = 0


@dataclass(frozen=True)
class Page:
    """A page: its strips or tiles, and tags that replace the right ones (None leaves one out)."""

    segments: Sequence[bytes]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    tile: tuple[int, int] | None = None
    tags: Mapping[int, tuple[int, Sequence[Any]] | Raw | bytes | None] = field(default_factory=dict)
    compression: int = 1


def page(image: NDArray[Any], **keywords: Any) -> Page:
    """A page of an image in one strip, as it is."""
    return Page([image.tobytes()], image.shape, image.dtype, **keywords)


def tiff(
    *pages: Page,
    order: str = "<",
    big: bool = False,
    links: Mapping[int, int] | None = None,
    first: int | None = None,
) -> bytes:
    """A file of pages.

    Parameters
    ----------
    links : mapping, optional
        Page that each page's link leads to, by number, where it is not the next; -1: byte 2**31.
    first : int, optional
        Offset of the first page that the header says, where it is not the right one.
    """
    word, link = ("Q", "Q") if big else ("H", "I")
    out = bytearray(8 if not big else 16)
    places: list[int] = []
    ends: list[int] = []
    for one in pages:
        offsets = []
        for segment in one.segments:
            offsets.append(len(out))
            out += segment
            out += b"\0" * (len(out) % 2)
        tags = _tags(one, offsets, big=big)
        entries = [_entry(code, tags[code], out, order, big=big) for code in sorted(tags)]
        out += b"\0" * (len(out) % 2)
        places.append(len(out))
        out += struct.pack(order + word, len(entries)) + b"".join(entries)
        ends.append(len(out))
        out += struct.pack(order + link, 0)
    for number, end in enumerate(ends):
        target = (links or {}).get(number, number + 1)
        offset = 2**31 if target == -1 else places[target] if target < len(places) else 0
        struct.pack_into(order + link, out, end, offset)
    start = places[0] if first is None else first
    mark = b"II" if order == "<" else b"MM"
    head = (
        struct.pack(order + "HHHQ", 43, 8, 0, start)
        if big
        else struct.pack(order + "HI", 42, start)
    )
    out[: 2 + len(head)] = mark + head
    return bytes(out)


def _tags(one: Page, offsets: list[int], *, big: bool) -> dict[int, Any]:
    number = LONG8 if big else LONG
    height, width = one.shape
    kind = {"u": 1, "b": 1, "i": 2, "f": 3, "c": 6}[one.dtype.kind]
    tags: dict[int, Any] = {
        WIDTH: (number, [width]),
        LENGTH: (number, [height]),
        BITS: (SHORT, [8 * one.dtype.itemsize]),
        COMPRESSION: (SHORT, [one.compression]),
        PHOTOMETRIC: (SHORT, [1]),
        SAMPLES: (SHORT, [1]),
        FORMAT: (SHORT, [kind]),
    }
    counts = [len(segment) for segment in one.segments]
    if one.tile is None:
        rows = -(-height // max(1, len(offsets)))
        tags |= {OFFSETS: (number, offsets), ROWS: (LONG, [rows]), COUNTS: (number, counts)}
    else:
        tags |= {
            TILE_WIDTH: (LONG, [one.tile[1]]),
            TILE_LENGTH: (LONG, [one.tile[0]]),
            TILE_OFFSETS: (number, offsets),
            TILE_COUNTS: (number, counts),
        }
    tags |= one.tags
    return {code: value for code, value in tags.items() if value is not None}


def _entry(code: int, said: Any, out: bytearray, order: str, *, big: bool) -> bytes:
    inline, count_format, value_format = (8, "Q", "Q") if big else (4, "I", "I")
    if isinstance(said, Raw):
        value = struct.pack(order + value_format, said.value)
        return struct.pack(order + "HH" + count_format, code, said.kind, said.count) + value
    if isinstance(said, bytes):
        kind, count, data = ASCII, len(said) + 1, said + b"\0"
    else:
        kind, values = said
        if kind == RATIONAL:
            data = struct.pack(f"{order}{2 * len(values)}I", *(n for pair in values for n in pair))
        else:
            data = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        count = len(values)
    if len(data) > inline:
        out += b"\0" * (len(out) % 2)
        at = len(out)
        out += data
        data = struct.pack(order + value_format, at)
    return struct.pack(order + "HH" + count_format, code, kind, count) + data.ljust(inline, b"\0")

"""TIFF files whose sizes, offsets, tiles and chains of pages lie."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.helpers.hostile import Room
from tests.helpers.hostile_images import ImageCase, refused
from tests.helpers.tiff_bytes import (
    ASCII,
    COUNTS,
    DESCRIPTION,
    FLOAT,
    LENGTH,
    LONG,
    LONG8,
    OFFSETS,
    PREDICTOR,
    ROWS,
    SHORT,
    SLONG,
    SUB_IFDS,
    WIDTH,
    Page,
    Raw,
    page,
    tiff,
)
from tests.hostile.tiff_parts import PLANE, SIDE, bad, file_of, fine, plane


def sizes() -> Iterator[ImageCase]:
    for name in ("WIDTH", "LENGTH"):
        for value in (0, SIDE + 1, 2 * SIDE, 65_536, 2**31 - 1, 2**32 - 1):
            yield bad(f"{name} {value}", plane(**{name: (LONG, [value])}))
    yield bad("width and length 2**31", plane(WIDTH=(LONG, [2**31]), LENGTH=(LONG, [2**31])))
    yield bad("width as text", plane(WIDTH=b"many"))
    yield bad("width negative", plane(WIDTH=(SLONG, [-SIDE])))
    yield bad("width NaN", plane(WIDTH=(FLOAT, [float("nan")])))
    yield bad("width twice", plane(WIDTH=(LONG, [SIDE, 2**31])))
    yield bad("no width", plane(WIDTH=None))
    yield bad("no length", plane(LENGTH=None))
    yield fine("rows a strip 0", PLANE, plane(ROWS=(LONG, [0])))
    yield fine("rows a strip 2**32 - 1: one strip", PLANE, plane(ROWS=(LONG, [2**32 - 1])))
    yield fine("rows a strip 1, and one strip", PLANE, plane(ROWS=(LONG, [1])))
    for bits in (0, 24, 128, 65535):
        yield bad(f"{bits} bits", plane(BITS=(SHORT, [bits])))
    yield bad("64 bits in the bytes of 16", plane(BITS=(SHORT, [64])))
    yield fine("bits of three samples", PLANE, plane(BITS=(SHORT, [16, 8, 32])))
    yield fine("0 samples", PLANE, plane(SAMPLES=(SHORT, [0])))
    for samples in (2, 65535):
        yield bad(f"{samples} samples", plane(SAMPLES=(SHORT, [samples])))
    for kind in (5, 6, 7, 255):
        yield bad(f"sample format {kind}", plane(FORMAT=(SHORT, [kind])))
    yield fine("colours that nobody knows", PLANE, plane(PHOTOMETRIC=(SHORT, [999])))
    yield fine("numbers of colours, and no colours", PLANE, plane(PHOTOMETRIC=(SHORT, [3])))
    yield fine("bytes filled from an unknown end", PLANE, plane(FILL_ORDER=(SHORT, [9])))
    yield fine("planes laid out in a seventh way", PLANE, plane(PLANAR=(SHORT, [7])))
    for value in (0, 9, 9999, 65535):
        yield bad(f"compression {value}", plane(COMPRESSION=(SHORT, [value])))
    packed = Page([zlib.compress(PLANE.tobytes())], PLANE.shape, PLANE.dtype, compression=8)
    for value in (3, 9, 34892, 65535):
        tags = {PREDICTOR: (SHORT, [value])}
        yield bad(
            f"predictor {value}", Page(packed.segments, packed.shape, packed.dtype, None, tags, 8)
        )


def offsets() -> Iterator[ImageCase]:
    count = PLANE.nbytes
    for value in (10**7, 2**31, 2**32 - 1):
        yield bad(f"a strip at {value}", plane(OFFSETS=(LONG, [value])))
        yield fine(f"a strip of {value} bytes", PLANE, plane(COUNTS=(LONG, [value])))
    yield bad("half a strip", plane(COUNTS=(LONG, [count // 2])))
    yield fine("a strip of 0 bytes, that is there", PLANE, plane(COUNTS=(LONG, [0])))
    yield bad("a strip at -1", plane(OFFSETS=(SLONG, [-1])))
    yield fine("a strip of -1 bytes", PLANE, plane(COUNTS=(SLONG, [-1])))
    yield bad("strips as text", plane(OFFSETS=b"abc"))
    yield bad("strips as numbers with a point", plane(OFFSETS=(FLOAT, [1e9])))
    for kind in (OFFSETS, COUNTS):
        name = "offsets" if kind == OFFSETS else "counts"
        for what, told in (
            ("2**31 in number", Raw(LONG, 2**31, 8)),
            ("beyond the file", Raw(LONG, 64, 10**8)),
            ("none in number", Raw(LONG, 0, 8)),
            ("of an unknown type", Raw(99, 1, 8)),
        ):
            # Without usable counts the pixels themselves say how many bytes they take.
            expected = None if kind == OFFSETS else PLANE
            data = tiff(page(PLANE, tags={kind: told}))
            yield ImageCase(f"{name} {what}", file_of(data), expected)
    yield bad("no offsets", plane(OFFSETS=None))
    yield fine("no counts", PLANE, plane(COUNTS=None))
    yield bad("neither offsets nor counts", plane(OFFSETS=None, COUNTS=None))
    yield fine("three offsets of one strip", PLANE, plane(OFFSETS=(LONG, [8] * 3)))
    listed = plane(OFFSETS=(LONG, [8] * 100_000), COUNTS=(LONG, [9] * 100_000))
    yield fine("a hundred thousand offsets of one strip", PLANE, listed)
    tall = {ROWS: (LONG, [16])}
    yield fine("one strip, and rows for three", PLANE, page(PLANE, tags=tall))


def tiles() -> Iterator[ImageCase]:
    data = [zlib.compress(np.zeros((64, 64), np.uint16).tobytes())]
    for name, lengths in (
        ("2**31 wide", (64, 2**31)),
        ("2**31 high", (2**31, 64)),
        ("2**31 at each side", (2**31, 2**31)),
        ("2**15 at each side", (2**15, 2**15)),
        ("0 wide", (64, 0)),
        ("0 high", (0, 64)),
        ("128 wide", (64, 128)),
    ):
        yield bad(f"tiles {name}", Page(data, (SIDE, SIDE), PLANE.dtype, lengths, compression=8))
    four = Page(data * 4, (2 * SIDE, 2 * SIDE), PLANE.dtype, (64, 64), compression=8)
    yield fine("four tiles, right", np.zeros((2 * SIDE,) * 2, np.uint16), four)
    yield bad(
        "one tile of four", Page(data, (2 * SIDE, 2 * SIDE), PLANE.dtype, (64, 64), compression=8)
    )
    tags = {WIDTH: (LONG, [2**31 - 1]), LENGTH: (LONG, [2**31 - 1])}
    yield bad("one tile of 10**15", Page(data, (64, 64), PLANE.dtype, (64, 64), tags, 8))
    yield bad(
        "depth of tiles 2**31",
        Page(data, (64, 64), PLANE.dtype, (64, 64), {32998: (LONG, [2**31])}, 8),
    )
    yield bad(
        "depth of images 2**31",
        Page(data, (64, 64), PLANE.dtype, (64, 64), {32997: (LONG, [2**31])}, 8),
    )


def chains() -> Iterator[ImageCase]:
    small = np.ones((4, 4), np.uint8)
    yield bad("a page that follows itself", page(PLANE), links={0: 0})
    yield bad("two pages in a circle", page(PLANE), page(PLANE), links={1: 0})
    for count, back in ((99, 0), (101, 100), (150, 120), (300, 299)):
        pages = [page(small) for _ in range(count)]
        yield bad(f"page {count} leads back to {back}", *pages, links={count - 1: back})
    yield bad("a next page beyond the file", page(PLANE), links={0: -1})
    for first in (0, 1, 7, 10**6, 2**32 - 1, 20):
        yield bad(f"the first page at {first}", page(PLANE), first=first)
    yield bad(
        "pages of no tags",
        Page(
            [],
            (4, 4),
            PLANE.dtype,
            None,
            dict.fromkeys((256, 257, 258, 259, 262, 273, 277, 278, 279, 339)),
        ),
    )

    def tags_65535(room: Room) -> Path:
        data = bytearray(tiff(page(PLANE)))
        (at,) = struct.unpack_from("<I", data, 4)
        struct.pack_into("<H", data, at, 65535)
        return file_of(bytes(data))(room)

    yield refused("65535 tags", tags_65535)
    yield fine("lesser pages that lead to themselves", PLANE, plane(SUB_IFDS=(LONG, [8, 8, 8])))
    yield fine("a million lesser pages", PLANE, page(PLANE, tags={SUB_IFDS: Raw(LONG, 10**6, 8)}))
    yield fine("camera data in a circle", PLANE, page(PLANE, tags={34665: (LONG, [8])}))
    yield fine("a place on earth that is none", PLANE, page(PLANE, tags={34853: (LONG, [2**31])}))

    def many(room: Room) -> Path:
        # Pages without tags that a reader would list: 6 bytes each, one after the other.
        count = 2**20 + 8
        entries = np.zeros(count, [("tags", "<u2"), ("link", "<u4")])
        entries["link"] = 8 + 6 * (np.arange(count) + 1)
        return file_of(b"II*\0\x08\0\0\0" + entries.tobytes())(room)

    yield refused("a million pages without tags", many)

    def duplicate(room: Room) -> Path:
        data = bytearray(tiff(page(PLANE)))
        (at,) = struct.unpack_from("<I", data, 4)
        data[at + 2 + 12 : at + 2 + 14] = struct.pack("<H", WIDTH)  # the length becomes a width
        return file_of(bytes(data))(room)

    yield refused("two widths and no length", duplicate)


def big_tiffs() -> Iterator[ImageCase]:
    yield fine("a BigTIFF, right", PLANE, page(PLANE), big=True)
    yield fine(
        "a BigTIFF of the other order, right", PLANE, page(PLANE.astype(">u2")), big=True, order=">"
    )
    yield fine("big COUNTS 2**63", PLANE, plane(COUNTS=(LONG8, [2**63])), big=True)
    for name in ("WIDTH", "OFFSETS", "LENGTH"):
        yield bad(f"big {name} 2**63", plane(**{name: (LONG8, [2**63])}), big=True)
    for code in (OFFSETS, COUNTS, DESCRIPTION):
        kind = ASCII if code == DESCRIPTION else LONG8
        told = Raw(kind, 2**62, 16)
        made = tiff(page(PLANE, tags={code: told}), big=True)
        expected = None if code == OFFSETS else PLANE
        yield ImageCase(f"big tag {code} of 2**62 values", file_of(made), expected)
    yield bad("a first page at 2**63", page(PLANE), big=True, first=2**63)
    whole = tiff(page(PLANE), big=True)
    for at, form, value, name in (
        (4, "<H", 4, "offsets of 4 bytes"),
        (4, "<H", 65535, "offsets of 65535 bytes"),
        (2, "<H", 44, "version 44"),
        (6, "<H", 7, "a constant that is another"),
    ):
        data = bytearray(whole)
        struct.pack_into(form, data, at, value)
        pixels = PLANE if at == 6 else None
        yield ImageCase(f"big: {name}", file_of(bytes(data)), pixels)
    (at,) = struct.unpack_from("<Q", whole, 8)
    data = bytearray(whole)
    struct.pack_into("<Q", data, at, 2**63)
    yield refused("big: 2**63 tags", file_of(bytes(data)))
    for length in (4, 5, 8, 12, 15, len(whole) // 2, len(whole) - 5):
        yield refused(f"big: the first {length} bytes", file_of(whole[:length]))

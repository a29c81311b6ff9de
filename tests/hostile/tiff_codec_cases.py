"""TIFF files whose strips and tiles unpack to more, or to none."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from tests.helpers.hostile import Room
from tests.helpers.hostile_images import ImageCase, refused, right
from tests.helpers.tiff_bytes import (
    COUNTS,
    LONG,
    OFFSETS,
    ROWS,
    Page,
    tiff,
)
from tests.hostile.tiff_parts import (
    ADOBE_DEFLATE,
    FLAT,
    JPEG,
    JPEG_2000,
    JPEG_XL,
    JPEG_XR,
    LERC,
    LZMA,
    LZW,
    PACKBITS,
    PLANE,
    PNG,
    SIDE,
    WEBP,
    ZSTD,
    bad,
    file_of,
    fine,
)


@cache
def zeros() -> dict[int, bytes]:
    """10 MB of zeros by codec."""
    data = bytes(10**7)
    return {
        ADOBE_DEFLATE: zlib.compress(data),
        LZMA: bytes(imagecodecs.lzma_encode(data)),
        ZSTD: bytes(imagecodecs.zstd_encode(data)),
        PACKBITS: b"\x81\x00" * 10**5,
        LZW: bytes(imagecodecs.lzw_encode(bytes(10**6))),
    }


def encoded(
    codec: int,
    data: bytes,
    shape: tuple[int, int] = (SIDE, SIDE),
    dtype: Any = np.uint16,
    **keywords: Any,
) -> Page:
    return Page([data], shape, np.dtype(dtype), compression=codec, **keywords)


def bombs() -> Iterator[ImageCase]:
    for codec in (ADOBE_DEFLATE, LZMA, ZSTD, PACKBITS, LZW):
        # A codec that gives the strip's pixels and no more has read it rightly.
        name = f"codec {codec}: far more zeros than the strip has room for"
        yield right(name, file_of(tiff(encoded(codec, zeros()[codec]))), FLAT)
        yield fine(f"codec {codec}: a strip that is left out", FLAT, encoded(codec, b""))
        yield bad(f"codec {codec}: noise", encoded(codec, bytes(range(1, 200))))
    whole = zlib.compress(PLANE.tobytes())
    yield bad("Deflate, cut", encoded(8, whole[: len(whole) // 2]))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x40
    yield bad("Deflate, one bit of it another", encoded(8, bytes(flipped)))
    yield bad("2 GiB in one tile", encoded(8, zeros_once(), (2**15, 2**15), tile=(2**15, 2**15)))
    yield bad("2 GiB in one strip", encoded(8, zeros_once(), (2**15, 2**15)))

    def shared(room: Room) -> Path:
        # One strip of 16 MiB that a thousand rows of strips share: 16 GiB in 70 KB.
        strip, count = zlib.compress(bytes(2**24)), 2**10
        tags = {
            OFFSETS: (LONG, [8] * count),
            COUNTS: (LONG, [len(strip)] * count),
            ROWS: (LONG, [2**10]),
        }
        return file_of(tiff(Page([strip], (2**20, 2**13), PLANE.dtype, None, tags, 8)))(room)

    yield refused("a strip that a thousand share", shared)
    yield from pictures()


def zeros_once() -> bytes:
    return zlib.compress(bytes(2**20))


def pictures() -> Iterator[ImageCase]:
    """Codecs whose data say a size of their own."""
    byte = PLANE.astype(np.uint8)
    tile: dict[str, Any] = {"shape": (SIDE, SIDE), "dtype": np.uint8}
    jpeg = bytearray(imagecodecs.jpeg_encode(byte))
    at = jpeg.index(b"\xff\xc0")
    struct.pack_into(">HH", jpeg, at + 5, 65500, 65500)
    yield bad("a JPEG of 4 gigapixels", encoded(JPEG, bytes(jpeg), **tile))
    plain = bytes(imagecodecs.jpeg_encode(byte))
    twice = plain[:2] + bytes(jpeg)[at : at + 19] + plain[2:]
    yield bad("a JPEG that says its size twice", encoded(JPEG, twice, **tile))
    j2k = bytearray(imagecodecs.jpeg2k_encode(byte, level=0, codecformat="j2k"))
    at = j2k.index(b"\xff\x4f\xff\x51")
    for name, side in (("2**31", 2**31), ("2**17", 2**17)):
        struct.pack_into(">II", j2k, at + 8, side, side)
        yield bad(f"a JPEG 2000 of {name} at each side", encoded(JPEG_2000, bytes(j2k), **tile))
    png = bytearray(imagecodecs.png_encode(byte))
    struct.pack_into(">II", png, 16, 2**30, 2**30)
    yield bad("a PNG of 2**60 pixels", encoded(PNG, bytes(png), **tile))
    webp = bytearray(imagecodecs.webp_encode(np.dstack([byte] * 3), lossless=True))
    struct.pack_into("<I", webp, 21, 0x3FFF | 0x3FFF << 14)
    yield bad("a WebP of 16384 at each side", encoded(WEBP, bytes(webp), **tile))
    lerc = bytearray(imagecodecs.lerc_encode(byte))
    struct.pack_into("<ii", lerc, 14, 2**30, 2**30)
    yield bad("a LERC of 2**60 pixels", encoded(LERC, bytes(lerc), **tile))
    xl = b"\xff\x0a" + (0 | 3 << 1 | (2**30 - 1) << 3 | 1 << 33).to_bytes(8, "little") + bytes(64)
    yield bad("a JPEG XL of 2**30 at each side", encoded(JPEG_XL, xl, **tile))
    yield bad("a JPEG XL of a cut header", encoded(JPEG_XL, b"\xff\x0a\xff", **tile))
    xr = bytearray(imagecodecs.jpegxr_encode(byte))
    (at,) = struct.unpack_from("<I", xr, 4)
    (count,) = struct.unpack_from("<H", xr, at)
    for number in range(count):
        (tag,) = struct.unpack_from("<H", xr, at + 2 + 12 * number)
        if tag in (0xBC80, 0xBC81):
            struct.pack_into("<HII", xr, at + 4 + 12 * number, 4, 1, 2**20)
    yield bad("a JPEG XR of 2**40 pixels", encoded(JPEG_XR, bytes(xr), **tile))
    for codec in (JPEG, JPEG_2000, PNG, WEBP, LERC, JPEG_XL, JPEG_XR):
        yield bad(f"picture codec {codec}: noise", encoded(codec, bytes(range(200)), **tile))
    for codec in (2, 3, 4):
        yield bad(
            f"fax codec {codec} of 2**40 pixels",
            encoded(codec, b"\0" * 64, (2**20, 2**20), np.uint8),
        )
    yield bad(
        "electron events of 2**40 pixels", encoded(65000, b"\0" * 64, (2**20, 2**20), np.uint8)
    )

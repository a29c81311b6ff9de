"""PNG files whose header, parts and packed data lie."""

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from tests.helpers import hostile_images
from tests.helpers.hostile import HostileKind, Room
from tests.helpers.hostile_images import ImageCase, kept_path, refused, right, special_files
from unifmir.images.png import SIGNATURE

HEIGHT, WIDTH = 20, 24
RNG = np.random.default_rng(8)
WORDS = RNG.integers(100, 900, (HEIGHT, WIDTH), dtype=np.uint16)
BYTES = (WORDS % 251).astype(np.uint8)
GREY, COLOUR, TABLE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
ADAM_7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def part(
    kind: bytes, data: bytes = b"", *, length: int | None = None, check: int | None = None
) -> bytes:
    """A chunk, its length or checksum told otherwise if given."""
    told = len(data) if length is None else length
    found = zlib.crc32(kind + data) if check is None else check
    return struct.pack(">I", told) + kind + data + struct.pack(">I", found)


def header(
    width: int = WIDTH,
    height: int = HEIGHT,
    bits: int = 16,
    colours: int = GREY,
    *,
    packing: int = 0,
    filtering: int = 0,
    interlaced: int = 0,
) -> bytes:
    fields = (width, height, bits, colours, packing, filtering, interlaced)
    return part(b"IHDR", struct.pack(">IIBBBBB", *fields))


def rows(image: np.ndarray, filtering: int = 0) -> bytes:
    """Rows of a grey image, each behind the number of its filter."""
    big = image.astype(image.dtype.newbyteorder(">"))
    return b"".join(bytes([filtering]) + row.tobytes() for row in big)


def interlaced(image: np.ndarray) -> bytes:
    return b"".join(rows(image[top::down, left::right_]) for left, top, right_, down in ADAM_7)


END = part(b"IEND")


@cache
def body() -> bytes:
    """The right data of `WORDS`."""
    return part(b"IDAT", zlib.compress(rows(WORDS)))


def png(*parts: bytes) -> bytes:
    return SIGNATURE + b"".join(parts)


def file_of(data: bytes) -> Callable[[Room], Path]:
    return kept_path(lambda path: path.write_bytes(data), "a.png")


def bad(name: str, *parts: bytes) -> ImageCase:
    return refused(name, file_of(png(*parts)))


def fine(name: str, pixels: np.ndarray, *parts: bytes) -> ImageCase:
    return right(name, file_of(png(*parts)), pixels)


def headers() -> Iterator[ImageCase]:
    for value in (0, WIDTH - 1, WIDTH + 1, 2 * WIDTH, 10_000, 10**6, 2**31 - 1, 2**31, 2**32 - 1):
        yield bad(f"{value} wide", header(width=value), body(), END)
    for value in (
        0,
        HEIGHT - 1,
        HEIGHT + 1,
        2 * HEIGHT,
        10_000,
        10**6,
        2**31 - 1,
        2**31,
        2**32 - 1,
    ):
        yield bad(f"{value} high", header(height=value), body(), END)
    yield bad("13000 at each side, nearly nothing there", header(13_000, 13_000), body(), END)
    yield bad("2**31 - 1 at each side", header(2**31 - 1, 2**31 - 1), body(), END)
    for bits in (0, 1, 3, 4, 8, 15, 17, 32, 64, 255):
        yield bad(f"{bits} bits in data of 16", header(bits=bits), body(), END)
    for colours in (1, 2, 3, 4, 5, 6, 7, 255):
        yield bad(f"colours {colours} in grey data", header(colours=colours), body(), END)
    for bits, colours in ((4, COLOUR), (1, COLOUR_ALPHA), (16, TABLE), (2, GREY_ALPHA)):
        yield bad(
            f"{bits} bits of colours {colours}", header(bits=bits, colours=colours), body(), END
        )
    for name in ("packing", "filtering"):
        for value in (1, 2, 64, 255):
            yield bad(f"{name} {value}", header(**{name: value}), body(), END)
    for value in (1, 2, 255):
        yield bad(f"interlacing {value} of data that is not", header(interlaced=value), body(), END)
    said = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 0, 0, 0, 0)
    for length in (0, 1, 8, 12):
        yield bad(f"a header of {length} bytes", part(b"IHDR", said[:length]), body(), END)
    yield bad("a header of 14 bytes", part(b"IHDR", said + b"\0"), body(), END)
    yield bad("no header", body(), END)
    yield bad("the header behind the data", body(), header(), END)
    yield bad("the header behind words", part(b"tEXt", b"a\0b"), header(), body(), END)
    yield bad("a second header, larger", header(), header(10**4, 10**4), body(), END)
    yield bad("a second header behind the data", header(), body(), header(10**4, 10**4), END)


def lengths() -> Iterator[ImageCase]:
    data = zlib.compress(rows(WORDS))
    for value in (0, len(data) - 1, len(data) + 1, len(data) + 12, 10**6, 2**31 - 1, 2**32 - 1):
        yield bad(f"data that say {value} bytes", header(), part(b"IDAT", data, length=value), END)
    for kind in (b"IHDR", b"IDAT", b"IEND"):
        parts = {b"IHDR": header(), b"IDAT": body(), b"IEND": END}
        broken = bytearray(parts[kind])
        broken[-1] ^= 1
        parts[kind] = bytes(broken)
        yield bad(f"another checksum of {kind.decode()}", *parts.values())
    whole = png(header(), body(), END)
    for cut in (1, 7, 8, 11, 20, 33, 40, len(whole) // 2, len(whole) - 12, len(whole) - 1):
        yield refused(f"the first {cut} bytes", file_of(whole[:cut]))
    for name, start in (
        ("with Unix line ends", SIGNATURE.replace(b"\r\n", b"\n")),
        ("of MNG", b"\x8aMNG\r\n\x1a\n"),
        ("of JNG", b"\x8bJNG\r\n\x1a\n"),
        ("without the high bit", b"\x09PNG\r\n\x1a\n"),
        ("of a web page", b"<html>\n"),
    ):
        yield refused(f"a start {name}", file_of(start + whole[8:]))
    yield right("the signature twice", file_of(SIGNATURE + whole), WORDS)
    yield right("a megabyte behind the end", file_of(whole + bytes(2**20)), WORDS)
    yield right("another image behind the end", file_of(whole + png(header(), END)), WORDS)

    def hole(room: Room) -> Path:
        path = room.folder / "a.png"  # not in `given`, whose files are hashed
        path.write_bytes(png(header(), body()))
        os.truncate(path, 2**40)
        return path

    yield refused("a terabyte of nothing behind the data", hole)

    def long_part(room: Room) -> Path:
        path = room.folder / "a.png"
        path.write_bytes(png(header(), struct.pack(">I", 2**31 - 1) + b"IDAT"))
        os.truncate(path, 2**32)
        return path

    yield refused("2 GiB of zeros as data", long_part)


def packed_data() -> Iterator[ImageCase]:
    raw = rows(WORDS)
    data = zlib.compress(raw)

    def of(name: str, *pieces: bytes) -> ImageCase:
        return bad(name, header(), *(part(b"IDAT", piece) for piece in pieces), END)

    yield bad("no data", header(), END)
    yield of("empty data", b"")
    yield of("noise", bytes(range(200)))
    yield of("data of a row less", zlib.compress(raw[: -(2 * WIDTH + 1)]))
    yield of("data of a byte less", zlib.compress(raw[:-1]))
    yield of("data of a byte more", zlib.compress(raw + b"\0"))
    yield of("data of a row more", zlib.compress(raw + raw[: 2 * WIDTH + 1]))
    yield of("data a thousand times as long", zlib.compress(raw + bytes(1000 * len(raw))))
    yield of("256 MiB of zeros", zlib.compress(bytes(2**28)))
    yield of("256 MiB of zeros in parts of 1 KiB", *pieces_of(zlib.compress(bytes(2**28)), 1024))
    yield of("data cut", data[:-20])
    yield of("data without a checksum", data[:-4])
    yield of("data of another checksum", data[:-4] + b"\0\0\0\1")
    yield of("data that begin with 7", b"\x07" + data[1:])
    yield of("data of a window of 32 MiB", b"\xf8" + data[1:])
    yield of("data that need a dictionary", b"\x78\xbb\0\0\0\1" + data[2:])
    yield of("data without a header", zlib.compress(raw)[2:-4])
    yield of("data as gzip", zlib.compressobj(wbits=31).compress(raw))
    yield of("data that end at once", zlib.compress(b""))
    yield of(
        "two streams of half",
        zlib.compress(raw[: len(raw) // 2]),
        zlib.compress(raw[len(raw) // 2 :]),
    )
    yield bad("300000 empty parts", header(), part(b"IDAT") * 300_000, body(), END)
    yield bad("300000 parts that nobody knows", header(), part(b"abCd") * 300_000, body(), END)
    yield bad("data behind the end", header(), END, body())
    for filtering in (5, 6, 127, 255):
        yield of(f"filter {filtering}", zlib.compress(rows(WORDS, filtering)))
    small = {"bits": 8, "interlaced": 1}
    yield bad(
        "interlaced data of one pass",
        header(**small),
        part(b"IDAT", zlib.compress(rows(BYTES[::8, ::8]))),
        END,
    )
    yield bad(
        "interlaced data of eight passes",
        header(**small),
        part(b"IDAT", zlib.compress(interlaced(BYTES) + rows(BYTES))),
        END,
    )


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@cache
def zeros() -> bytes:
    """256 MiB of zeros, packed."""
    return zlib.compress(bytes(2**28))


def other_parts() -> Iterator[ImageCase]:
    """Parts that hold no pixels, in files whose pixels are right."""

    def with_part(name: str, *between: bytes) -> ImageCase:
        return fine(name, WORDS, header(), *between, body(), END)

    yield with_part("packed words of 256 MiB", part(b"zTXt", b"a\0\0" + zeros()))
    yield with_part("packed words of the world of 256 MiB", part(b"iTXt", b"a\0\1\0\0\0" + zeros()))
    yield with_part("a colour profile of 256 MiB", part(b"iCCP", b"a\0\0" + zeros()))
    yield with_part(
        "a hundred packed words of 256 MiB", *[part(b"zTXt", b"a\0\0" + zeros()[: 2**16])] * 100
    )
    yield with_part("words of 8 MiB", part(b"tEXt", b"a\0" + b"b" * 2**23))
    yield with_part("a hundred thousand words", *[part(b"tEXt", b"a\0b")] * 100_000)
    yield with_part("words that clear the screen", part(b"tEXt", b"Comment\0\x1b[2J\x1b]0;x\x07"))
    yield with_part("words without an end of the name", part(b"tEXt", b"a" * 1000))
    yield with_part(
        "packed words of an unknown method", part(b"zTXt", b"a\0\x09" + zlib.compress(b"b"))
    )
    yield with_part("packed words that are noise", part(b"zTXt", b"a\0\0" + bytes(range(99))))
    yield with_part("a colour profile that is noise", part(b"iCCP", b"a\0\0" + bytes(range(99))))
    yield with_part("camera data of 1 MiB", part(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(2**20)))
    yield with_part(
        "camera data in a circle",
        part(b"eXIf", b"MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"),
    )
    yield with_part("a distance of pixels of 0", part(b"pHYs", struct.pack(">IIB", 0, 0, 1)))
    yield with_part(
        "a distance of pixels of 2**32 - 1",
        part(b"pHYs", struct.pack(">IIB", 2**32 - 1, 2**32 - 1, 255)),
    )
    yield with_part("a distance of pixels, cut", part(b"pHYs", b"\0"))
    yield with_part("a gamma of 0", part(b"gAMA", struct.pack(">I", 0)))
    yield with_part("a gamma, cut", part(b"gAMA", b"\0"))
    yield with_part("64 significant bits", part(b"sBIT", b"\x40"))
    yield with_part("a transparent grey", part(b"tRNS", b"\0\0"))
    yield with_part("a transparency of 1 MiB", part(b"tRNS", bytes(2**20)))
    yield with_part("a table of colours", part(b"PLTE", bytes(768)))
    yield with_part("a table of colours of 7 bytes", part(b"PLTE", bytes(7)))
    yield with_part("a time that is none", part(b"tIME", bytes([255] * 7)))
    yield with_part("a chroma, cut", part(b"cHRM", b"\0" * 3))
    yield with_part("a rendering that nobody knows", part(b"sRGB", b"\xff"))
    yield with_part(
        "an animation of 2**31 pictures", part(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    )
    frame = struct.pack(">IIIIIHHBB", 0, 2**30, 2**30, 0, 0, 1, 1, 0, 0)
    yield with_part(
        "an animation of vast pictures",
        part(b"acTL", struct.pack(">II", 2, 0)),
        part(b"fcTL", frame),
    )
    later = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 1, 0, 0)
    bomb = part(b"fdAT", struct.pack(">I", 1) + zeros())
    yield fine(
        "an animation of a bomb",
        WORDS,
        header(),
        part(b"acTL", struct.pack(">II", 2, 0)),
        part(b"fcTL", later),
        body(),
        bomb,
        END,
    )
    yield with_part("a needed part that nobody knows", part(b"ABCD", b"x"))
    yield with_part("a part whose name is no letters", part(b"\0\1\2\3", b"x"))
    yield with_part("a part whose name clears the screen", part(b"\x1b[2J", b"x"))
    broken = bytearray(part(b"\x1b[2J", b"x"))
    broken[-1] ^= 1
    yield bad("a broken part whose name clears the screen", header(), bytes(broken), body(), END)
    yield fine(
        "words behind the data", WORDS, header(), body(), part(b"zTXt", b"a\0\0" + zeros()), END
    )
    yield bad("an end of some bytes, and no data", header(), part(b"IEND", b"abc"))


def right_ones() -> Iterator[ImageCase]:
    """Unusual files that are right."""
    yield fine("16 bits, right", WORDS, header(), body(), END)
    eight = header(bits=8)
    yield fine("8 bits, right", BYTES, eight, part(b"IDAT", zlib.compress(rows(BYTES))), END)
    for bits in (8, 16):
        image = BYTES if bits == 8 else WORDS
        data = part(b"IDAT", zlib.compress(interlaced(image)))
        yield fine(
            f"{bits} bits interlaced, right", image, header(bits=bits, interlaced=1), data, END
        )
    for bits, factor in ((1, 1), (2, 85), (4, 17)):
        few = BYTES % 2**bits
        spread = np.unpackbits(few[..., None], axis=-1)[..., -bits:].reshape(HEIGHT, -1)
        data = part(b"IDAT", zlib.compress(rows(np.packbits(spread, axis=1))))
        pixels = few.astype(bool) if bits == 1 else few * np.uint8(factor)
        yield fine(f"{bits} bits, right", pixels, header(bits=bits), data, END)
    packed = zlib.compress(rows(BYTES))
    each = b"".join(part(b"IDAT", packed[at : at + 1]) for at in range(len(packed)))
    yield fine("data in parts of one byte, right", BYTES, eight, each, END)
    stored = zlib.compress(rows(BYTES), 0)
    yield fine("data that are not packed, right", BYTES, eight, part(b"IDAT", stored), END)
    yield from (
        fine(
            f"a picture of {h} rows and {w} columns, right",
            WORDS[:h, :w],
            header(w, h),
            part(b"IDAT", zlib.compress(rows(WORDS[:h, :w]))),
            END,
        )
        for h, w in ((1, 9), (9, 1), (2, 2))
    )
    zero = np.zeros((HEIGHT, WIDTH), np.uint8)
    yield fine("all one value", zero, eight, part(b"IDAT", zlib.compress(rows(zero))), END)
    for colours, samples in ((COLOUR, 3), (GREY_ALPHA, 2), (COLOUR_ALPHA, 4)):
        wide = np.repeat(BYTES, samples, axis=1)
        data = part(b"IDAT", zlib.compress(rows(wide)))
        yield bad(f"a picture of {samples} samples", header(bits=8, colours=colours), data, END)
    table = header(bits=8, colours=TABLE)
    yield bad("numbers of colours", table, part(b"PLTE", bytes(768)), part(b"IDAT", packed), END)
    yield bad("numbers of colours, and no colours", table, part(b"IDAT", packed), END)


def cases() -> Iterable[ImageCase]:
    """All cases."""
    yield from special_files("a.png", png(header(), body(), END))
    for some in (headers, lengths, packed_data, other_parts, right_ones):
        yield from some()


KIND = HostileKind("PNG image", cases, hostile_images.give, hostile_images.lie)

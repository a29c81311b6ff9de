"""Compressed chunks of Zarr, held against the size that they must unpack to before they do.

Only codecs that are listed here are ever set to work: of the others some grow without bound, and
one (`pickle`) runs whatever the chunk says.
"""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.errors import ImageError

_SLACK = 2**16
"""Bytes that a chunk may unpack to beyond its size: what is read of it decides, not this."""
_HARMLESS_BYTES = 16 * 2**20
"""Unpacked bytes that are not worth counting before."""
_DEFLATE_RATIO = 1100
_PIECE = 2**20
_LZMA_MEMORY = 2**30
"""Limit of what an LZMA decoder may take: its dictionary's size stands in the chunk."""
_ZSTD_MAGIC, _ZSTD_SKIPPED = 0xFD2FB528, 0x184D2A50
_ZSTD_BLOCK = 128 * 1024


@dataclass(frozen=True, slots=True)
class Growth:
    """The codec that makes bytes more of a chunk, and how many they may become."""

    codec: str | None
    """A key of `COMPRESSORS`; None: the bytes are the pixels."""
    limit: int
    """Bytes that a chunk unpacks to at most."""

    def check(self, encoded: bytes | memoryview) -> None:
        """Refuse a chunk that unpacks to more.

        Raises
        ------
        ImageError
            It does, or it is damaged where its size stands.
        """
        if self.codec is None:
            return
        try:
            found = COMPRESSORS[self.codec](bytes(encoded), self.limit + _SLACK)
        except (struct.error, zlib.error, lzma.LZMAError, OSError, EOFError, IndexError) as error:
            raise ImageError(
                f"a chunk is no {self.codec} data ({error}): copy or download it again"
            ) from error
        if found > self.limit + _SLACK:
            raise ImageError(
                f"a chunk of {len(encoded)} bytes unpacks to {found} or more, and holds "
                f"{self.limit}: it is damaged. Copy or download it again"
            )


def _blosc(data: bytes, _limit: int) -> int:
    unpacked, _, packed = struct.unpack_from("<III", data, 4)
    # A checksum may follow.
    if not 0 <= len(data) - packed <= 4:
        raise IndexError(f"{len(data)} bytes where {packed} are said")
    return int(unpacked)


def _lz4(data: bytes, _limit: int) -> int:
    return int(struct.unpack_from("<I", data)[0])


def _deflate(window: int) -> Callable[[bytes, int], int]:
    def count(data: bytes, limit: int) -> int:
        if len(data) * _DEFLATE_RATIO <= _HARMLESS_BYTES:
            return 0
        total, rest = 0, data
        while rest and total <= limit:
            decoder = zlib.decompressobj(window)
            while total <= limit and not decoder.eof:
                piece = decoder.decompress(rest, _PIECE)
                total, rest = total + len(piece), decoder.unconsumed_tail
                if not piece and not rest:
                    break
            rest = decoder.unused_data
            if not decoder.eof or window < 0 or len(rest) <= 4:
                break  # only gzip has several members; a checksum may follow
        return total

    return count


def _streamed(decoder_of: Callable[[], Any]) -> Callable[[bytes, int], int]:
    def count(data: bytes, limit: int) -> int:
        total, rest = 0, data
        while len(rest) > 4 and total <= limit:
            decoder = decoder_of()
            while total <= limit and not decoder.eof:
                piece = decoder.decompress(rest, _PIECE)
                total, rest = total + len(piece), b""
                if not piece and decoder.needs_input:
                    return total
            rest = decoder.unused_data
        return total

    return count


def _zstd(data: bytes, limit: int) -> int:
    """Sum of what the blocks of Zstandard frames unpack to at most (RFC 8878, section 3.1)."""
    at = total = 0
    while at + 5 < len(data) and total <= limit:
        (magic,) = struct.unpack_from("<I", data, at)
        if magic & ~0xF == _ZSTD_SKIPPED:
            at += 8 + struct.unpack_from("<I", data, at + 4)[0]
            continue
        if magic != _ZSTD_MAGIC:
            raise IndexError("no frame begins where one should")
        head = data[at + 4]
        single = head >> 5 & 1
        size_bytes = (1 if single else 0, 2, 4, 8)[head >> 6]
        at += 5 + (0 if single else 1) + (0, 1, 2, 4)[head & 3]
        said = int.from_bytes(data[at : at + size_bytes], "little")
        said += 256 if size_bytes == 2 else 0
        at += size_bytes
        unpacked, last = 0, False
        while not last and total + unpacked <= limit + _ZSTD_BLOCK:
            block = int.from_bytes(data[at : at + 3], "little")
            if at + 3 > len(data):
                raise IndexError("it is cut short")
            last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
            at += 3 + (1 if kind == 1 else size)
            unpacked += _ZSTD_BLOCK if kind == 2 else size
        # The decoder allocates what the frame says, and blocks bound what it is.
        total += max(min(unpacked, said), said) if size_bytes else unpacked - _ZSTD_BLOCK
        at += 4 * (head >> 2 & 1)
    return total


COMPRESSORS: Mapping[str, Callable[[bytes, int], int]] = {
    "blosc": _blosc,
    "bz2": _streamed(bz2.BZ2Decompressor),
    "gzip": _deflate(31),
    "lz4": _lz4,
    "lzma": _streamed(lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    "zlib": _deflate(15),
    "zstd": _zstd,
}
"""Codecs that grow, and functions of a chunk and a limit: bytes it unpacks to, as far as that is
worth knowing beyond the limit."""
FILTERS = frozenset(
    (
        *("adler32", "astype", "bitround", "crc32", "crc32c", "delta", "fixedscaleoffset"),
        *("fletcher32", "packbits", "quantize", "shuffle"),
    )
)
"""Codecs that turn numbers into as many others, or add a checksum."""
FILTER_GROWTH = 8
"""Bytes of a stored number for one of the pixel's, at most: `astype` may keep one as eight."""

"""Zarr images whose chunks and shards unpack to more, or to none."""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, Zlib, Zstd

from tests.helpers.hostile import Room
from tests.helpers.hostile_images import ImageCase, refused, right
from tests.hostile.zarr_parts import (
    FLAT,
    LITTLE,
    PLANE,
    RAW,
    SIDE,
    image_2,
    image_3,
)


@cache
def packers() -> dict[str, Any]:
    """Codecs of Zarr 2 by name."""
    return {
        "blosc": Blosc(),
        "bz2": BZ2(1),
        "gzip": GZip(1),
        "lz4": LZ4(),
        "lzma": LZMA(preset=0),
        "zlib": Zlib(1),
        "zstd": Zstd(1),
    }


@cache
def packed(codec: str) -> tuple[dict[str, Any], bytes, bytes]:
    """A codec's configuration, the right chunk, and far more zeros, or their size."""
    packer = packers()[codec]
    chunk = bytes(packer.encode(RAW))
    if codec in ("lz4", "blosc"):
        bomb = bytearray(chunk)
        struct.pack_into("<I", bomb, 0 if codec == "lz4" else 4, 2**31 - 1)
    else:
        bomb = bytearray(packer.encode(bytes(2**25)))
    return packer.get_config(), chunk, bytes(bomb)


def zstd_blocks(blocks: int) -> bytes:
    """A Zstandard frame that does not say its size, of blocks that are one byte again and again."""
    size = 128 * 1024
    middle = b"".join(
        (int(n == blocks - 1) | 1 << 1 | size << 3).to_bytes(3, "little") + b"\0"
        for n in range(blocks)
    )
    return struct.pack("<IBB", 0xFD2FB528, 0, 0x58) + middle


def bombs() -> Iterator[ImageCase]:
    for codec in ("zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "blosc"):
        configuration, chunk, bomb = packed(codec)
        said = {"compressor": configuration}
        yield right(f"{codec}, right", image_2(said, chunk), PLANE)
        yield refused(f"{codec}: far more than the chunk", image_2(said, bomb))
        yield refused(f"{codec}: cut", image_2(said, chunk[: len(chunk) // 2]))
        yield refused(f"{codec}: noise", image_2(said, bytes(range(250)) * 4))
        yield refused(f"{codec}: nothing", image_2(said, b""))
        yield refused(f"{codec}: one byte", image_2(said, b"\x78"))
        if codec in ("gzip", "zstd", "blosc"):
            three = {k: v for k, v in configuration.items() if k != "id"}
            if codec == "blosc":
                three |= {"typesize": 2, "shuffle": "shuffle"}
            listed = {"codecs": [LITTLE, {"name": codec, "configuration": three}]}
            yield refused(f"3, {codec}: far more than the chunk", image_3(listed, bomb))
    yield refused(
        "zstd: 100 GB in blocks of one byte",
        image_2({"compressor": {"id": "zstd", "level": 1}}, zstd_blocks(800_000)),
    )
    yield refused(
        "gzip: a thousand members",
        image_2({"compressor": {"id": "gzip", "level": 1}}, gzip.compress(bytes(2**20)) * 1000),
    )
    many = {"compressor": {"id": "zlib", "level": 1}, "chunks": [SIDE, SIDE], "shape": [SIDE, SIDE]}
    short = zlib.compress(RAW[: len(RAW) // 2])
    yield refused("zlib: half a chunk", image_2(many, short))
    yield refused("zlib: a chunk and a pixel", image_2(many, zlib.compress(RAW + b"\0\0")))
    yield refused("raw: half a chunk", image_2({}, RAW[: len(RAW) // 2]))
    yield refused("raw: a chunk and a pixel", image_2({}, RAW + b"\0\0"))
    yield refused("raw: nothing", image_2({}, b""))
    yield right("raw: none there", image_2({}, None), FLAT)


def shard(chunks: list[bytes], places: list[tuple[int, int]] | None = None) -> bytes:
    """A shard of chunks, its index behind them, told otherwise if places are given."""
    at, listed = 0, []
    for chunk in chunks:
        listed.append((at, len(chunk)))
        at += len(chunk)
    index = b"".join(struct.pack("<QQ", *place) for place in places or listed)
    return b"".join(chunks) + index


def sharded(shard_bytes: bytes | None, **told: Any) -> Callable[[Room], Path]:
    inner: dict[str, Any] = {
        "chunk_shape": [SIDE // 2, SIDE],
        "codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 1}}],
        "index_codecs": [LITTLE],
        "index_location": "end",
    }
    codec = {"name": "sharding_indexed", "configuration": inner | told}
    return image_3({"codecs": [codec]}, shard_bytes)


def shards() -> Iterator[ImageCase]:
    halves = [
        gzip.compress(PLANE[: SIDE // 2].tobytes()),
        gzip.compress(PLANE[SIDE // 2 :].tobytes()),
    ]
    bomb = gzip.compress(bytes(2**26))
    first = len(halves[0])
    yield right("shards, right", sharded(shard(halves)), PLANE)
    yield refused("shards: far more than a chunk", sharded(shard([bomb, halves[1]])))
    yield refused("shards: all chunks one bomb", sharded(shard([bomb], [(0, len(bomb))] * 2)))
    for name, place in (
        ("beyond the shard", (10**6, 100)),
        ("at 2**63", (2**63, 100)),
        ("of 2**63 bytes", (0, 2**63)),
        ("of 2**64 - 1 bytes", (0, 2**64 - 1)),
        ("of no bytes", (0, 0)),
        ("of the index", (first, 32)),
    ):
        yield refused(
            f"shards: a chunk {name}", sharded(shard(halves, [place, (first, len(halves[1]))]))
        )
    yield refused("shards: no index", sharded(b"\0" * 8))
    yield refused("shards: an empty one", sharded(b""))
    yield right("shards: none", sharded(None), FLAT)
    nested = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [4, 4], "codecs": [LITTLE], "index_codecs": [LITTLE]},
    }
    for name, told in (
        ("chunks of 0", {"chunk_shape": [0, SIDE]}),
        ("chunks that do not divide it", {"chunk_shape": [SIDE // 2 + 1, SIDE]}),
        ("chunks larger than it", {"chunk_shape": [2 * SIDE, SIDE]}),
        ("chunks of no number", {"chunk_shape": "all"}),
        ("shards inside", {"codecs": [nested]}),
        ("codecs that unpickle", {"codecs": [LITTLE, {"name": "numcodecs.pickle"}]}),
        (
            "a packed index",
            {"index_codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 1}}]},
        ),
        ("an index in the middle", {"index_location": "middle"}),
        ("no index", {"index_codecs": []}),
    ):
        yield refused(f"shards with {name}", sharded(shard(halves), **told))
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**20, 2**20]}}
    tiny = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [1, 1], "codecs": [LITTLE], "index_codecs": [LITTLE]},
    }
    yield refused("shards of 2**40 chunks", image_3({"chunk_grid": grid, "codecs": [tiny]}))

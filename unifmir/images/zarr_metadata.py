"""Metadata of Zarr, held against what can be before the library sees them."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.errors import ImageError
from unifmir.images.damage import MAX_METADATA_BYTES
from unifmir.images.zarr_codecs import COMPRESSORS, FILTER_GROWTH, FILTERS, Growth

METADATA_NAMES = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")
MAX_LENGTH = 2**53
"""Pixels along an axis: JSON's whole numbers."""
_MAX_INNER = 2**22
"""Chunks in a shard: its index takes 16 bytes of each, and is read whole."""
_MAX_FILTERS = 4
_ITEM_BYTES = {
    "bool": 1,
    **{f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": bits // 8 for bits in (16, 32, 64)},
    **{f"complex{bits}": bits // 8 for bits in (64, 128)},
}
"""Bytes of Zarr 3's pixel types."""
_MAX_ITEM = 32
"""Bytes of a pixel, of NumPy's largest numbers."""


@dataclass(frozen=True, slots=True)
class Shards:
    """How chunks lie in a shard."""

    count: int
    at_start: bool
    index_bytes: int

    def is_index(self, part: tuple[int, int]) -> bool:
        """Whether a part of a shard, as `ChunkRule.check` is told it, is the index."""
        return part == (0 if self.at_start else -1, self.index_bytes)

    def parts(self, shard: bytes) -> Iterator[bytes]:
        """The encoded chunks of a whole shard, those that lie within it."""
        start = 0 if self.at_start else len(shard) - self.index_bytes
        index = shard[max(0, start) :][: 16 * self.count]
        for at in range(0, len(index) - 15, 16):
            offset = int.from_bytes(index[at : at + 8], "little")
            size = int.from_bytes(index[at + 8 : at + 16], "little")
            if offset + size <= len(shard):
                yield shard[offset : offset + size]


@dataclass(frozen=True, slots=True)
class ChunkRule:
    """Size of an array's chunks, how they are compressed, and how many lie in a shard."""

    size_bytes: int
    """Bytes of a decoded chunk, or of a decoded shard."""
    growth: Growth
    shards: Shards | None = None

    @property
    def most_bytes(self) -> int:
        """Bytes that a stored chunk or shard may have: compression that fails makes it larger."""
        return 2 * max(self.size_bytes, self.growth.limit) + 2**20

    @property
    def grows(self) -> bool:
        """Whether a stored chunk unpacks to more bytes than it has."""
        return self.growth.codec is not None

    def check(self, encoded: bytes, *, part: tuple[int, int] | None = None) -> None:
        """Refuse a chunk that unpacks to more than it may.

        Parameters
        ----------
        encoded : bytes
            The stored chunk or shard, or a part of a shard.
        part : (int, int), optional
            Where in the shard it begins, -1 at its end; and its length.
        """
        if self.shards is None:
            self.growth.check(encoded)
        elif part is None:
            for one in self.shards.parts(encoded):
                self.growth.check(one)
        elif not self.shards.is_index(part):
            self.growth.check(encoded)


def read_metadata(data: bytes, name: str) -> Any:
    """JSON of a file of metadata.

    Raises
    ------
    ImageError
        It is larger than `MAX_METADATA_BYTES`, or no JSON.
    """
    if len(data) > MAX_METADATA_BYTES:
        raise ImageError(
            f"its {name} has more than {MAX_METADATA_BYTES} bytes, which no image needs: it is "
            "damaged"
        )
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"its {name} is no JSON that is read ({type(error).__name__})") from error


def rules_of(data: bytes, key: str) -> dict[str, ChunkRule]:
    """Rules of the arrays that a file of metadata describes, by their place in the store.

    Parameters
    ----------
    data : bytes
        The file.
    key : str
        Its place in the store: `0/.zarray`, `zarr.json`.

    Raises
    ------
    ImageError
        A length, chunk, pixel type or codec is none that an image has.
    """
    folder, _, name = key.rpartition("/")
    said = read_metadata(data, key)
    found: dict[str, ChunkRule] = {}
    if not isinstance(said, dict):
        if name == ".zattrs":
            return found
        raise ImageError(f"its {key} is {type(said).__name__}, expected an object")
    if name == ".zarray":
        found[folder] = _rule_2(said, key)
    elif name == ".zmetadata":
        inner = said.get("metadata")
        for place, one in (inner if isinstance(inner, dict) else {}).items():
            if place.rpartition("/")[2] == ".zarray" and isinstance(one, dict):
                found[_joined(folder, place.rpartition("/")[0])] = _rule_2(one, key)
    elif name == "zarr.json":
        found |= _rules_3(said, folder, key)
    return found


def _joined(folder: str, inner: str) -> str:
    return "/".join(part for part in (folder, inner) if part)


def _rules_3(said: Mapping[str, Any], folder: str, key: str) -> dict[str, ChunkRule]:
    found = {folder: _rule_3(said, key)} if said.get("node_type") == "array" else {}
    consolidated = said.get("consolidated_metadata")
    inner = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    for place, one in (inner if isinstance(inner, dict) else {}).items():
        if isinstance(one, dict) and one.get("node_type") == "array":
            found[_joined(folder, place)] = _rule_3(one, key)
    return found


def _lengths(said: Any, what: str, key: str, least: int) -> tuple[int, ...]:
    fits = isinstance(said, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and least <= n <= MAX_LENGTH for n in said
    )
    if not fits:
        raise ImageError(
            f"{key} says the {what} {json.dumps(said)[:80]}, expected whole numbers from {least} "
            f"to {MAX_LENGTH}: it is damaged"
        )
    return tuple(said)


def _grid(shape: Any, chunks: Any, key: str) -> tuple[int, ...]:
    """The checked shape of chunks."""
    lengths = _lengths(shape, "shape", key, 0)
    found = _lengths(chunks, "chunks", key, 1)
    if len(found) != len(lengths):
        raise ImageError(f"{key} says chunks of {len(found)} axes, and a shape of {len(lengths)}")
    return found


def _rule_2(said: Mapping[str, Any], key: str) -> ChunkRule:
    chunks = _grid(said.get("shape"), said.get("chunks"), key)
    size = math.prod(chunks) * _item_bytes_2(said.get("dtype"), key)
    filters = [_codec_name(one, "id", key) for one in said.get("filters") or ()]
    if strange := [name for name in filters if name not in FILTERS]:
        raise _unknown(strange[0], key)
    _check_filters(filters, key)
    compressor = said.get("compressor")
    name = None if compressor is None else _codec_name(compressor, "id", key)
    if name is not None and name not in COMPRESSORS:
        raise _unknown(name, key)
    return ChunkRule(size, Growth(name, size * (FILTER_GROWTH if filters else 1)))


def _check_filters(names: list[str], key: str) -> None:
    """Refuse filters that grow numbers one after the other."""
    if len(names) > _MAX_FILTERS or names.count("packbits") > 1:
        raise ImageError(
            f"{key} says {len(names)} filters ({', '.join(names[:8])}), expected at most "
            f"{_MAX_FILTERS}, and packbits once"
        )


def _item_bytes_2(said: Any, key: str) -> int:
    import numpy as np

    try:
        # Text alone: a list would be a record of fields.
        dtype = np.dtype(said) if isinstance(said, str) else None
    except (TypeError, ValueError, OverflowError):
        dtype = None
    if dtype is None or dtype.kind not in "biufc" or dtype.itemsize > _MAX_ITEM:
        raise _no_number(said, key)
    return dtype.itemsize


def _no_number(said: Any, key: str) -> ImageError:
    return ImageError(f"{key} says pixels of type {json.dumps(said)[:80]}, expected numbers")


def _codec_name(said: Any, field: str, key: str) -> str:
    name = said.get(field) if isinstance(said, dict) else said
    if not isinstance(name, str):
        raise ImageError(f"{key} names a codec {json.dumps(said)[:80]}, expected its name")
    return name


def _unknown(name: str, key: str) -> ImageError:
    return ImageError(
        f"{key} says the codec {name[:80]!r}, which is not used for images here; expected one of "
        f"{', '.join(sorted((*COMPRESSORS, *FILTERS)))}"
    )


def _rule_3(said: Mapping[str, Any], key: str) -> ChunkRule:
    grid = said.get("chunk_grid")
    configured = grid.get("configuration") if isinstance(grid, dict) else None
    listed = configured.get("chunk_shape") if isinstance(configured, dict) else None
    chunks = _grid(said.get("shape"), listed, key)
    kind = said.get("data_type")
    if not isinstance(kind, str) or kind not in _ITEM_BYTES:
        raise _no_number(kind, key)
    size = math.prod(chunks) * _ITEM_BYTES[kind]
    codecs = said.get("codecs")
    inner = _sharding(codecs)
    if inner is None:
        return ChunkRule(size, _growth_3(codecs, size, key))
    pieces = _grid(list(chunks), inner.get("chunk_shape"), key)
    count = math.prod(-(-whole // piece) for whole, piece in zip(chunks, pieces, strict=True))
    if count > _MAX_INNER:
        raise ImageError(f"{key} says {count} chunks a shard, expected at most {_MAX_INNER}")
    small = math.prod(pieces) * _ITEM_BYTES[kind]
    names = [_codec_name(one, "name", key) for one in inner.get("index_codecs") or ()]
    if set(names) - {"bytes", "crc32c"}:
        raise ImageError(f"{key} says an index of shards in {names}, expected bytes and crc32c")
    index_bytes = 16 * count + 4 * names.count("crc32c")
    shards = Shards(count, inner.get("index_location") == "start", index_bytes)
    return ChunkRule(size + index_bytes, _growth_3(inner.get("codecs"), small, key), shards)


def _sharding(codecs: Any) -> dict[str, Any] | None:
    """Configuration of the shards, if there are any and nothing around them."""
    if not isinstance(codecs, list) or len(codecs) != 1 or not isinstance(codecs[0], dict):
        return None
    inner = codecs[0].get("configuration")
    shards = codecs[0].get("name") == "sharding_indexed" and isinstance(inner, dict)
    return inner if shards else None


def _growth_3(codecs: Any, size: int, key: str) -> Growth:
    listed = codecs if isinstance(codecs, list) else []
    names = [_codec_name(one, "name", key).removeprefix("numcodecs.") for one in listed]
    packing = [name for name in names if name in COMPRESSORS]
    filters = [name for name in names if name in FILTERS]
    known = {"bytes", "transpose", *packing, *filters}
    if strange := [name for name in names if name not in known]:
        raise _unknown(strange[0], key)
    if len(packing) > 1:
        raise ImageError(f"{key} packs chunks {len(packing)} times ({packing}), expected once")
    _check_filters(filters, key)
    grown = set(filters) - {"crc32c"}
    return Growth(packing[0] if packing else None, size * (FILTER_GROWTH if grown else 1))

"""A store of Zarr whose metadata and chunks are held against each other before they are used."""

import os
from pathlib import Path
from typing import Any, Self

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore, ZipStore

from unifmir.errors import ImageError
from unifmir.images.damage import MAX_METADATA_BYTES, require_inside, require_regular
from unifmir.images.zarr_metadata import METADATA_NAMES, ChunkRule, rules_of


class HeldStore(WrapperStore[Store]):
    """A store that gives only what fits what its metadata say, to be read alone.

    Files are regular ones inside the store's folder; metadata and chunks have bounded sizes, before
    and after they are unpacked; codecs are known ones.
    """

    def __init__(self, store: Store, rules: dict[str, ChunkRule] | None = None) -> None:
        super().__init__(store)
        self.rules: dict[str, ChunkRule] = {} if rules is None else rules
        """Rules of the arrays whose metadata were read, by their place."""

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self.rules)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes under a key, or a part of them; None where there are none.

        Raises
        ------
        ImageError
            They lie in no regular file inside the store, or are no metadata or chunk of an image.
        """
        name = key.rpartition("/")[2]
        is_metadata = name in METADATA_NAMES
        rule = None if is_metadata else self._rule(key)
        most = rule.most_bytes if rule is not None else MAX_METADATA_BYTES
        await self._store._ensure_open()
        self._check_stored(key, most, byte_range)
        found = await self._store.get(key, prototype, byte_range)
        if found is None:
            return None
        if len(found) > most:
            raise ImageError(f"its part {key!r} has {len(found)} bytes, expected at most {most}")
        if not len(found):
            raise ImageError(f"its part {key!r} is empty: copy or download it again")
        if is_metadata:
            self.rules.update(rules_of(found.to_bytes(), key))
        elif rule is not None and rule.grows:
            rule.check(found.to_bytes(), part=_part(byte_range))
        return found

    def _rule(self, key: str) -> ChunkRule | None:
        folder = key
        while folder:
            folder = folder.rpartition("/")[0]
            if folder in self.rules:
                return self.rules[folder]
        return None

    def _check_stored(self, key: str, most: int, byte_range: ByteRequest | None) -> None:
        """Refuse what is no regular file inside, or larger than anything that is read."""
        size = None
        if isinstance(self._store, LocalStore):
            path = self._store.root / key
            if not os.path.lexists(path) or path.is_dir():
                return
            require_inside(path, self._store.root)
            require_regular(path)
            size = path.stat().st_size
        elif isinstance(self._store, ZipStore):
            try:
                size = self._store._zf.getinfo(key).file_size
            except KeyError:
                return
        if size is not None and size > most:
            raise ImageError(f"its part {key!r} has {size} bytes, expected at most {most}")
        if isinstance(byte_range, RangeByteRequest) and size is not None and byte_range.end > size:
            raise ImageError(
                f"its shard {key!r} has {size} bytes, and its index speaks of {byte_range.end}"
            )


def _part(byte_range: ByteRequest | None) -> tuple[int, int] | None:
    """Place where a part begins, -1 at the end, and its length."""
    if isinstance(byte_range, SuffixByteRequest):
        return -1, byte_range.suffix
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end - byte_range.start
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, -1
    return None


def stored_bytes(folder: Path, enough: int) -> int:
    """Bytes of the files in a folder and those below; counting ends where they are enough."""
    total = 0
    waiting = [folder]
    while waiting and total < enough:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.name.startswith("."):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def held_folder(path: Path) -> HeldStore:
    """The store of a folder."""
    return HeldStore(LocalStore(path, read_only=True))


def held_archive(path: Path) -> HeldStore:
    """The store of an archive."""
    return HeldStore(ZipStore(path, mode="r"))


def held_address(url: str) -> HeldStore:
    """The store of an address."""
    from zarr.storage import FsspecStore

    from unifmir.images.http_client import client

    # A redirect could lead into the user's own network, or to another scheme: none is followed.
    options = {"allow_redirects": False, "get_client": client}
    store: Any = FsspecStore.from_url(url, storage_options=options, read_only=True)
    return HeldStore(store)

"""Zip archives byte by byte, with every lie that a header can tell."""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
REGULAR = 0o100644 << 16
LINK = 0o120777 << 16
UTF8 = 0x800


@dataclass(frozen=True)
class Entry:
    """A member; None where a field says what is true."""

    name: bytes
    content: bytes
    method: int = zipfile.ZIP_STORED
    """In the headers; the bytes are deflated where it is `ZIP_DEFLATED`."""
    flags: int = UTF8
    attributes: int = REGULAR
    crc: int | None = None
    packed_bytes: int | None = None
    unpacked_bytes: int | None = None
    local_name: bytes | None = None
    local_unpacked_bytes: int | None = None
    offset: int | None = None
    extra: bytes = b""
    disk: int = 0
    body: bytes | None = None
    """Packed bytes in place of the content's."""
    without_body: bool = False
    """Whether there is nothing but its line in the directory."""

    def kept(self) -> "Entry":
        """The same, packed once and for all."""
        return replace(
            self,
            crc=zlib.crc32(self.content),
            unpacked_bytes=len(self.content),
            body=self.packed(),
            content=b"",
        )

    def packed(self) -> bytes:
        """The bytes that follow its header."""
        if self.body is not None:
            return self.body
        if self.method != zipfile.ZIP_DEFLATED:
            return self.content
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.content) + packer.flush()


def entries_of(archive: bytes) -> list[Entry]:
    """The members of a well-formed archive, stored."""
    import io

    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return [Entry(name.encode(), file.read(name)) for name in file.namelist()]


def archive_of(
    entries: Sequence[Entry],
    *,
    prefix: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    directory_bytes: int | None = None,
    directory_offset: int | None = None,
    after: bytes = b"",
    cut: int = 0,
) -> bytes:
    """An archive of entries in which all else says what is true, unless it is given."""
    body, directory = bytearray(prefix), bytearray()
    for entry in entries:
        packed = entry.packed()
        crc = zlib.crc32(entry.content) if entry.crc is None else entry.crc
        sizes = (
            len(packed) if entry.packed_bytes is None else entry.packed_bytes,
            len(entry.content) if entry.unpacked_bytes is None else entry.unpacked_bytes,
        )
        offset = len(body) - len(prefix) if entry.offset is None else entry.offset
        if not entry.without_body:
            name = entry.name if entry.local_name is None else entry.local_name
            local = replace_size(sizes, entry.local_unpacked_bytes)
            body += _local(entry, name, crc, local) + packed
        directory += _central(entry, crc, sizes, offset)
    start = len(body) - len(prefix) if directory_offset is None else directory_offset
    length = len(directory) if directory_bytes is None else directory_bytes
    number = len(entries) if count is None else count
    end = struct.pack(
        "<4s4H2LH", END, 0, 0, number & 0xFFFF, number & 0xFFFF, length, start, len(comment)
    )
    whole = bytes(body + directory) + end + comment + after
    return whole[: len(whole) - cut]


def replace_size(sizes: tuple[int, int], unpacked: int | None) -> tuple[int, int]:
    """Packed and unpacked size of a local header, of which the second may be another."""
    return sizes if unpacked is None else (sizes[0], unpacked)


def renamed(entries: Iterable[Entry], number: int, **fields: object) -> list[Entry]:
    """The entries, with other fields of one of them."""
    changed = list(entries)
    changed[number] = replace(changed[number], **fields)  # type: ignore[arg-type]  # by name
    return changed


def _local(entry: Entry, name: bytes, crc: int, sizes: tuple[int, int]) -> bytes:
    packed, unpacked = (size & 0xFFFFFFFF for size in sizes)
    return (
        struct.pack(
            *("<4s5H3L2H", LOCAL, 20, entry.flags, entry.method, 0, 33, crc, packed, unpacked),
            *(len(name), 0),
        )
        + name
    )


def _central(entry: Entry, crc: int, sizes: tuple[int, int], offset: int) -> bytes:
    packed, unpacked = (size & 0xFFFFFFFF for size in sizes)
    return (
        struct.pack(
            *("<4s6H3L5H2L", CENTRAL, 0x0314, 20, entry.flags, entry.method, 0, 33),
            *(crc, packed, unpacked, len(entry.name), len(entry.extra), 0, entry.disk, 0),
            *(entry.attributes, offset & 0xFFFFFFFF),
        )
        + entry.name
        + entry.extra
    )

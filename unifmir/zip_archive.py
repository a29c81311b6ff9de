"""Zip archives: one writer whose bytes depend on the contents alone, one bounded reader."""

import io
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unifmir.errors import ArchiveError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date a zip can hold."""
PACKED_SUFFIXES = (".pt", ".ts", ".png", ".onnx")
"""Names of what is deflated already or hardly shrinks: weights in float32 lose 8 %, at 25 MB/s."""
MAX_UNPACKED_BYTES = 4_000_000_000
"""Limit of an archive's contents: ten times the largest official checkpoint."""
MAX_RATIO = 1_100
"""Limit of a member's growth; deflate reaches 1,032 where a file is one byte again and again."""
FREE_BYTES = 1_000_000
"""Bytes that a member may hold whatever its ratio."""
MAX_MEMBERS = 100_000
"""Limit of an archive's members: a checkpoint has two a tensor, a package about ten."""
MAX_NAME = 1_000
"""Characters of a member's name."""
_LOCAL_HEADER_BYTES = 30
"""Bytes of a member before its content, at least."""
_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)
"""Types of members: unknown, as Windows writes them, files and folders."""
_FLAGS = 0x1 | 0x6 | 0x8 | 0x800
"""Flags that are known: encryption, how hard deflate tried, sizes after the content, UTF-8."""
_PIECE_BYTES = 1 << 20


def write_zip(files: Mapping[str, bytes | Path], target: Path | IO[bytes]) -> None:
    """Write `files` (member name -> content) sorted by name, all dated 1980-01-01, mode 0644.

    Parameters
    ----------
    files : mapping
        Contents, or files that hold them, which are read in pieces.
    target : Path or binary file
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            member, content = dated_member(name), files[name]
            member.external_attr = 0o100644 << 16
            if not name.endswith(PACKED_SUFFIXES):
                member.compress_type = zipfile.ZIP_DEFLATED
            if isinstance(content, Path):
                member.file_size = content.stat().st_size
                with content.open("rb") as source, archive.open(member, "w") as packed:
                    shutil.copyfileobj(source, packed, _PIECE_BYTES)
            else:
                archive.writestr(member, content)


def write_stored_zip(files: Mapping[str, bytes], target: Path | IO[bytes]) -> None:
    """Write `files` (member name -> bytes) uncompressed in the order given, dated 1980-01-01."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(dated_member(name), content)


def dated_member(name: str) -> zipfile.ZipInfo:
    """A member, stored, that says nothing of the time or the system it was written on."""
    member = zipfile.ZipInfo(name, date_time=EPOCH)
    member.create_system = 3  # Unix, on every system: the permissions are Unix's
    return member


def append_member(path: Path, name: str, content: str) -> None:
    """Add a member to an archive of our own."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(dated_member(name), content)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that is open, whose members' names and sizes were found harmless."""

    members: Mapping[str, zipfile.ZipInfo]
    """Members by name, without folders."""
    _file: zipfile.ZipFile

    def read(self, name: str, *, most: int = MAX_UNPACKED_BYTES) -> bytes:
        """Content of a member of at most `most` bytes; ArchiveError where it is damaged."""
        if (size := self._member(name).file_size) > most:
            raise ArchiveError(f"its {name[:80]!r} has {size} bytes, expected at most {most}")
        with _damage():
            return self._file.read(name)

    def unpack(self, name: str, target: Path) -> None:
        """Write a member's content to a file; ArchiveError where it is damaged."""
        with target.open("wb") as file:
            self._copy(name, file)

    def store(self, names: Mapping[str, str], target: Path) -> None:
        """Write members to a new archive as they are, uncompressed.

        Parameters
        ----------
        names : mapping
            From the name here to the name there; other members are left out.
        target : Path

        Raises
        ------
        ArchiveError
            A member is damaged.
        """
        with zipfile.ZipFile(target, "w") as archive:
            for name, new in names.items():
                member = dated_member(new)
                member.file_size = self._member(name).file_size
                with archive.open(member, "w") as file:
                    self._copy(name, file)

    def _copy(self, name: str, file: IO[bytes]) -> None:
        """Write a member's content piece by piece."""
        member = self._member(name)
        with _damage():
            packed = self._file.open(member)
        with packed:
            while True:
                with _damage():
                    piece = packed.read(_PIECE_BYTES)
                if not piece:
                    return
                file.write(piece)

    def damaged(self) -> str | None:
        """Name of the first member whose content has another checksum; None where all fit."""
        with _damage():
            return self._file.testzip()

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self.members:
            raise ArchiveError(f"it has no {name[:80]!r}")
        return self.members[name]


def is_zip(path: Path) -> bool:
    """Whether a file starts as an archive does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def opened_zip(source: Path | bytes, *, large: bool = False) -> Iterator[Archive]:
    """Open an archive, once its members' names and sizes are harmless.

    Parameters
    ----------
    source : Path or bytes
    large : bool
        Whether all of it may be of any size, as an image's, which is read chunk by chunk.

    Raises
    ------
    ArchiveError
        It is no zip, or damaged. It has something before its first member, too many members, two
        of one name or in one place, one that would lie outside the folder it is unpacked in, is a
        link, encrypted, compressed in a way that we do not read or more than `MAX_RATIO` times, or
        unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    if isinstance(source, Path) and not source.is_file():
        raise ArchiveError("it is no plain file")
    with _damage():
        file = zipfile.ZipFile(source if isinstance(source, Path) else io.BytesIO(source))
    with file:
        yield Archive(_checked_members(file.infolist(), large=large), file)


@contextmanager
def _damage() -> Iterator[None]:
    """Whatever `zipfile` trips over becomes an error of ours."""
    try:
        yield
    # RuntimeError: encrypted, or unknown compression. EOFError, OSError, struct.error and
    # OverflowError: offsets outside the file. ValueError: names. LookupError: extra fields.
    except (
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        EOFError,
        OSError,
        struct.error,
        ValueError,
        OverflowError,
        LookupError,
    ) as error:
        raise ArchiveError(f"it is no zip archive, or a damaged one ({error})") from error


def _checked_members(
    members: Sequence[zipfile.ZipInfo], *, large: bool
) -> dict[str, zipfile.ZipInfo]:
    if len(members) > MAX_MEMBERS and not large:
        raise ArchiveError(f"it has {len(members)} members, expected at most {MAX_MEMBERS}")
    _check_names([member.orig_filename for member in members])
    _check_places(members)
    for member in members:
        _check_kind(member)
    # `zipfile` reads no more of a member than it declares.
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES and not large:
        raise ArchiveError(f"it unpacks to {size} bytes: refused")
    return {member.filename: member for member in members if not member.is_dir()}


def _check_places(members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse what readers take for different archives, and content that counts twice."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if end == 0 and member.header_offset:
            raise ArchiveError(
                f"{member.header_offset} bytes stand before its first member: readers disagree on "
                "what it holds"
            )
        if member.header_offset < end:
            raise ArchiveError(f"its member {member.filename[:80]!r} lies in another one")
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size


def _check_kind(member: zipfile.ZipInfo) -> None:
    """Refuse a member that is no plain file, or grows out of proportion."""
    problem = ""
    if stat.S_IFMT(member.external_attr >> 16) not in _KINDS:
        problem = "a link or a device"
    elif member.flag_bits & 0x1:
        problem = "encrypted"
    elif member.flag_bits & ~_FLAGS or member.volume:
        problem = "in a form of zip that we do not read"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = f"compressed by method {member.compress_type}, expected stored or deflated"
    elif member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
        problem = f"stored in {member.compress_size} bytes and declared to have {member.file_size}"
    elif member.file_size > MAX_RATIO * member.compress_size + FREE_BYTES:
        problem = f"declared to grow from {member.compress_size} to {member.file_size} bytes"
    if problem:
        raise ArchiveError(f"its member {member.filename[:80]!r} is {problem}: refused")


def _check_names(names: Collection[str]) -> None:
    # A ZipInfo's own name has lost what the archive really says after a null byte.
    seen: set[str] = set()
    for original in names:
        name = original.replace("\\", "/")
        outside = name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"
        if outside or "\0" in name:
            raise ArchiveError(
                f"it has a member {name[:80]!r} that would be written outside its folder: it was "
                "made to do harm"
            )
        if not name or not name.isprintable() or len(name) > MAX_NAME:
            raise ArchiveError(f"it has a member {name[:80]!r}, whose name no program writes")
        if name in seen:
            raise ArchiveError(f"it has two members of the name {name[:80]!r}")
        seen.add(name)

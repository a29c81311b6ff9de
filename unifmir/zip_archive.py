"""Zip archives: one writer whose bytes depend on the contents alone, one bounded reader."""

import stat
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date a zip can hold."""
PACKED_SUFFIXES = (".pt", ".ts", ".png")
"""Names of zips and deflated data: compressing them again costs time and saves nothing."""
MAX_UNPACKED_BYTES = 4_000_000_000
"""Limit of an archive's contents: ten times the largest official checkpoint."""
MAX_RATIO = 1_100
"""Limit of a member's growth; deflate reaches 1,032 where a file is one byte again and again."""
FREE_BYTES = 1_000_000
"""Bytes that a member may hold whatever its ratio."""
MAX_MEMBERS = 100_000
"""Limit of an archive's members: a checkpoint has two a tensor, a package about ten."""


def write_zip(files: Mapping[str, bytes], target: Path | IO[bytes]) -> None:
    """Write `files` (member name -> bytes) sorted by name, all dated 1980-01-01, mode 0644."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            member = dated_member(name)
            member.external_attr = 0o100644 << 16
            if not name.endswith(PACKED_SUFFIXES):
                member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name], compresslevel=6)


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


def read_zip(path: Path) -> dict[str, bytes]:
    """Contents of all members by name.

    Raises
    ------
    BadZipFile
        The file is no zip, is damaged or dangerous, or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in checked_members(archive)}


def checked_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by name, without folders, once their names and sizes are harmless.

    Raises
    ------
    BadZipFile
        There are too many, two have one name, one would lie outside the folder it is unpacked in,
        is a link, encrypted, compressed in a way that we do not read or more than `MAX_RATIO`
        times, or all of them unpack to more than `MAX_UNPACKED_BYTES`.
    """
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise zipfile.BadZipFile(f"it has {len(members)} members, expected at most {MAX_MEMBERS}")
    _check_names([member.orig_filename for member in members])
    for member in members:
        _check_kind(member)
    # `zipfile` reads no more of a member than it declares.
    if (size := sum(member.file_size for member in members)) > MAX_UNPACKED_BYTES:
        raise zipfile.BadZipFile(f"it unpacks to {size} bytes: refused")
    return {member.filename: member for member in members if not member.is_dir()}


def _check_kind(member: zipfile.ZipInfo) -> None:
    """Refuse a member that is no plain file, or grows out of proportion."""
    problem = ""
    if stat.S_ISLNK(member.external_attr >> 16):
        problem = "a link"
    elif member.flag_bits & 0x1:
        problem = "encrypted"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = f"compressed by method {member.compress_type}, expected stored or deflated"
    elif member.file_size > MAX_RATIO * member.compress_size + FREE_BYTES:
        problem = f"declared to grow from {member.compress_size} to {member.file_size} bytes"
    if problem:
        raise zipfile.BadZipFile(f"its member {member.filename[:80]!r} is {problem}: refused")


def _check_names(names: Collection[str]) -> None:
    # A ZipInfo's own name has lost what the archive really says after a null byte.
    seen: set[str] = set()
    for original in names:
        name = original.replace("\\", "/")
        outside = name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"
        if outside or "\0" in name:
            raise zipfile.BadZipFile(
                f"it has a member {name[:80]!r} that would be written outside its folder: it was "
                "made to do harm"
            )
        if name in seen:
            raise zipfile.BadZipFile(f"it has two members of the name {name[:80]!r}")
        seen.add(name)

"""Zip archives: one writer whose bytes depend on the contents alone, one bounded reader."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date a zip can hold."""
PACKED_SUFFIXES = (".pt", ".ts", ".png")
"""Names of zips and deflated data: compressing them again costs time and saves nothing."""
MAX_UNPACKED_BYTES = 4_000_000_000
"""Limit of an archive's contents: ten times the largest official checkpoint."""


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
        The file is no zip, is damaged, or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    with zipfile.ZipFile(path) as archive:
        # `zipfile` reads no more of a member than it declares.
        if (size := sum(m.file_size for m in archive.infolist())) > MAX_UNPACKED_BYTES:
            raise zipfile.BadZipFile(f"it unpacks to {size} bytes")
        return {name: archive.read(name) for name in archive.namelist()}

"""A zip whose bytes depend on its contents alone."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date a zip can hold."""
STORED_SUFFIXES = (".pt", ".ts", ".png")
"""Zips and deflated data already: compressing again costs time and saves nothing."""


def write_zip(files: Mapping[str, bytes], path: Path) -> None:
    """Write `files` (member name -> bytes) sorted by name, all dated 1980-01-01, mode 0644."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, date_time=EPOCH)
            member.create_system = 3  # Unix, on every system: the permissions below are Unix's
            member.external_attr = 0o100644 << 16
            stored = name.endswith(STORED_SUFFIXES)
            member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name], compresslevel=None if stored else 6)

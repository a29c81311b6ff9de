"""Contents of a zip, by our own reader."""

from pathlib import Path

from unifmir.zip_archive import opened_zip


def read_zip(path: Path) -> dict[str, bytes]:
    """Contents of all members by name; ArchiveError as for `opened_zip`."""
    with opened_zip(path) as archive:
        return {name: archive.read(name) for name in archive.members}

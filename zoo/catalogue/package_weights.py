"""Weights inside a downloaded BioImage.IO package."""

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unifmir import zip_archive
from unifmir.atomic import working_folder
from unifmir.errors import ZooError
from unifmir.zoo.catalogue.remote import choose_name, safe_name

MAX_MEMBERS = 1_000
"""Limit of an archive's members; a package has about ten."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The weights file of a download."""

    path: Path
    filename: str


@contextmanager
def weights_of(path: Path, filename: str, patterns: tuple[str, ...]) -> Iterator[WeightsFile]:
    """The weights of a download: the file itself, or the member of a package, unpacked.

    What is unpacked is removed after the block, unless it was moved away.

    Raises
    ------
    ZooError
        If the archive is damaged or dangerous, or it is not clear which member is meant.
    """
    if not _is_package(path):
        yield WeightsFile(path, filename)
        return
    with working_folder(path.parent) as folder:
        yield _unpacked(path, filename, patterns, folder)


def _is_package(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False  # whatever reads it next says what is wrong
    # torch.save writes zip files too.
    return not any(PurePosixPath(name).name == "data.pkl" for name in names)


def _unpacked(path: Path, filename: str, patterns: tuple[str, ...], folder: Path) -> WeightsFile:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, filename)
            names = [member.filename for member in members if not member.is_dir()]
            name = choose_name(names, patterns, f"the package {filename}")
            # One stream to a name of our own: no path of the archive ever reaches the disk.
            target = folder / safe_name(name)
            _copy(archive, archive.getinfo(name), target)
    # RuntimeError: encrypted. NotImplementedError: unknown compression. The others: damage.
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(
            f"the package {filename} cannot be unpacked ({error}); pull again"
        ) from error
    return WeightsFile(target, target.name)


def _check_members(members: list[zipfile.ZipInfo], filename: str) -> None:
    if len(members) > MAX_MEMBERS:
        raise ZooError(f"the package {filename} has {len(members)} members: refused")
    for member in members:
        # A ZipInfo's own name has lost what the archive really says after a null byte.
        name = member.orig_filename.replace("\\", "/")
        outside = name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"
        if outside or "\0" in name:
            raise ZooError(
                f"the package {filename} has a member {name[:80]!r} that would be written outside "
                "its folder: it was made to do harm, and is refused"
            )


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    if member.file_size > zip_archive.MAX_UNPACKED_BYTES:
        raise ZooError(f"{member.filename} unpacks to {member.file_size} bytes: refused")
    # `zipfile` reads no more than the member declares.
    with archive.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)

"""Weights inside a downloaded BioImage.IO package."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unifmir.atomic import working_folder
from unifmir.checkpoint.model_package import packaged_weights
from unifmir.errors import ArchiveError, CheckpointError, ZooError
from unifmir.hashing import sha256_of
from unifmir.zip_archive import Archive, is_zip, opened_zip
from unifmir.zoo.catalogue.remote import choose_name, safe_name


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The weights file of a download."""

    path: Path
    filename: str


@contextmanager
def weights_of(
    path: Path, filename: str, patterns: tuple[str, ...], *, beside: Path | None = None
) -> Iterator[WeightsFile]:
    """The weights of a download: the file itself, or the member of a package, unpacked.

    What is unpacked is removed after the block, unless it was moved away.

    Parameters
    ----------
    path, filename
        The file, and what its server or user calls it.
    patterns : tuple of str
        Shell patterns of the weights' name, where the package's description names none.
    beside : Path, optional
        Folder to unpack in; by default that of the file.

    Raises
    ------
    ZooError
        If the archive is damaged or dangerous, or it is not clear which member is meant.
    """
    if not _is_package(path, filename):
        yield WeightsFile(path, filename)
        return
    with working_folder(beside or path.parent) as folder:
        yield _unpacked(path, filename, patterns, folder)


def _is_package(path: Path, filename: str) -> bool:
    if not is_zip(path):
        return False
    try:
        with opened_zip(path) as archive:
            # torch.save writes zip files too.
            return not any(PurePosixPath(name).name == "data.pkl" for name in archive.members)
    except ArchiveError as error:
        raise ZooError(f"{filename} cannot be unpacked ({error}); pull again") from error


def _unpacked(path: Path, filename: str, patterns: tuple[str, ...], folder: Path) -> WeightsFile:
    try:
        with opened_zip(path) as archive:
            name, declared = _chosen(archive, filename, patterns)
            # One stream to a name of our own: no path of the archive ever reaches the disk.
            target = folder / safe_name(name)
            archive.unpack(name, target)
    except ArchiveError as error:
        raise ZooError(
            f"the package {filename} cannot be unpacked ({error}); pull again"
        ) from error
    if declared and declared != (found := sha256_of(target)):
        raise ZooError(
            f"the SHA-256 of {name} in the package {filename} is {found}, its description says "
            f"{declared}: pull again"
        )
    return WeightsFile(target, target.name)


def _chosen(archive: Archive, filename: str, patterns: tuple[str, ...]) -> tuple[str, str]:
    """The member that the package's description names, and the SHA-256 that it declares.

    Where the description names none that can be read, the one with a checkpoint's name is taken.
    """
    try:
        found = packaged_weights(archive)
    except CheckpointError:
        return choose_name(list(archive.members), patterns, f"the package {filename}"), ""
    return found.member, found.sha256

"""Places that outputs are written to: whether they can be, and whether another file lies there."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unifmir.errors import OutputError

PREFIX = ".unifmir-partial-"
"""Start of every unfinished name, so that a killed run's leftovers can be told and removed."""
MAX_NAME_BYTES = 255
"""Bytes of a file's name that the usual file systems take."""
_ADVICE = {
    errno.ENOSPC: "the disk is full: make room, or write to another disk",
    errno.EDQUOT: "your share of the disk is used up: make room, or write to another disk",
    errno.EFBIG: "the file is larger than the disk or a limit (ulimit -f) allows: write elsewhere",
    errno.EROFS: "the disk can only be read: write to another folder",
    errno.EACCES: "you may not write there: choose another folder",
    errno.EPERM: "you may not write there: choose another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EEXIST: "a part of the path is a file: choose another folder",
    errno.EISDIR: "it is a folder: choose another name",
    errno.ELOOP: "its links lead in a circle: choose another name",
    errno.EIO: "the disk does not take it: write to another disk",
}
"""Advice by the number of the error that writing can end with."""


class _AsideError(OutputError):
    """An unfinished output cannot be written: told again by whoever knows what it becomes."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(_told(folder if folder.name else folder.absolute(), error))
        self.folder, self.error = folder, error


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Tell errors of writing an output as ours; other errors of the system pass.

    Raises
    ------
    OutputError
        There is no room, or the place does not take a file of this name. Of what lies aside while
        it is made the folder is named, which the user knows.
    """
    try:
        yield
    except _AsideError as error:
        if _folder_around(path) is not None or error.folder not in (path, path.parent):
            raise
        raise OutputError(_told(path, error.error)) from error
    except OutputError:
        raise
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        if (folder := _folder_around(path)) is not None:
            raise _AsideError(folder, error) from error
        raise OutputError(_told(path, error)) from error


def _told(path: Path, error: OSError) -> str:
    return f"{path} cannot be written ({error.strerror}): {_ADVICE[error.errno or 0]}"


def _folder_around(path: Path) -> Path | None:
    """The folder in which something lies aside, which is this path or holds it; None elsewhere."""
    found = (one.parent for one in (path, *path.parents) if one.name.startswith(PREFIX))
    return next(found, None)


def require_fitting_name(path: Path, around: int) -> None:
    """Refuse a name that has no room for what stands around it while the file is made.

    Parameters
    ----------
    path : Path
    around : int
        Bytes that the longest name made of it has more.

    Raises
    ------
    OutputError
        The name is too long, or is no text.
    """
    try:
        length = len(path.name.encode())
    except UnicodeEncodeError:
        raise OutputError(
            f"{path}: the name is no UTF-8: choose another, or rename the image"
        ) from None
    if length + around > MAX_NAME_BYTES:
        raise OutputError(
            f"{path}: the name has {length} bytes, expected at most {MAX_NAME_BYTES - around}, as "
            "longer ones are needed while it is written: name the result with --out"
        )


class InputPlaces:
    """Places of inputs in whatever spelling: links and other names of one file are looked through.

    Parameters
    ----------
    inputs : iterable of Path
    """

    def __init__(self, inputs: Iterable[Path]) -> None:
        found = {real_path(path): path for path in inputs}
        self._at = found
        self._above = {folder: path for there, path in found.items() for folder in there.parents}
        self._known = {_identity(path): path for path in found.values()}

    def require_other(self, path: Path) -> None:
        """Refuse an output that would take the place of an input, or lie inside one.

        Raises
        ------
        OutputError
            With the input.
        """
        there = real_path(path)
        # The identity also tells names apart that differ in case on disks that do not.
        same = self._at.get(there) or self._above.get(there)
        if (identity := _identity(path)) is not None:
            same = same or self._known.get(identity)
        if same is not None:
            raise OutputError(f"{path} would replace the input {same}: choose another --out")
        if around := next((self._at[one] for one in there.parents if one in self._at), None):
            raise OutputError(f"{path} would lie inside the input {around}: choose another --out")


def has_links(path: Path) -> bool:
    """Whether a file or folder is a link or has other names, or anything inside it is or has."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return stat.S_ISLNK(found.st_mode) or found.st_nlink > 1
    waiting = [str(path)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    return True
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.stat(follow_symlinks=False).st_nlink > 1:
                    return True
    return False


def real_path(path: Path) -> Path:
    """The path without links, as far as they lead anywhere."""
    # Not Path.resolve: it raises where links lead in a circle.
    return Path(os.path.realpath(path))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino

"""All or nothing: an output appears under its name only when it is complete.

What lies aside meanwhile has a lock beside it. The system frees the lock of a process that was
killed, and the next run that writes to the same folder removes what that one left.
"""

import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from unifmir.errors import OutputError
from unifmir.file_locks import is_of_this_user, take, take_left
from unifmir.output_place import PREFIX, written_to

logger = logging.getLogger(__name__)

_LOCK = re.compile(re.escape(PREFIX) + r"([0-9a-f]{16})\.lock")
_cleared: set[Path] = set()
"""Folders that this process has cleared: once is enough, and a large folder takes time to list."""
_clearing = threading.Lock()


@contextmanager
def writing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary file path in the folder of `path`, renamed to `path` if the block succeeds.

    A kill at any moment leaves the old file or the new one. On an exception the temporary
    file is removed and `path` is untouched. Missing parent folders are created.

    Parameters
    ----------
    path : Path
    private : bool
        Nobody but this user may read it, whatever the umask allows others.
    """
    with written_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: several writers choose their format by it.
        with _unfinished(path.parent, path.suffix) as aside:
            aside.touch(mode=0o600, exist_ok=False)
            yield aside
            if not private:
                aside.chmod(0o666 & ~_umask())
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, all or nothing."""
    with writing(path) as aside:
        aside.write_text(text, "utf-8")


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder inside `parent`, for this user alone, removed afterwards.

    Files built in it can be renamed into `parent` one by one: same file system.
    """
    with written_to(parent), _folder(parent) as folder:
        yield folder


@contextmanager
def temporary_folder(*, otherwise: Path | None = None) -> Iterator[Path]:
    """A folder where the system keeps temporary files, for this user alone, removed afterwards.

    Parameters
    ----------
    otherwise : Path, optional
        Folder to make it in where the system has no place for temporary files. Created if missing,
        and removed again if it stays empty.

    Raises
    ------
    OutputError
        There is no place.
    """
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        if otherwise is None:
            raise OutputError(
                "no folder for temporary files can be written to: name one with the environment "
                f"variable TMPDIR ({error.strerror})"
            ) from error
    else:
        with _folder(place) as folder:
            yield folder
        return
    logger.info("no folder for temporary files can be written to: they are made in %s", otherwise)
    made = [one for one in (otherwise, *otherwise.parents) if not one.exists()]
    try:
        with _folder(otherwise) as folder:
            # Libraries ask `tempfile` for places of their own.
            tempfile.tempdir = str(folder.absolute())
            try:
                yield folder
            finally:
                tempfile.tempdir = None
    finally:
        for one in made:
            with suppress(OSError):  # something was put there
                one.rmdir()


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A new folder; what goes wrong in the block may have nothing to do with its place."""
    with ExitStack() as stack:
        with written_to(parent):
            parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(_unfinished(parent))
            folder.mkdir(mode=0o700)
        yield folder


@contextmanager
def _unfinished(parent: Path, suffix: str = "") -> Iterator[Path]:
    """A new hidden name; what is there afterwards is removed."""
    _clear(parent)
    while True:
        name = f"{PREFIX}{secrets.token_hex(8)}"
        # Locked before there is anything: nothing of a living process is ever without its lock.
        lock = take(parent / f"{name}.lock")
        if lock is not None:
            break
    path = parent / f"{name}{suffix}"
    try:
        yield path
    except BaseException:
        # Writers put files of their own beside it, and move them at the end.
        lock.release(remove=_remove_all(parent, name))
        raise
    # What cannot be removed now keeps its lock's file, and goes with the next run.
    lock.release(remove=_remove(path))


def _clear(folder: Path) -> None:
    """Remove what processes left in a folder that were killed while they wrote to it."""
    place = folder.absolute()
    with _clearing:
        if place in _cleared:
            return
        _cleared.add(place)
    with os.scandir(folder) as found:
        names = [entry.name for entry in found if entry.name.startswith(PREFIX)]
    for name in names:
        if (told := _LOCK.fullmatch(name)) and (lock := take_left(folder / name)):
            logger.debug("%s: removing what a process left that was killed", folder / name)
            lock.release(remove=_remove_all(folder, f"{PREFIX}{told[1]}"))


def _remove_all(folder: Path, start: str) -> bool:
    """Remove all whose names begin so, but for the lock; whether that is done."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        left = [folder / entry.name for entry in found if entry.name.startswith(start)]
        gone = [_remove(path) for path in left if path.name != f"{start}.lock"]
        return all(gone)
    return True


def _remove(path: Path) -> bool:
    """Remove a file or folder of this user's; whether it is gone."""
    with suppress(OSError):
        if not is_of_this_user(path):
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    return not os.path.lexists(path)


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Locks of files: the system gives one back when the process that holds it ends, however it ends.

So a lock that is free belongs to nobody who lives, and what it stood for may be taken over or
removed. Where a file system knows no locks (ENOLCK, ENOSYS), nothing is held and nothing ever
counts as left behind.
"""

import errno
import hashlib
import logging
import os
import platform
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unifmir.errors import InUseError, OutputError
from unifmir.output_place import written_to

logger = logging.getLogger(__name__)

PREFIX = ".unifmir-lock-"
"""Start of the names of locks of outputs."""
_RECORD = re.compile(r"unifmir pid (\d{1,10}) on (\S{1,255}) (\S{1,64})\n")
_RECORD_BYTES = 400
_HELD_ELSEWHERE = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_TRIES = 100
"""Limit where a name vanishes in just that moment: another process released its lock."""
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":  # pragma: no cover - the tests run on Linux
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Of a byte behind the record: locked bytes cannot be read by others.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that wrote a lock's file."""

    pid: int
    host: str
    boot: str
    """Identifier of this start of the host: another one has other processes."""

    @property
    def is_of_this_machine(self) -> bool:
        """Whether a lock of it that is free here is free everywhere.

        Some network file systems keep locks of one machine from the others. Containers have host
        names of their own and the boot of their machine.
        """
        here = this_process()
        return self.boot == here.boot if self.boot != "-" else self.host == here.host

    def __str__(self) -> str:
        """How people find it."""
        return f"process {self.pid} on {self.host}"


class Lock:
    """A lock that this process holds, on an open file. Made by `take` and `take_left`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def release(self, *, remove: bool = True) -> None:
        """Give it back, and remove its file, which holds nothing else.

        Parameters
        ----------
        remove : bool
            False: the file stays, so that the next run finds what it stands for.
        """
        if self._descriptor < 0:
            return
        # Removed while it is held: who opened the file before sees that its name is gone.
        if remove:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1
        if remove and os.name == "nt":  # pragma: no cover - there an open file keeps its name
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


def take(path: Path) -> Lock | None:
    """Make a lock's file and hold it; None if another process does.

    Raises
    ------
    OSError
        The file cannot be made.
    """
    for _ in range(_TRIES):
        descriptor, writable = _opened(path)
        try:
            if not _locked(descriptor):
                os.close(descriptor)
                return None
            if _is_still(path, descriptor):
                if writable:
                    if os.fstat(descriptor).st_size:  # ext4 writes out at once what was emptied
                        os.ftruncate(descriptor, 0)
                    os.write(descriptor, _record().encode())
                    return Lock(path, descriptor)
                path.unlink()  # of a dead process of another user: made anew
        except OSError as error:
            os.close(descriptor)
            raise type(error)(error.errno, error.strerror, str(path)) from error
        os.close(descriptor)
    raise OSError(errno.EBUSY, "is made and removed by other processes all the time", str(path))


def take_left(path: Path) -> Lock | None:
    """Hold the lock of a dead process; None if it may live, or the file is no lock of this user's.

    Only of this machine: what another one locks is not seen on every network file system.
    """
    try:
        if not is_of_this_user(path):
            return None
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    with suppress(OSError):
        _lock(descriptor)  # where there are no locks, nobody is known to be dead
        owner = owner_of(path)
        # Killed before it wrote who it is, it has made nothing but this empty file.
        known = os.fstat(descriptor).st_size == 0 if owner is None else owner.is_of_this_machine
        if known and _is_still(path, descriptor):
            return Lock(path, descriptor)
    os.close(descriptor)
    return None


@contextmanager
def held(output: Path) -> Iterator[None]:
    """Hold an output while it is made, so that no other process makes it too.

    Folders that are missing are created; those that are still empty afterwards are removed.

    Parameters
    ----------
    output : Path
        The file or folder that will be there; it need not exist.

    Raises
    ------
    InUseError
        Another process holds it.
    OutputError
        Its folder cannot be written to.
    """
    lock, made = hold(output)
    try:
        yield
    finally:
        lock.release()
        for folder in made:
            with suppress(OSError):  # not empty: it holds the output
                folder.rmdir()


@contextmanager
def held_files(outputs: Iterable[Path | None]) -> Iterator[None]:
    """Hold files while what will be in them is computed, so that a wrong place is told first.

    Parameters
    ----------
    outputs : iterable of Path or None
        None stands for one that is not wanted, and `folder / "*.png"` for files in a folder whose
        names are known at the end.

    Raises
    ------
    InUseError
        Another process holds one.
    OutputError
        One is a folder, or lies in one that cannot be written to.
    """
    with ExitStack() as stack:
        for output in filter(None, outputs):
            if output.is_dir():
                raise OutputError(f"{output} is a folder: give the name of a file")
            stack.enter_context(held(output))
        yield


def hold(output: Path) -> tuple[Lock, list[Path]]:
    """Hold an output as `held` does: the lock to be released, and folders made for it."""
    digest = hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16]
    path = output.with_name(f"{PREFIX}{digest}")
    with written_to(output):
        lock, made = _taken_in_folder(path)
    if lock is not None:
        return lock, made
    owner = owner_of(path)
    who = f"{owner}" if owner is not None else "another process"
    raise InUseError(
        f"{output} is being written by {who}: wait until that has ended, or choose another name "
        "for the output"
    )


def _taken_in_folder(path: Path) -> tuple[Lock | None, list[Path]]:
    """Lock of a file in a folder that is made if missing, and the folders that were."""
    made: list[Path] = []
    for left in reversed(range(_TRIES)):
        try:
            made = [one for one in path.parents if not one.exists()] or made
            path.parent.mkdir(parents=True, exist_ok=True)
            return take(path), made
        except (FileNotFoundError, FileExistsError):
            # Another process had made the folder, and removed it again just now.
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def owner_of(path: Path) -> Owner | None:
    """The process that wrote a lock's file; None if none can be read in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | (_FLAGS & ~os.O_RDWR))
    except OSError:
        return None
    try:
        found = _RECORD.fullmatch(os.read(descriptor, _RECORD_BYTES).decode())
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(descriptor)
    return None if found is None else Owner(int(found[1]), found[2], found[3])


def is_of_this_user(path: Path) -> bool:
    """Whether a file or folder, not a link, belongs to this user. OSError where there is none."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return False
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


@cache
def _machine() -> tuple[str, str]:
    """Name of the host, and of this start of it; `-` where none is known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        boot = ""
    return re.sub(r"\s", "_", platform.node())[:255] or "-", boot[:64] or "-"


def this_process() -> Owner:
    """Name of this process in its locks."""
    return Owner(os.getpid(), *_machine())


def _record() -> str:
    here = this_process()
    return f"unifmir pid {here.pid} on {here.host} {here.boot}\n"


def _opened(path: Path) -> tuple[int, bool]:
    """Open a lock's file, made if it is not there, and whether it can be written to."""
    try:
        return os.open(path, _FLAGS | os.O_CREAT, 0o644), True
    except PermissionError:
        if not os.path.lexists(path):
            raise
        # Another user's: a lock needs no more than reading.
        return os.open(path, os.O_RDONLY | (_FLAGS & ~os.O_RDWR)), False


def _locked(descriptor: int) -> bool:
    """Lock an open file; False if another process has. True where there are no locks."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _HELD_ELSEWHERE:
            return False
        if error.errno not in _NO_LOCKS:
            raise
        logger.debug("no locks here, so two processes can write at once: %s", error)
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether a name is still that of the open file: another process may have removed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False

"""Folders of the user that files of unifmir are kept in, and whether they are the user's alone."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Literal

from unifmir.errors import UntrustedError
from unifmir.output_place import real_path, written_to

OTHERS_WRITE, OTHERS_TOUCH = 0o022, 0o077
"""Permissions that a private file or folder must not give: writing; reading and running too."""

_ALL_USERS = ["0", "0", "4294967295"]
"""Map of users where none is hidden: that of a system which is no container of its own users."""


def user_folder(variable: str, kind: Literal["data", "cache", "state"], *parts: str) -> Path:
    """The folder that an environment variable names; by default one in the user's own place.

    Where neither is known (HOME is not set, and the system has no entry of this user, as in
    containers), it is a path where there is nothing and nothing can be made.
    """
    if value := os.environ.get(variable):
        return Path(value).expanduser().absolute()
    import platformdirs

    places = {
        "data": platformdirs.user_data_dir,
        "cache": platformdirs.user_cache_dir,
        "state": platformdirs.user_state_dir,
    }
    place = Path(places[kind]("unifmir", appauthor=False), *parts)
    # "~" stays as it is where no home is known, and would be a folder of the current one.
    return place if place.is_absolute() else Path(os.devnull, f"no home: set HOME or {variable}")


def require_private(path: Path, others: int) -> None:
    """Refuse a link, what belongs to another user, and what others may do `others` with.

    Raises
    ------
    UntrustedError
        It is not the user's alone.
    FileNotFoundError
        There is nothing.
    """
    found = path.lstat()
    if not hasattr(os, "geteuid"):  # Windows: the user's own folder is what protects it
        return
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & others:
        raise UntrustedError(
            f"{path} is a link, belongs to another user or is open to others "
            f"(mode {stat.S_IMODE(found.st_mode):o}): remove it, or chmod go= it"
        )


def make_private_folder(folder: Path) -> None:
    """Make a folder that is the user's alone, or make sure that it is.

    Whoever may rename what leads to it could put another in its place. So all folders above it
    belong to the user or to root, and nobody else may write to them; in one with the sticky bit
    (`/tmp`, `/dev/shm`) names can be taken by others first, and so the user's own folder in it must
    be there before: others may look into that, but not write, and what is made in it is private.

    Raises
    ------
    UntrustedError
        It cannot be private.
    OutputError
        It cannot be made: a file has its name, or there is no permission.
    """
    # What lies above is looked at without links; a link in the folder's own place is refused below.
    own_name = folder.name not in ("", "..")
    place = real_path(folder.parent) / folder.name if own_name else real_path(folder)
    with written_to(place):
        _require_way(place)
        for above in reversed(place.parents):
            # Whatever the umask, nobody else may write to it.
            if not above.exists():
                above.mkdir(mode=0o755, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        require_private(place, OTHERS_TOUCH)


def _require_way(place: Path) -> None:
    """Refuse a folder above a place where others could exchange what leads to it."""
    if not hasattr(os, "geteuid"):  # Windows: the user's own folder is what protects it
        return
    owners = _trusted_owners()
    above = Path(place.anchor)
    for part in place.relative_to(above).parts:
        try:
            found = above.lstat()
        except FileNotFoundError:
            return
        if found.st_uid not in owners:
            raise UntrustedError(
                f"{place} would lie below {above}, which belongs to another user (number "
                f"{found.st_uid}), who can exchange it: name a folder below one of your own"
            )
        writers = found.st_mode & OTHERS_WRITE
        if writers & stat.S_IWGRP and _is_private_group(found.st_gid):
            writers &= ~stat.S_IWGRP
        if writers and not found.st_mode & stat.S_ISVTX:
            raise UntrustedError(
                f"{place} would lie below {above}, where others may write (mode "
                f"{stat.S_IMODE(found.st_mode):o}) and can exchange it: chmod go-w {above}, or "
                "name a folder elsewhere"
            )
        if writers:
            _require_taken(place, above, above / part, owners)
        above = above / part


def _require_taken(place: Path, shared: Path, below: Path, owners: set[int]) -> None:
    """Refuse a name in a folder of everybody's, unless a folder of the user's has it already."""
    try:
        found = below.lstat()
        of_root = found.st_uid in owners - {os.geteuid()} and not found.st_mode & OTHERS_WRITE
        if below == place or not of_root:
            require_private(below, OTHERS_WRITE)
    except FileNotFoundError:
        raise UntrustedError(
            f"{place} would lie in {shared}, where every user may write: name a folder of "
            f"your own, or make {below} first, for you alone (mkdir -m 700)"
        ) from None


def _trusted_owners() -> set[int]:
    """Users who may own what lies above a private folder: this one, and root."""
    owners = {0, os.geteuid()}
    with suppress(OSError, ValueError):
        if Path("/proc/self/uid_map").read_text("ascii").split() != _ALL_USERS:
            # A container without root's rights shows root's files as those of nobody.
            owners.add(int(Path("/proc/sys/kernel/overflowuid").read_text("ascii")))
    return owners


def _is_private_group(number: int) -> bool:
    """Whether a group has nobody in it but this user or root."""
    import grp
    import pwd

    if number == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    # Many systems give each user a group of the same name, and let it write to all of the user's.
    own = user.pw_gid == number and group.gr_name == user.pw_name
    return own and set(group.gr_mem) <= {user.pw_name}

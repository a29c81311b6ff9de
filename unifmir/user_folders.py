"""Folders of the user that files of unifmir are kept in, and whether they are the user's alone."""

import os
import stat
from pathlib import Path
from typing import Literal

from unifmir.errors import UntrustedError

OTHERS_WRITE, OTHERS_TOUCH = 0o022, 0o077
"""Permissions that a private file or folder must not give: writing; reading and running too."""


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

    What anybody may write to (`/tmp`, `/dev/shm`) is no place for it: names there can be taken by
    others first. A folder in such a place that is there before, the user's own, serves: others may
    look into it, but not write, and what is made in it is private.

    Raises
    ------
    UntrustedError
        It cannot be private.
    OSError
        It cannot be made.
    """
    for shared, below in _in_shared_places(folder):
        try:
            require_private(below, OTHERS_WRITE)
        except FileNotFoundError:
            raise UntrustedError(
                f"{folder} would lie in {shared}, where every user may write: name a folder of "
                f"your own, or make {below} first, for you alone (mkdir -m 700)"
            ) from None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_private(folder, OTHERS_TOUCH)


def _in_shared_places(folder: Path) -> list[tuple[Path, Path]]:
    """Folders above this one that anybody may write to, each with what lies in it on the way."""
    above = Path(folder.anchor)
    found = []
    for part in folder.parent.resolve().joinpath(folder.name).relative_to(above).parts:
        try:
            shared = above.lstat().st_mode & stat.S_IWOTH
        except FileNotFoundError:
            break
        if shared:
            found.append((above, above / part))
        above = above / part
    return found

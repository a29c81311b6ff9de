"""Folders of the zoo: inside the package, in the user's folder, in the cache."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path

from unifmir.errors import InUseError, OutputError, ZooError
from unifmir.file_locks import held
from unifmir.user_folders import user_folder

HOME_VARIABLE = "UNIFMIR_HOME"
CACHE_VARIABLE = "UNIFMIR_CACHE"


def packaged(*parts: str) -> Path:
    """A file or folder beside this module, in the installed package."""
    # A wheel with torch beside it is never run from a zip file, so this is a real path.
    return Path(str(files("unifmir.zoo.catalogue"))).joinpath(*parts)


def home() -> Path:
    """The user's own entries, files and pins: kept until the user removes them."""
    return user_folder(HOME_VARIABLE, "data")


def cache() -> Path:
    """Downloaded files: they can be removed at any time."""
    return user_folder(CACHE_VARIABLE, "cache")


@contextmanager
def changing(output: Path, variable: str) -> Iterator[None]:
    """Hold what is written into one of these folders, so that no other process writes it too.

    Parameters
    ----------
    output : Path
        The file or folder.
    variable : str
        Environment variable that names the folder it lies in.

    Raises
    ------
    InUseError
        Another process holds it.
    ZooError
        The folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(output))
        except InUseError:
            raise
        except OutputError as error:
            raise ZooError(
                f"{error}. The environment variable {variable} names another folder"
            ) from error
        yield

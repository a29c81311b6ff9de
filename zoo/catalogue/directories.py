"""Folders of the zoo: inside the package, in the user's folder, in the cache."""

from importlib.resources import files
from pathlib import Path

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

"""Folders of the zoo: inside the package, in the user's folder, in the cache."""

import os
from importlib.resources import files
from pathlib import Path

HOME_VARIABLE = "UNIFMIR_HOME"
CACHE_VARIABLE = "UNIFMIR_CACHE"


def packaged(*parts: str) -> Path:
    """A file or folder beside this module, in the installed package."""
    # A wheel with torch beside it is never run from a zip file, so this is a real path.
    return Path(str(files("unifmir.zoo.catalogue"))).joinpath(*parts)


def home() -> Path:
    """The user's own entries, files and pins: kept until the user removes them."""
    return _folder(HOME_VARIABLE, "user_data_dir")


def cache() -> Path:
    """Downloaded files: they can be removed at any time."""
    return _folder(CACHE_VARIABLE, "user_cache_dir")


def _folder(variable: str, function: str) -> Path:
    if value := os.environ.get(variable):
        return Path(value).expanduser().absolute()
    import platformdirs

    return Path(getattr(platformdirs, function)("unifmir", appauthor=False))

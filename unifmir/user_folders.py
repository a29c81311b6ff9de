"""Folders of the user that files of unifmir are kept in."""

import os
from pathlib import Path
from typing import Literal


def user_folder(variable: str, kind: Literal["data", "cache", "state"], *parts: str) -> Path:
    """The folder that an environment variable names; by default one in the user's own place."""
    if value := os.environ.get(variable):
        return Path(value).expanduser().absolute()
    import platformdirs

    places = {
        "data": platformdirs.user_data_dir,
        "cache": platformdirs.user_cache_dir,
        "state": platformdirs.user_state_dir,
    }
    return Path(places[kind]("unifmir", appauthor=False), *parts)

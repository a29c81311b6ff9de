"""Places that hold no file of their own, where a hostile input is looked for."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Case, Room


def special_cases(name: str) -> Iterator[Case]:
    """A pipe, a folder, nothing, and links, each under the name of a file that is given."""

    def write(make: Any, room: Room) -> Path:
        path = room.given / name
        make(path)
        return path

    places = {
        "a pipe": os.mkfifo,
        "a folder": os.mkdir,
        "nothing at all": lambda _: None,
        "a link to nothing": lambda path: path.symlink_to(f"nowhere{Path(name).suffix}"),
        "a link to another file": lambda path: path.symlink_to("../victim/precious.txt"),
    }
    for case, make in places.items():
        yield Case(case, partial(write, make))

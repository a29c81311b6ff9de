"""Staged outputs: they lie aside until they are complete, where the next run finds them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.atomic import write_text
from unifmir.errors import ImageError
from unifmir.images.base import ImageInfo, Shape
from unifmir.json_values import json_form
from unifmir.output_place import PREFIX, has_links, written_to
from unifmir.plain_text_values import read_json


class StagedOutput:
    """The unfinished form of one output: a file or folder beside it, with a note of what it is.

    Its name depends on the output's alone, so that a run after an interruption finds it; the
    note says for which shape, pixel type, chunks and metadata it was made, and is written last.

    Parameters
    ----------
    target : Path
        The output's name.
    plan : dict
        JSON values: all that decides what the unfinished form looks like.
    """

    def __init__(self, target: Path, plan: dict[str, Any]) -> None:
        self.target = target
        self.path = target.with_name(PREFIX + target.name)
        self._plan: dict[str, Any] = json_form(plan)
        self._note = self.path.with_name(self.path.name + ".json")
        self._replaced = self.path.with_name(self.path.name + ".old")

    def begin(self, create: Callable[[Path], dict[str, Any]], *, resume: bool) -> bool:
        """Find what an interrupted run left, or create it anew.

        Parameters
        ----------
        create : callable
            Makes the empty output under the path given; what it returns is in `facts`.
        resume : bool
            Whether to keep what lies there, if it was made for the same plan.

        Returns
        -------
        bool
            Whether something was found and kept.
        """
        with written_to(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._undo_replacement()
            if resume and self._noted().get("plan") == self._plan and self._is_ours():
                return True
            self.discard()
            facts = create(self.path)
            # The note is the sign that the output was created completely.
            write_text(self._note, json.dumps({"plan": self._plan, "facts": facts}))
            return False

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that `create` returned, in this run or the interrupted one."""
        facts: dict[str, Any] = self._noted()["facts"]
        return facts

    def publish(self) -> None:
        """Rename to the output's name; an output that was there is replaced.

        A folder cannot be replaced in one step: between two renames the old one lies aside, and
        the next run puts it back if this one was killed just there.
        """
        with written_to(self.target):
            if self.target.is_dir() and not self.target.is_symlink():
                self.target.rename(self._replaced)
            self.path.replace(self.target)
        self._note.unlink(missing_ok=True)
        _remove(self._replaced)

    def discard(self) -> None:
        """Delete what lies aside."""
        self._note.unlink(missing_ok=True)
        _remove(self.path)

    def _is_ours(self) -> bool:
        """Whether there is an unfinished output that leads nowhere else.

        It has a name that can be known, in a folder that others may have filled: what is written
        through a link that lies there, or into another name of a file, would change that file.
        """
        return os.path.lexists(self.path) and not has_links(self.path)

    def _undo_replacement(self) -> None:
        if not self._replaced.exists():
            return
        if self.target.exists():
            _remove(self._replaced)
        else:
            self._replaced.rename(self.target)

    def _noted(self) -> dict[str, Any]:
        try:
            noted = read_json(self._note)
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}


def staging_plan(
    kind: str, shape: Shape, dtype: np.dtype[Any], info: ImageInfo, chunks: Shape
) -> dict[str, Any]:
    """JSON values of all that decides how the unfinished form of an output looks."""
    return {
        "kind": kind,
        "shape": list(shape),
        "dtype": dtype.str,
        # As text of its own: names may hold control characters, which no value that is read may.
        "info": json.dumps(asdict(info)),
        "chunks": list(chunks),
    }


def check_space(folder: Path, size: int) -> None:
    """Raise ImageError where a folder's disk lacks the room for so many bytes."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ImageError(
            f"the output takes {size / 1e6:,.1f} MB, and {folder} has {free / 1e6:,.1f} MB free: "
            "make room, or write to another disk"
        )


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""All or nothing: an output appears under its name only when it is complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unifmir.output_place import written_to

PREFIX = ".unifmir-partial-"
"""Start of every unfinished name, so that a killed run's leftovers can be told and removed."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file path in the folder of `path`, renamed to `path` if the block succeeds.

    A kill at any moment leaves the old file or the new one. On an exception the temporary
    file is removed and `path` is untouched. Missing parent folders are created.
    """
    with written_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: several writers choose their format by it.
        handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        aside = Path(name)
        try:
            yield aside
            aside.chmod(0o666 & ~_umask())
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, all or nothing."""
    with writing(path) as aside:
        aside.write_text(text, "utf-8")


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder inside `parent`, removed afterwards.

    Files built in it can be renamed into `parent` one by one: same file system.
    """
    with written_to(parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask

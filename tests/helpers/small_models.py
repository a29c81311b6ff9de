"""Small networks in a zoo: a user's own, and in the place of the official ones."""

from pathlib import Path

import pytest

from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue import directories, index
from unifmir.zoo.catalogue.adding import Description, add_checkpoint
from unifmir.zoo.catalogue.schema import ZooEntry


def add_own_model(patch: pytest.MonkeyPatch, folder: Path, checkpoint: Path, model: str) -> None:
    """Give the tests a zoo of their own in a folder, which holds this checkpoint by this id."""
    patch.setenv(directories.HOME_VARIABLE, str(folder / "home"))
    patch.setenv(directories.CACHE_VARIABLE, str(folder / "cache"))
    about: Description = {
        "id": model,
        "task": None,
        "title": "Mine",
        "dataset": "My images",
        "authors": ["Ada Author"],
        "licence": "CC0-1.0",
        "notes": None,
    }
    add_checkpoint(checkpoint, about)


def without_configurations(patch: pytest.MonkeyPatch) -> None:
    """Let the official entries state no configuration: files of small networks may be theirs."""
    read = index.read_entry
    packaged = Path(directories.packaged("entries"))

    def bare(path: Path) -> ZooEntry:
        entry = read(path)
        if path.parent != packaged or entry.id == EMBEDDED:
            return entry
        return entry.model_copy(update={"configuration": None, "parameters": None})

    patch.setattr(index, "read_entry", bare)

"""Small networks in the place of the official ones, whose files take minutes to make."""

from pathlib import Path

import pytest

from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue import directories, index
from unifmir.zoo.catalogue.schema import ZooEntry


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

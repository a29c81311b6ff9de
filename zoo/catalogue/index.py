"""The models there are: the entries of the package, and those the user added."""

import logging
from contextlib import AbstractContextManager
from pathlib import Path

from unifmir.config import ReferenceConfig
from unifmir.errors import UnknownNameError, ZooError
from unifmir.reference import REFERENCES
from unifmir.registry import require_known
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.schema import MAX_ENTRY_BYTES, ZooEntry, parse_entry

logger = logging.getLogger(__name__)


def entries() -> dict[str, ZooEntry]:
    """All models by id, the package's first.

    An entry in the user's folder that cannot be read is left out with a warning: one broken
    file must not hide the others.

    Raises
    ------
    ZooError
        If an entry of the package itself is damaged.
    """
    found = {path.stem: read_entry(path) for path in _files(directories.packaged("entries"))}
    for path in _files(user_folder()):
        try:
            entry = read_entry(path)
        except (ZooError, OSError) as error:
            logger.warning("left out: %s", error)
            continue
        if entry.id in found:
            logger.warning("left out: %s repeats the id of a packaged model", path)
            continue
        found[entry.id] = entry
    return found


def find(model_id: str) -> ZooEntry:
    """The entry of an id.

    Raises
    ------
    UnknownNameError
        With the known ids and the nearest, if there is none.
    ZooError
        If the entry's file is damaged.
    """
    known = _paths()
    if model_id in REFERENCES:
        raise UnknownNameError(
            f"{model_id} is a reference model: it comes with fresh weights and has neither a file "
            f"nor an entry; `unifmir zoo show {model_id}` says what it is"
        )
    require_known("zoo model", model_id, known)
    return read_entry(known[model_id])


def trained_id(name: str, task: str) -> str:
    """Id of the zoo model that has a reference model's trained weights for a task, if any has."""
    return f"{name}-{task}"


def reference_of(entry: ZooEntry) -> str | None:
    """Name of the reference model that this entry gives its weights for a task, or None.

    It is called as `trained_id` says, and its network is that reference model's.
    """
    config = entry.config
    if isinstance(config, ReferenceConfig) and entry.id == trained_id(config.model, config.task):
        return config.model
    return None


def read_entry(path: Path) -> ZooEntry:
    """The entry in a JSON file named after its id.

    Raises
    ------
    ZooError
        With what is wrong in it.
    """
    entry = read_any_entry(path)
    if entry.id != path.stem:
        raise ZooError(
            f"{path} holds the entry {entry.id!r}; name the file {entry.id}.json, or change the id"
        )
    return entry


def read_any_entry(path: Path) -> ZooEntry:
    """The entry in a JSON file of any name."""
    if not path.is_file():
        raise ZooError(f"{path} is no file; give the JSON file of an entry")
    if path.stat().st_size > MAX_ENTRY_BYTES:
        raise ZooError(
            f"{path} has {path.stat().st_size} bytes, an entry at most {MAX_ENTRY_BYTES}: "
            "give the JSON file of an entry; a checkpoint goes after --file"
        )
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ZooError(f"{path} is not text; give the JSON file of an entry") from error
    return parse_entry(text, str(path))


def packaged_ids() -> tuple[str, ...]:
    """Ids of the models that ship with the package."""
    return tuple(path.stem for path in _files(directories.packaged("entries")))


def user_folder() -> Path:
    """Folder of the user's own entries."""
    return directories.home() / "entries"


def changing_model(model_id: str) -> AbstractContextManager[None]:
    """Let no other process add or change this model meanwhile."""
    return directories.changing(user_folder() / f"{model_id}.json", directories.HOME_VARIABLE)


def _paths() -> dict[str, Path]:
    user = {path.stem: path for path in _files(user_folder())}
    packaged = {path.stem: path for path in _files(directories.packaged("entries"))}
    # As in `entries`: the package's order first, and its entry where both have one.
    return {**packaged, **{name: path for name, path in user.items() if name not in packaged}}


def _files(folder: Path) -> list[Path]:
    # Names that start with a dot are unfinished writes.
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))

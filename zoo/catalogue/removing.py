"""Models of the user's own, and files given for models, removed again."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unifmir.errors import ZooError
from unifmir.json_values import JsonOutput
from unifmir.registry import require_known
from unifmir.zoo.catalogue import directories, pins
from unifmir.zoo.catalogue.index import changing_model, packaged_ids, user_folder
from unifmir.zoo.catalogue.pull import download_folder, given_folder


@dataclass(frozen=True, slots=True)
class Additions(JsonOutput):
    """All that `unifmir zoo add` put into the user's folder for a model, and how large it is."""

    written = ("id", "ships", "sizes", "size_bytes")

    id: str
    ships: bool
    """Whether the model comes with unifmir: then it stays, and loses the file given for it."""
    sizes: dict[Path, int]
    """Bytes of each file."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    @property
    def words(self) -> str:
        """Words for what it is."""
        return f"the file given for {self.id}" if self.ships else f"the model {self.id}"


def additions_of(model_id: str) -> Additions:
    """Look for what the user added for a model, also where parts of it are damaged or gone.

    Raises
    ------
    UnknownNameError
        There is no such model.
    ZooError
        Nothing was added for it: the model ships with unifmir.
    """
    shipped = packaged_ids()
    own = {path.name for path in _listed(directories.home() / "files")}
    own |= {path.stem for path in _listed(user_folder()) if path.suffix == ".json"}
    require_known("zoo model", model_id, [*shipped, *sorted(own - set(shipped))])
    ships = model_id in shipped
    files = [user_folder() / f"{model_id}.json", *_listed(given_folder(model_id))]
    if not ships:
        # What was downloaded for an entry of the user's is of no use without it.
        files += [pins.pins_file(model_id), *_listed(download_folder(model_id))]
    sizes = {path: path.lstat().st_size for path in files if path.is_symlink() or path.is_file()}
    if ships and not sizes and pins.pin_of(model_id, "file") is None:
        raise ZooError(
            f"{model_id} ships with unifmir, and no file was given for it: there is nothing to "
            "remove"
        )
    return Additions(model_id, ships, sizes)


def remove_additions(found: Additions) -> None:
    """Remove what the user added for a model.

    Raises
    ------
    InUseError
        Another process adds or changes the model.
    ZooError
        The user's folder cannot be written to.
    """
    with changing_model(found.id):
        # The entry goes first: no model is listed that has lost its file.
        for path in found.sizes:
            path.unlink(missing_ok=True)
        if found.ships:
            pins.forget(found.id, "file")
        for folder in {path.parent for path in found.sizes} | {given_folder(found.id)}:
            if folder.name == found.id:
                with suppress(OSError):  # something else lies there
                    folder.unlink() if folder.is_symlink() else folder.rmdir()


def _listed(folder: Path) -> list[Path]:
    """Paths in a folder, if there is one; names that start with a dot are unfinished writes."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))

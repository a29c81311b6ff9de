"""A model of the zoo that is published: its package, exported first where there is none."""

from pathlib import Path

from unifmir.errors import ZooError
from unifmir.export.credit import Credit
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.export.pipeline import artifact_name, export
from unifmir.hashing import sha256_of
from unifmir.zoo.catalogue.entry_credit import completed_credit
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.load import load_model
from unifmir.zoo.catalogue.pull import present_file
from unifmir.zoo.catalogue.schema import ZooEntry
from unifmir.zoo.publish.destination import Tell

FORMAT = "bioimageio"


def package_place(model_id: str, folder: Path, *, task: str | None = None) -> Path:
    """Path of a model's package in a folder, whether it is there or not.

    Raises
    ------
    UnknownNameError
        There is no such model.
    ZooError
        It has several tasks and none is named, or not that one.
    """
    return folder / artifact_name(FORMAT, _task(find(model_id), task))


def exported_model(
    model_id: str, folder: Path, *, task: str | None = None, stated: Credit, tell: Tell
) -> Path:
    """The package of a model: the one in the folder, or a new one.

    A package that is there is kept, so that a submission goes on with the same bytes; it is
    exported again where something is stated, or the model's file is another by now.

    Parameters
    ----------
    model_id : str
        Id of a model of the zoo.
    folder : Path
        Created if missing; the package stays there.
    task : str, optional
        Needed where the model has several.
    stated : Credit
        What the user states; the rest is the entry's.
    tell : callable
        Told, in one line, what is done now.

    Raises
    ------
    ZooError
        No licence of the weights is known, the model's file cannot be had, or the folder holds the
        package of another model.
    ExportError
        The package cannot be made.
    """
    entry = find(model_id)
    path = package_place(model_id, folder, task=task)
    if path.exists() and stated == Credit() and _is_current(entry, path):
        tell(f"{path} is taken as it is")
        return path
    chosen = _task(entry, task)
    credit = completed_credit(stated, entry, chosen)
    if not credit.licence:
        raise ZooError(
            f"{entry.id}: no licence of the weights is known ({entry.licence_note}), without which "
            "nobody may use what is published. State the one that their authors gave: "
            "--licence SPDX"
        )
    export(
        load_model(entry.id, task=chosen),
        folder,
        formats=(FORMAT,),
        task=chosen,
        credit=credit,
        on_step=tell,
    )
    return path


def _task(entry: ZooEntry, task: str | None) -> str:
    """The task of a model that is published."""
    known = ", ".join(entry.tasks)
    if task is not None and task not in entry.tasks:
        raise ZooError(f"{entry.id} is a model for {known}, not for {task}")
    if task is None and len(entry.tasks) > 1:
        raise ZooError(f"{entry.id} has several tasks, and a package holds one: --task, of {known}")
    return task or entry.tasks[0]


def _is_current(entry: ZooEntry, path: Path) -> bool:
    """Whether a package is of the model's file, as far as that is on this machine.

    Raises
    ------
    ZooError
        It is of another model.
    """
    part = read_package(path).rdf
    for name in ("config", "unifmir", "pruning", "parent"):
        found = part.get(name)
        part = found if isinstance(found, dict) else {}
    if part.get("zoo_id") != entry.id:
        raise ZooError(
            f"{path} is the package of {part.get('zoo_id') or 'another model'}, not of {entry.id}: "
            "name another folder with --out, or publish that file by its path"
        )
    file = present_file(entry)
    return file is None or part.get("sha256") == sha256_of(file)

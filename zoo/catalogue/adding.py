"""Models of the user's own, and files for models that cannot be downloaded."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from unifmir.atomic import temporary_folder, write_text, writing
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.saving import save
from unifmir.checkpoint.weight_sets import WeightKind
from unifmir.config import config_from_dict
from unifmir.errors import ZooError
from unifmir.hashing import sha256_of
from unifmir.reference import REFERENCES
from unifmir.zoo.catalogue import pins
from unifmir.zoo.catalogue.index import (
    changing_model,
    entries,
    find,
    packaged_ids,
    read_any_entry,
    user_folder,
)
from unifmir.zoo.catalogue.named_file import facts_as_named
from unifmir.zoo.catalogue.pins import Pin
from unifmir.zoo.catalogue.pull import given_folder, giving
from unifmir.zoo.catalogue.remote import safe_name
from unifmir.zoo.catalogue.schema import (
    MULTITASK,
    EmbeddedSource,
    FileSource,
    ZooEntry,
    entry_text,
    normalisation_of,
    parse_entry,
)

MOST_PARTS = 6
"""Parts of a configuration that are told where they differ."""


class Description(TypedDict):
    """Facts on a new model that people give; the rest is read off its file."""

    id: str | None
    task: str | None
    title: str | None
    dataset: str | None
    authors: list[str] | None
    licence: str | None
    notes: str | None


@contextmanager
def with_one_set(file: Path, weights: WeightKind | None) -> Iterator[Path]:
    """The file itself, or where one of its sets of weights is named, that one as a file of its own.

    Parameters
    ----------
    file : Path
        A checkpoint.
    weights : {"raw", "ema"}, optional
        Which set. Then what is yielded is a safetensors file that is removed after the block.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint, or has no such weights.
    """
    if weights is None:
        yield file
        return
    with temporary_folder() as folder:
        alone = folder / f"{safe_name(file.stem)}.{weights}.safetensors"
        save(load_file(file, weights=weights), alone)
        yield alone


def add_entry(path: Path, file: Path | None = None) -> ZooEntry:
    """Add the entry in a JSON file, with the model's checkpoint if there is one.

    What the entry leaves null of the checkpoint is filled in; what it says must be true.

    Raises
    ------
    ZooError
        If the entry is malformed, its id is taken, or the file is not the one it describes.
    CheckpointError
        If the file is no checkpoint of a UniFMIR network.
    """
    entry = read_any_entry(path)
    with changing_model(entry.id):
        _check_new(entry.id)
        if isinstance(entry.source, EmbeddedSource):
            raise ZooError(
                f"{path}: source kind 'embedded' is for files inside the unifmir package; use "
                "'file' and give the checkpoint with --file"
            )
        if file is None:
            if isinstance(entry.source, FileSource):
                raise ZooError(
                    f"{entry.id} has source kind 'file': give its checkpoint with --file"
                )
        else:
            entry = completed_entry(entry, file)
            _keep(entry.id, file)
        return _written(entry)


def add_checkpoint(file: Path, about: Description, *, cite: Sequence[str] = ()) -> ZooEntry:
    """Add a model made from a checkpoint and a description, with the DOIs of `cite`.

    Raises
    ------
    ZooError
        If the description lacks something, or the id is taken.
    CheckpointError
        If the file is no checkpoint of a UniFMIR network.
    """
    needed = {"--id": "id", "--title": "title", "--dataset": "dataset", "--author": "authors"}
    given: dict[str, Any] = {**about}
    if missing := [option for option, name in needed.items() if not given[name]]:
        raise ZooError(f"a new model needs {', '.join(missing)}")
    model_id = str(about["id"])
    found = inspect_file(file, task=about["task"])
    task = found.task or MULTITASK
    document = {
        "schema_version": 1,
        "id": model_id,
        "version": "1.0.0",
        "task": task,
        "title": about["title"],
        "dataset": about["dataset"],
        "source": {"kind": "file", "filename": safe_name(file.name)},
        "licence": about["licence"],
        "licence_note": None if about["licence"] else "Not stated when the model was added.",
        "authors": about["authors"],
        "cite": list(cite),
        "configuration": None,
        "parameters": None,
        "normalisation": {k: v.model_dump() for k, v in normalisation_of(task, None).items()},
        "pixel_size_um": None,
        "measured": [],
        "training": None,
        "notes": about["notes"] or "",
    }
    entry = parse_entry(json.dumps(document), "the new model")
    with changing_model(entry.id):
        _check_new(entry.id)
        entry = completed_entry(entry, file)
        _keep(entry.id, file)
        return _written(entry)


def give_file(model_id: str, file: Path, *, replace: bool = False) -> ZooEntry:
    """Give the checkpoint of a model of the catalogue: it is used from then on.

    Parameters
    ----------
    replace : bool
        Put it in the place of a file given before.

    Raises
    ------
    ZooError
        If the model has a file already, or this is not one of its kind.
    CheckpointError
        If the file is no checkpoint of a UniFMIR network.
    """
    entry = find(model_id)
    if isinstance(entry.source, EmbeddedSource):
        raise ZooError(f"the file of {model_id} is part of unifmir; add a model with another --id")
    with changing_model(model_id):
        old = pins.pin_of(model_id, "file")
        if old is not None and not replace:
            raise ZooError(
                f"{model_id} was given the file {old.filename} on {old.added}; use --replace to "
                "put this one in its place"
            )
        completed_entry(entry, file)
        kept = _keep(model_id, file)
        if old is not None and old.filename != kept.name:
            kept.with_name(old.filename).unlink(missing_ok=True)
    return entry


def _check_new(model_id: str) -> None:
    if model_id in REFERENCES:
        raise ZooError(f"{model_id!r} is the name of a reference model; choose another id")
    if model_id in entries() or (user_folder() / f"{model_id}.json").exists():
        removed = "" if model_id in packaged_ids() else f", or `unifmir zoo remove {model_id}`"
        raise ZooError(
            f"there is a zoo model {model_id!r} already; choose another id, or give its file "
            f"with `{giving(model_id)}`{removed}"
        )


def completed_entry(entry: ZooEntry, file: Path) -> ZooEntry:
    """The entry with what its checkpoint says of itself.

    Raises
    ------
    ZooError
        The two contradict.
    CheckpointError
        The file is no checkpoint of a UniFMIR network.
    """
    found = inspect_file(file, task=entry.only_task)
    task = found.task or MULTITASK
    if task != entry.task:
        hint = (
            f": cut the task out first with `unifmir prune {file} --task {entry.task}`"
            if task == MULTITASK
            else ""
        )
        raise ZooError(f"{file.name} holds a {task} network, {entry.id} is {entry.task}{hint}")
    parameters = found.parameters_as(entry.parameters)
    network = {"configuration": found.config, "parameters": parameters}
    stored = facts_as_named(entry, file, found.sha256)
    document = entry.model_dump(mode="json")
    recorded = {**document["source"], **document}
    for name, actual in {**network, **stored}.items():
        if recorded[name] not in (None, actual):
            instead = (
                ""
                if entry.id in packaged_ids()
                else f"; in place of this one after `unifmir zoo remove {entry.id}`"
            )
            raise ZooError(
                f"{file.name} is not the file of {entry.id}: its {name} is "
                f"{contradiction(actual, recorded[name])}. If it is a model of its own, export it "
                "with --checkpoint alone, or add it with `unifmir zoo add --id ID --file FILE`"
                f"{instead}"
            )
    document |= network
    rules = normalisation_of(task, config_from_dict(found.config))
    document["normalisation"] = {name: rule.model_dump() for name, rule in rules.items()}
    if isinstance(entry.source, FileSource):
        document["source"] |= stored
    return parse_entry(json.dumps(document), entry.id)


def contradiction(actual: object, recorded: object) -> str:
    """Sentence on what a file has and its entry says, of a configuration on its parts alone."""
    if not (isinstance(actual, dict) and isinstance(recorded, dict)):
        return f"{actual}, the entry says {recorded}"
    found, stated = dict(_parts(actual)), dict(_parts(recorded))
    parts = [
        f"{name} is {found.get(name)}, the entry says {stated.get(name)}"
        for name in (*found, *(name for name in stated if name not in found))
        if found.get(name) != stated.get(name)
    ]
    more = f" and {len(parts) - MOST_PARTS} more" if len(parts) > MOST_PARTS else ""
    return f"another ({'; '.join(parts[:MOST_PARTS])}{more})"


def _parts(configuration: dict[str, Any], within: str = "") -> Iterator[tuple[str, object]]:
    """Values of a configuration by their dotted names."""
    for name, value in configuration.items():
        if isinstance(value, dict):
            yield from _parts(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _keep(model_id: str, file: Path) -> Path:
    """Copy a checkpoint into the user's folder, and pin it."""
    place = given_folder(model_id) / safe_name(file.name)
    with writing(place) as aside:
        shutil.copyfile(file, aside)
    today = datetime.now(UTC).date().isoformat()
    pin = Pin(place.name, sha256_of(place), place.stat().st_size, file.name, today)
    pins.record(model_id, "file", pin)
    return place


def _written(entry: ZooEntry) -> ZooEntry:
    # Last of all: a model is listed only when its file is there.
    write_text(user_folder() / f"{entry.id}.json", entry_text(entry))
    return entry

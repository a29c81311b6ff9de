"""`unifmir.load`: a checkpoint file, a zoo model or a reference model, as a network."""

from dataclasses import replace
from pathlib import Path

import torch

from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.weight_sets import WeightKind
from unifmir.config import ReferenceConfig
from unifmir.errors import CheckpointError, UnknownNameError, ZooError
from unifmir.model import Provenance, build
from unifmir.networks.base import Network
from unifmir.reference import REFERENCES
from unifmir.zoo.catalogue.adding import completed_entry, contradiction
from unifmir.zoo.catalogue.index import find, reference_of, trained_id
from unifmir.zoo.catalogue.pull import giving, how_to_get, local_file, present_file
from unifmir.zoo.catalogue.schema import EmbeddedSource, FileSource, ZooEntry

SUFFIXES = (
    ".pt",
    ".pth",
    ".safetensors",
    ".h5",
    ".hdf5",
    ".keras",
    ".ckpt",
    ".bin",
    ".onnx",
    ".zip",
    ".tif",
    ".tiff",
)
"""Endings of files people give: a name that ends so is a file's, never a zoo id."""


def load(
    path_or_zoo_id: str | Path, *, task: str | None = None, weights: WeightKind | None = None
) -> Network:
    """The network of a checkpoint file or of a zoo model, in eval mode, fp32, on the CPU.

    Parameters
    ----------
    path_or_zoo_id : str or Path
        A .pt, .pth, .ckpt or .safetensors file, TorchScript, a BioImage.IO package, a Keras .h5
        file of CARE, an id that `unifmir zoo list` shows, or the name of a reference model, which
        comes with fresh weights, always the same.
        A file that exists goes before an id. A zoo model that is not on this machine is
        downloaded.
    task : str, optional
        Where the weights fit several tasks, which one they are for. A multi-task network is
        returned whole whatever the task.
    weights : {"raw", "ema"}, optional
        Which ones, where the checkpoint has both: as trained, or their running average.

    Raises
    ------
    CheckpointError
        If the file is missing, or is no checkpoint of a UniFMIR network.
    UnknownNameError
        If there is no such zoo model.
    ZooError
        If the model's file cannot be had, or is for another task.
    """
    path = Path(path_or_zoo_id)
    if path.is_file():
        return load_file(path, task=task, weights=weights)
    if path.is_dir() and isinstance(path_or_zoo_id, Path):
        raise CheckpointError(f"{path} is a folder, not a checkpoint: name the file inside it")
    if isinstance(path_or_zoo_id, Path) or _looks_like_a_path(path_or_zoo_id):
        raise CheckpointError(
            f"{path}: no such file; give a checkpoint (.pt, .pth, .ckpt, .safetensors, "
            "a package), or the id of a zoo model: `unifmir zoo list` shows them"
        )
    if path_or_zoo_id in REFERENCES:
        return fresh_reference(path_or_zoo_id, task=task)
    return load_model(path_or_zoo_id, task=task, weights=weights)


def load_trained(
    path_or_zoo_id: str | Path,
    *,
    task: str | None = None,
    weights: WeightKind | None = None,
    untrained: bool = False,
) -> Network:
    """A network as `load` gives it, but no reference model by its bare name: it learned nothing.

    Parameters
    ----------
    untrained : bool
        Give it nevertheless, with its fresh weights.

    Raises
    ------
    ZooError
        A reference model is named; the message says what has weights.
    """
    if not untrained and path_or_zoo_id in REFERENCES and not Path(path_or_zoo_id).is_file():
        raise ZooError(
            f"{path_or_zoo_id} is a reference model, and by its name alone its weights are "
            "untrained: its pictures mean nothing. Give a checkpoint of it, or a model of "
            f"`unifmir zoo list`; `unifmir benchmark --model {path_or_zoo_id}` measures what it "
            "costs; --untrained (in Python the network of `unifmir.load`) takes it for tests"
        )
    return load(path_or_zoo_id, task=task, weights=weights)


def fresh_reference(name: str, *, task: str | None = None) -> Network:
    """A reference model as published, with fresh weights, the same ones in every process.

    Raises
    ------
    CheckpointError
        If the model is no reference for `task`.
    """
    row = REFERENCES[name]
    if task is not None and task not in row.tasks:
        raise CheckpointError(
            f"{name} is a reference model for {' and '.join(row.tasks)}, not for {task}"
        )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(ReferenceConfig(name, task or row.tasks[0]))
    network.source = Provenance(name=name, sha256="")
    return network


def trained_reference(name: str, task: str) -> ZooEntry | None:
    """The zoo model of a reference model's trained weights for a task; None if it is not here.

    Parameters
    ----------
    name : str
        Name in `REFERENCES`.
    task : str
        A model called `NAME-TASK` whose network is another is none.

    Raises
    ------
    ZooError
        If the entry's file is damaged.
    """
    try:
        entry = find(trained_id(name, task))
    except UnknownNameError:
        return None
    here = reference_of(entry) == name and present_file(entry) is not None
    return entry if here else None


def load_model(
    model_id: str, *, task: str | None = None, weights: WeightKind | None = None
) -> Network:
    """The network of a zoo model, as `load` gives it."""
    entry = find(model_id)
    if task is not None and task not in entry.tasks:
        raise ZooError(
            f"{entry.id} is a model for {entry.task}, not for {task}; leave the task out, or "
            "choose another model: `unifmir zoo list` shows them"
        )
    file = local_file(entry)
    try:
        network = load_file(file, task=entry.only_task, weights=weights)
    except CheckpointError as error:
        if isinstance(entry.source, FileSource):
            raise
        raise CheckpointError(f"{error} (zoo model {entry.id}: {entry.notes})") from error
    if (stated := entry.configuration) not in (None, found := network.config.to_dict()):
        embedded = isinstance(entry.source, EmbeddedSource)
        advice = how_to_get(entry) if embedded else f"Give the right one with `{giving(entry.id)}`"
        raise ZooError(
            f"{file} is not the file of {entry.id}: its configuration is "
            f"{contradiction(found, stated)}. {advice}"
        )
    network.source = replace(network.source, zoo_id=entry.id)
    return network


def load_in_place(
    model_id: str, file: Path, *, task: str | None = None, weights: WeightKind | None = None
) -> Network:
    """The network of a file that is given in place of a zoo model's download.

    Raises
    ------
    ZooError
        The file contradicts the model's entry: another task, configuration or hash.
    CheckpointError
        It is no checkpoint of a UniFMIR network.
    """
    entry = find(model_id)
    if task is not None and task not in entry.tasks:
        raise ZooError(f"{entry.id} is a model for {entry.task}, not for {task}")
    completed_entry(entry, file)
    network = load_file(file, task=entry.only_task, weights=weights)
    network.source = replace(network.source, zoo_id=entry.id)
    return network


def _looks_like_a_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.lower().endswith(SUFFIXES)

"""`unifmir.load`: a checkpoint file or a zoo model, as a network."""

from dataclasses import replace
from pathlib import Path

from unifmir.checkpoint import load_file
from unifmir.errors import CheckpointError, ZooError
from unifmir.networks.base import Network
from unifmir.zoo.catalogue import find
from unifmir.zoo.pull import local_file
from unifmir.zoo.schema import MULTITASK, FileSource

SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".onnx", ".zip", ".tif", ".tiff")
"""Of files people give: a name that ends so is a file's, never a zoo id."""


def load(path_or_zoo_id: str | Path, *, task: str | None = None) -> Network:
    """The network of a checkpoint file or of a zoo model, in eval mode, fp32, on the CPU.

    Parameters
    ----------
    path_or_zoo_id : str or Path
        A .pt, .pth or .safetensors file, or an id that `unifmir zoo list` shows. A file that
        exists goes before an id. A zoo model that is not on this machine is downloaded.
    task : str, optional
        Where the weights fit several tasks, which one they are for. A multi-task network is
        returned whole whatever the task.

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
        return load_file(path, task=task)
    if isinstance(path_or_zoo_id, Path) or _looks_like_a_path(path_or_zoo_id):
        raise CheckpointError(
            f"{path}: no such file; give a checkpoint (.pt, .pth or .safetensors), or the id of a "
            "zoo model: `unifmir zoo list` shows them"
        )
    return load_model(path_or_zoo_id, task=task)


def load_model(model_id: str, *, task: str | None = None) -> Network:
    """As `load`, for a zoo model only."""
    entry = find(model_id)
    if task is not None and task not in entry.tasks:
        raise ZooError(
            f"{entry.id} is a model for {entry.task}, not for {task}; leave the task out, or "
            "choose another model: `unifmir zoo list` shows them"
        )
    file = local_file(entry)
    try:
        network = load_file(file, task=None if entry.task == MULTITASK else entry.task)
    except CheckpointError as error:
        if isinstance(entry.source, FileSource):
            raise
        raise CheckpointError(f"{error} (zoo model {entry.id}: {entry.notes})") from error
    network.source = replace(network.source, zoo_id=entry.id)
    return network


def _looks_like_a_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.lower().endswith(SUFFIXES)

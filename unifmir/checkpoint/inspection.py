"""Inspection of a checkpoint file: everything that can be said without building its network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unifmir import model
from unifmir.checkpoint.detect import candidate_tasks
from unifmir.checkpoint.loading import Checkpoint, configuration, read_checkpoint
from unifmir.checkpoint.weight_sets import WeightKind
from unifmir.config import (
    ModelConfig,
    MultiTaskConfig,
    SingleTaskConfig,
    config_from_dict,
    kind_of,
)
from unifmir.json_values import JsonOutput
from unifmir.tasks import multitask_parts


@dataclass(frozen=True, slots=True)
class Inspection(JsonOutput):
    """One checkpoint file, described."""

    name: str
    format: str
    """torch-zip, torch-legacy, safetensors, torchscript or bioimageio."""
    kind: str
    """single or multitask."""
    task: str
    """Recorded in the file, or the one taken by default; empty for a multi-task network."""
    candidate_tasks: tuple[str, ...]
    """Tasks the shapes fit."""
    config: dict[str, Any]
    parameters: int
    """Trainable values in the file, counted as the official code does: with `unused` ones."""
    scalars: int
    """Elements of all tensors in the file, buffers included."""
    tensors: int
    size_bytes: int
    sha256: str
    dtypes: dict[str, int]
    """Element type -> tensors."""
    nest: str
    """Names that lead to the weights in the file; empty if the file is the state dict."""
    prefix: str
    """Taken off every key."""
    weights: str
    """raw, or ema for a running average."""
    beside: tuple[str, ...]
    """Keys of the same state dict that belong to no network."""
    derivable: tuple[str, ...]
    """Keys that follow from the configuration; checked against it."""
    unused: tuple[str, ...]
    """Keys that no network reads."""
    parent: dict[str, Any] | None
    """Name and hash of the file this one was made from, if it says so."""
    pruned: bool
    """Whether it carries a pruning certificate."""
    notes: tuple[str, ...]

    def parameters_as(self, stated: int | None) -> int:
        """Count of the parameters, without the `unused` ones where `stated` leaves those out."""
        read = parameter_count(config_from_dict(self.config))
        return read if stated == read else self.parameters


def inspect_file(
    path: Path, *, task: str | None = None, weights: WeightKind | None = None
) -> Inspection:
    """Describe a checkpoint file.

    Parameters
    ----------
    path : Path
        .pt, .pth, .ckpt or .safetensors; TorchScript; or a BioImage.IO package with one of them.
    task, weights : str, optional
        As for `unifmir.checkpoint.loading.load_file`.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint of a UniFMIR network; the message says what it is.
    """
    checkpoint = read_checkpoint(path, weights=weights)
    config = configuration(checkpoint, task)
    record = checkpoint.record
    return Inspection(
        name=checkpoint.source.name,
        format=checkpoint.format,
        kind=kind_of(config),
        task="" if isinstance(config, MultiTaskConfig) else config.task,
        candidate_tasks=candidate_tasks(config),
        config=config.to_dict(),
        parameters=parameter_count(config) + sum(t.numel() for t in checkpoint.unused.values()),
        scalars=checkpoint.scalars,
        tensors=sum(checkpoint.dtypes.values()),
        size_bytes=checkpoint.source.size_bytes,
        sha256=checkpoint.source.sha256,
        dtypes=checkpoint.dtypes,
        nest=checkpoint.nest,
        prefix=checkpoint.prefix,
        weights=checkpoint.kind,
        beside=checkpoint.beside,
        derivable=tuple(sorted(checkpoint.derivable)),
        unused=tuple(sorted(checkpoint.unused)),
        parent=record.parent.to_dict() if record.parent else None,
        pruned=record.certificate is not None,
        notes=_notes(checkpoint, config),
    )


def parameter_count(config: ModelConfig) -> int:
    """Trainable values of a configuration's network, without allocating it."""
    with torch.device("meta"):
        network = model.build(config)
    return sum(parameter.numel() for parameter in network.parameters())


def _notes(checkpoint: Checkpoint, config: ModelConfig) -> tuple[str, ...]:
    notes = []
    other = [name for name in checkpoint.dtypes if name in ("float16", "bfloat16", "float64")]
    if other:
        notes.append(f"weights stored as {', '.join(other)} are converted to float32 when loaded")
    if checkpoint.kind == "ema":
        notes.append("the running average of the weights (ema)")
    if checkpoint.beside:
        shown = ", ".join(key[:80] for key in checkpoint.beside[:6])
        more = ", ..." if len(checkpoint.beside) > 6 else ""
        notes.append(f"left out, for they belong to no network: {shown}{more}")
    if checkpoint.unused:
        notes.append("sub_mean and add_mean are never read; official files hold garbage in them")
    candidates = candidate_tasks(config)
    if checkpoint.record.config is None and isinstance(config, SingleTaskConfig):
        if len(candidates) > 1:
            notes.append(
                f"the shapes fit {' and '.join(candidates)}; taken as {config.task}: choose "
                "with --task"
            )
        part = multitask_parts().get(config.task)
        if part and config.body_residual != part.body_residual:
            notes.append(
                "body residual taken to be that of the official single-task network; "
                f"a {config.task} network cut out of the multi-task one has none"
            )
    return tuple(notes)

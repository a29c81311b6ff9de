"""Checkpoints: from a file to a network.

`read_checkpoint` gives clean fp32 weights of any readable file, `load_file` the network they
belong to.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unifmir import model
from unifmir.checkpoint import detect
from unifmir.checkpoint.keras import read_keras
from unifmir.checkpoint.official import check_derivable, is_derivable, is_optional, is_unused
from unifmir.checkpoint.record import Record, read_record
from unifmir.checkpoint.serialization import RawFile, read_raw, tensors_sha256
from unifmir.checkpoint.sniffing import Format, is_hdf5
from unifmir.checkpoint.weight_sets import WeightKind, chosen_set
from unifmir.config import ModelConfig, ReferenceConfig
from unifmir.errors import CheckpointError
from unifmir.hashing import sha256_of
from unifmir.model import Provenance, PruneCertificate
from unifmir.networks.base import Network
from unifmir.tasks import TASKS

logger = logging.getLogger(__name__)

_READ_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGERS = (torch.int64, torch.int32)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Checked content of a file: finite fp32 weights under their plain keys."""

    weights: dict[str, Tensor]
    """Everything but `derivable` and `unused` entries. May be mapped from the file."""
    derivable: dict[str, Tensor]
    """Entries that follow from the configuration, for `check_derivable`."""
    unused: dict[str, Tensor]
    """Entries that are never read."""
    dtypes: dict[str, int]
    """Number of entries of each element type in the file; weights above are fp32 whatever it is."""
    scalars: int
    """Elements of all entries of the file, buffers included."""
    format: Format
    kind: WeightKind
    """Whether the weights are those as trained, or their running average."""
    nest: str
    """Names that led to the weights, as in `"state_dict"`; empty if the file is the state dict."""
    prefix: str
    """Prefix that was taken off every key."""
    beside: tuple[str, ...]
    """Keys of the same state dict that belong to no network; left out."""
    record: Record
    """unifmir's own metadata; empty in other files."""
    source: Provenance

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights."""
        return {key: tuple(tensor.shape) for key, tensor in self.weights.items()}


def read_checkpoint(path: Path, *, weights: WeightKind | None = None) -> Checkpoint:
    """Read a checkpoint without running anything that is in it.

    Parameters
    ----------
    path : Path
        .pt, .pth, .ckpt or .safetensors; TorchScript; or a BioImage.IO package with one of them.
    weights : {"raw", "ema"}, optional
        Which ones, where the file has both: as trained, or their running average.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, dangerous or something else, has entries that are no tensors,
        weights that are not finite, or several networks that `weights` does not tell apart.
    """
    path = Path(path)
    raw = read_raw(path)
    try:
        return _cleaned(path, raw, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from error


def configuration(checkpoint: Checkpoint, task: str | None = None) -> ModelConfig:
    """The configuration recorded in the file, else the one its shapes imply.

    Raises
    ------
    CheckpointError
        If the weights do not fit any network, the recorded configuration, or the task.
    """
    try:
        if checkpoint.record.config is None:
            config = detect.detect(checkpoint.shapes, task=task)
        else:
            if task is not None:
                TASKS.require(task)
            detect.check_fit(checkpoint.record.config, checkpoint.shapes)
            config = detect.chosen_task(checkpoint.record.config, task)
        if not isinstance(config, ReferenceConfig):
            check_derivable(checkpoint.derivable, config.body.window_size)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.source.name}: {error}") from error
    return config


def load_file(path: Path, *, task: str | None = None, weights: WeightKind | None = None) -> Network:
    """The network of a checkpoint file, with its weights, in eval mode, fp32, on the CPU.

    Parameters
    ----------
    path : Path
        .pt, .pth, .ckpt or .safetensors, official or written by `saving.save`; TorchScript; a
        BioImage.IO package with one of them; or the .h5 of a CARE network that csbdeep trained.
    task : str, optional
        Needed where the weights fit several tasks: "denoise" is taken unless "isotropic" is
        named. A multi-task network is returned whole whatever the task.
    weights : {"raw", "ema"}, optional
        Which ones, where the file has both: as trained, or their running average.

    Raises
    ------
    CheckpointError
        With what was found and what to do.
    """
    if is_hdf5(path):
        return read_keras(path, task=task)
    checkpoint = read_checkpoint(path, weights=weights)
    return _network(checkpoint, configuration(checkpoint, task))


def load_as(path: Path, config: ModelConfig) -> Network:
    """The network of a configuration with the weights of a file, whatever that says of itself.

    Raises
    ------
    CheckpointError
        The file cannot be read, or its weights do not fit the configuration.
    """
    checkpoint = read_checkpoint(path)
    try:
        detect.check_fit(config, checkpoint.shapes)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    return _network(checkpoint, config)


def _network(checkpoint: Checkpoint, config: ModelConfig) -> Network:
    network = model.build(config)
    state = dict(checkpoint.weights)
    for key, entry in network.state_dict().items():
        if is_optional(key):
            state.setdefault(key, entry)
    network.load_state_dict(state)
    network.source = checkpoint.source
    network.certificate = _valid_certificate(checkpoint, state)
    return network


def _valid_certificate(
    checkpoint: Checkpoint, state: Mapping[str, Tensor]
) -> PruneCertificate | None:
    certificate = checkpoint.record.certificate
    if certificate is not None and tensors_sha256(state) != certificate.child_sha256:
        raise CheckpointError(
            f"{checkpoint.source.name}: the weights are not those its pruning certificate was "
            "made for: the file was altered; prune the parent "
            f"{certificate.parent.name!r} again"
        )
    return certificate


def _cleaned(path: Path, raw: RawFile, kind: WeightKind | None) -> Checkpoint:
    chosen = chosen_set(raw.content, kind)
    entries = chosen.entries
    _check_stored(entries)
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in entries.values())
    unused = {key: tensor for key, tensor in entries.items() if is_unused(key)}
    derivable = {key: tensor for key, tensor in entries.items() if is_derivable(key)}
    weights = {
        key: _weight(key, tensor)
        for key, tensor in entries.items()
        if key not in derivable and key not in unused
    }
    _check_finite(weights)
    return Checkpoint(
        weights=weights,
        derivable=derivable,
        unused=unused,
        dtypes=dict(sorted(dtypes.items())),
        scalars=sum(tensor.numel() for tensor in entries.values()),
        format=raw.format,
        kind=chosen.kind,
        nest=chosen.nest,
        prefix=chosen.prefix,
        beside=chosen.beside,
        record=read_record(raw.metadata),
        source=Provenance(
            path.name,
            sha256_of(path),
            path.stat().st_size,
            path,
            left_out=tuple(sorted([*derivable, *unused, *chosen.beside])),
        ),
    )


def _check_stored(entries: Mapping[str, Tensor]) -> None:
    """Refuse tensors larger than what is stored of them."""
    # A tensor with repeated elements can be larger than anything: nothing is computed before this.
    for key, tensor in entries.items():
        declared, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if declared > stored:
            raise CheckpointError(
                f"{key[:80]} declares {declared} bytes, but {stored} are stored: the file is "
                "damaged or made to exhaust memory"
            )


def _weight(key: str, tensor: Tensor) -> Tensor:
    if is_optional(key):
        if tensor.dtype not in _INTEGERS:
            raise CheckpointError(f"{key} has type {tensor.dtype}; expected torch.int64")
        return tensor.long()
    if tensor.dtype not in _READ_DTYPES:
        raise CheckpointError(
            f"{key} has type {tensor.dtype}; expected float32, float16, bfloat16 or float64. "
            "Quantised weights cannot be loaded: start from the floating-point checkpoint"
        )
    return tensor.detach().float()


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    wrong = [
        key
        for key, tensor in weights.items()
        if tensor.is_floating_point() and not is_finite(tensor)
    ]
    if wrong:
        shown = ", ".join(key[:80] for key in wrong[:6]) + (", ..." if len(wrong) > 6 else "")
        raise CheckpointError(
            f"{len(wrong)} weights hold NaN or infinity: {shown}; "
            "training diverged or the file is damaged: take an earlier checkpoint"
        )


def is_finite(tensor: Tensor) -> bool:
    """Whether no value of a float tensor of any shape is NaN or infinite."""
    # NaN is carried into both ends; one pass without a mask, 5 times as fast as isfinite().all().
    return tensor.numel() == 0 or all(end.isfinite().item() for end in tensor.aminmax())

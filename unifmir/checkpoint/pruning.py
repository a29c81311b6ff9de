"""Pruning: the body, one task's head and tail, and the proof that its picture did not change.

"Pruning" as the paper uses it (Ma et al. 2024, Extended Data Tables 2 to 6): the other heads and
tails are dropped, nothing is approximated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, nn

from unifmir import model as models
from unifmir.checkpoint.detect import candidate_tasks
from unifmir.checkpoint.misfit import BODY
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.config import MultiTaskConfig, ReferenceConfig, SingleConfig, UniFMIRConfig
from unifmir.errors import CheckpointError, ExportError
from unifmir.interfaces import interface_of
from unifmir.model import Provenance, PruneCertificate
from unifmir.networks.base import Network
from unifmir.networks.swin import SwinBody
from unifmir.tasks import TASKS, multitask_parts

SEED = 2024
"""Seed of the inputs on which parent and child are compared."""
_SIZES = ((16, 16), (21, 27), (16, 32))
"""Square, odd, and wider than high. Pixels; small, because projection costs 77 million
multiplications a pixel."""
_VIEW_SIZES = ((8, 8), (5, 7), (8, 6))
"""Small sizes of light-field views, whose volume is 11 times as wide and high."""
DEPTH = 5
"""Planes of stacks, for networks with a depth of their own."""


def prune(model: Network, task: str) -> Network:
    """The single-task network for `task` inside `model`, as a network of its own.

    Parameters
    ----------
    model : Network
        Multi-task; or single-task for `task`, or of shapes that fit it, which is then copied.
        It is not changed.
    task : str
        Name in `unifmir.tasks.TASKS`.

    Returns
    -------
    Network
        With the official single-task keys and a `certificate`: what was kept and dropped, and
        the comparisons of its outputs with the parent's, which were equal bit for bit.

    Raises
    ------
    CheckpointError
        If `model` has no such task.
    ExportError
        If an output differs.
    """
    child = task_network(model, task)
    comparisons = _compared(model, child, child.config)
    parent = model.source or Provenance(name=model.kind, sha256="")
    state, after = model.state_dict(), child.state_dict()
    kept = kept_keys(model, task)
    child.certificate = PruneCertificate(
        task=task,
        parent=parent,
        kept=dict(sorted(kept.items())),
        dropped=tuple(sorted([*(key for key in state if key not in kept), *parent.left_out])),
        parameters_before=_parameters(model),
        parameters_after=_parameters(child),
        bytes_before=sum(tensor.nbytes for tensor in state.values()),
        bytes_after=sum(tensor.nbytes for tensor in after.values()),
        child_sha256=tensors_sha256(after),
        comparisons=comparisons,
    )
    return child


def is_pruned(model: Network, task: str) -> bool:
    """Whether a network is what `prune` gave for a task, weight for weight, and never in a file."""
    certificate: PruneCertificate | None = model.certificate
    source: Provenance | None = model.source
    if certificate is None or source is None or source.sha256 or certificate.task != task:
        return False
    return tensors_sha256(model.state_dict()) == certificate.child_sha256


def task_network(model: Network, task: str) -> Network:
    """The network that `prune` gives, without its comparisons and certificate.

    For running it at once: the comparisons take longer than a small image does.

    Raises
    ------
    CheckpointError
        If `model` has no such task.
    """
    TASKS.require(task)
    child = models.build(_child_config(model, task))
    weight = next(model.parameters())
    child.to(device=weight.device, dtype=weight.dtype)
    state = model.state_dict()
    child.load_state_dict({new: state[old] for old, new in kept_keys(model, task).items()})
    parent = model.source or Provenance(name=model.kind, sha256="")
    child.source = Provenance(name=f"{PurePath(parent.name).stem}-{task}", sha256="")
    return child


def without_middle_group(network: Network) -> Network:
    """The network with its middle residual group left out: faster, and another picture.

    The "fast inference" of the official demo, which skips the middle one of three groups. Unlike
    `prune` it is an approximation, whose picture is nobody's but its own.

    Parameters
    ----------
    network : Network
        Multi-task or single-task UniFMIR network with two residual groups or more. Of an even
        number the first one after the middle is left out. It is not changed.

    Returns
    -------
    Network
        In eval mode, with the weights of `network` themselves, not copies, and its task and
        source. Later groups take the number before theirs. No certificate: that is about a
        picture that stayed the same.

    Raises
    ------
    CheckpointError
        If it is a reference model, has fewer than two residual groups, or no configuration.
    """
    config = _config_with_groups(network)
    middle = len(config.body.depths) // 2
    keep = [index for index in range(len(config.body.depths)) if index != middle]
    body = replace(
        config.body,
        depths=tuple(config.body.depths[index] for index in keep),
        num_heads=tuple(config.body.num_heads[index] for index in keep),
    )
    child = models.build(replace(config, body=body))
    child.to(next(network.parameters()).device)
    bodies = [name for name, part in network.named_modules() if isinstance(part, SwinBody)]
    starts = tuple(f"{name}.layers." if name else "layers." for name in bodies)
    state = {}
    for key, tensor in network.state_dict().items():
        layers = next((start for start in starts if key.startswith(start)), None)
        if layers is None:
            state[key] = tensor
            continue
        index, _, rest = key.removeprefix(layers).partition(".")
        if int(index) != middle:
            state[f"{layers}{keep.index(int(index))}.{rest}"] = tensor
    child.load_state_dict(state, assign=True)
    child.source = network.source
    return child


def _config_with_groups(network: Network) -> UniFMIRConfig:
    config = network.config
    if config is None:
        raise CheckpointError("this network has no configuration: load it with unifmir.load")
    if isinstance(config, ReferenceConfig):
        raise CheckpointError(
            f"{config.model} has no residual groups to leave out: only UniFMIR networks have a "
            "fast variant; run it as it is"
        )
    known: UniFMIRConfig = config
    if len(known.body.depths) < 2:
        raise CheckpointError(
            f"expected two residual groups or more, found {len(known.body.depths)}: without its "
            "only one a network has no body; run it as it is"
        )
    return known


def _child_config(model: Network, task: str) -> SingleConfig:
    config = model.config
    if isinstance(config, MultiTaskConfig):
        return config.single(task)
    if config is None:
        raise CheckpointError("this network has no configuration: load it with unifmir.load")
    candidates = candidate_tasks(config)
    if task not in candidates:
        name = model.source.name if model.source else "this network"
        raise CheckpointError(
            f"{name} is a single-task network for {' or '.join(candidates)} and cannot be pruned "
            f"to {task!r}: that needs a multi-task checkpoint, or one trained for {task}"
        )
    chosen: SingleConfig = replace(config, task=task)
    return chosen


def kept_keys(model: Network, task: str) -> dict[str, str]:
    """Parent key -> child key of everything that pruning to `task` keeps."""
    keys = list(model.state_dict())
    if model.kind != "multitask":
        return {key: key for key in keys}
    if model.config.sharing == "nothing":
        start = f"{task}."
        return {key: key.removeprefix(start) for key in keys if key.startswith(start)}
    part = multitask_parts()[task]
    renamed = {start: part.restoration + start for start in BODY}
    renamed |= {old: part.restoration + new for old, new in part.renamed.items()}
    if part.first_stage:
        renamed[part.first_stage] = part.first_stage
    return {
        key: new + key.removeprefix(old)
        for key in keys
        for old, new in renamed.items()
        if key.startswith(old)
    }


def _compared(parent: Network, child: Network, config: SingleConfig) -> tuple[dict[str, Any], ...]:
    """Outputs of both on the same random inputs; ExportError at the first that differs."""
    weight = next(parent.parameters())
    low, high = interface_of(config).network_range
    rows = []
    with _evaluating(parent), torch.inference_mode():
        for shape in _input_shapes(config):
            generator = torch.Generator().manual_seed(SEED)
            x = (torch.rand(shape, generator=generator) * (high - low) + low).to(weight)
            expected: Tensor = parent(x, config.task) if parent.kind == "multitask" else parent(x)
            actual: Tensor = child(x)
            if not torch.equal(expected, actual) or not torch.isfinite(actual).all():
                raise ExportError(_difference(shape, expected, actual))
            rows.append(
                {
                    "input_shape": list(shape),
                    "output_shape": list(actual.shape),
                    "seed": SEED,
                    "identical": True,
                }
            )
    return tuple(rows)


def _difference(shape: tuple[int, ...], expected: Tensor, actual: Tensor) -> str:
    start = f"the pruned network is not the same picture on an input of shape {list(shape)}: "
    if expected.shape != actual.shape:
        return f"{start}it gives {list(actual.shape)}, the parent {list(expected.shape)}"
    if not torch.isfinite(expected).all():
        return f"{start}the parent itself gives NaN or infinity; its weights are unusable"
    largest = (expected - actual).abs().max().item()
    return f"{start}largest difference {largest:.3g}; nothing was written"


def _input_shapes(config: SingleConfig) -> Iterator[tuple[int, ...]]:
    sizes = _VIEW_SIZES if interface_of(config).lenses else _SIZES
    signature = config.signature
    depth = (DEPTH,) if signature.volumetric else ()
    yield from ((1, signature.channels, *depth, *size) for size in sizes)
    yield (2, signature.channels, *depth, *sizes[0])


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode meanwhile: in training mode, batch statistics would make the outputs differ."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())

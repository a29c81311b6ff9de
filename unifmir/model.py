"""Building a module from its configuration, and the facts that travel with a module."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from unifmir.config import ModelConfig, MultiTaskConfig, ReferenceConfig, SingleConfig
from unifmir.interfaces import InputKind, interface_of
from unifmir.json_values import JsonValues
from unifmir.networks.base import Network
from unifmir.networks.multitask import TaskNetworks, UniFMIR
from unifmir.reference import REFERENCES
from unifmir.registry import resolve
from unifmir.restoration.raw_interface import raw_interface
from unifmir.tasks import TASKS, multitask_parts


@dataclass(frozen=True, slots=True)
class Provenance(JsonValues):
    """Origin of a model's weights: a file, or a name for weights that were never in one."""

    # Where the file lay is nobody else's business.
    written = ("name", "sha256", "size_bytes", "zoo_id")

    name: str
    """File name or zoo id, for people; never a path."""
    sha256: str
    """Hash of the file; empty for a module that was never in one."""
    size_bytes: int = 0
    path: Path | None = None
    zoo_id: str | None = None
    left_out: tuple[str, ...] = ()
    """Keys of the file that are no weights: derivable from the configuration, or never read."""


@dataclass(frozen=True, slots=True)
class PruneCertificate(JsonValues):
    """Certificate of pruning: what was kept and dropped, and a picture equal bit for bit.

    Keys are sorted, so that equal certificates are equal bytes.
    """

    task: str
    parent: Provenance
    kept: dict[str, str]
    """Parent key -> child key."""
    dropped: tuple[str, ...]
    parameters_before: int
    parameters_after: int
    bytes_before: int
    """Size of all tensors of the parent network, without what its file left out."""
    bytes_after: int
    child_sha256: str
    """Over the child's keys and tensors, so that it does not depend on the file's metadata."""
    comparisons: tuple[dict[str, Any], ...] = field(default=())
    """One row per compared input: shape, seed, identical."""


def network_of(config: SingleConfig) -> str:
    """`module:class` of the network of one task."""
    if isinstance(config, ReferenceConfig):
        return REFERENCES[config.model].network
    return TASKS[config.task].network


def title_of(config: SingleConfig) -> str:
    """Name of the network for people."""
    if isinstance(config, ReferenceConfig):
        return REFERENCES[config.model].title
    return "UniFMIR single-task network"


def build(config: ModelConfig) -> Network:
    """The network of a configuration, with fresh random weights, in eval mode."""
    network: Network
    if not isinstance(config, MultiTaskConfig):
        network = resolve(network_of(config))(**config.network_kwargs())
        network.task = config.task
    elif config.sharing == "body":
        network = UniFMIR(**config.network_kwargs())
    else:
        singles = {task: config.single(task) for task in multitask_parts()}
        network = TaskNetworks(
            {
                task: resolve(network_of(single))(**single.network_kwargs())
                for task, single in singles.items()
            }
        )
    network.config = config
    return network.eval()


def image_interface(network: Network) -> nn.Module:
    """Wrap a single-task network to take and give a user's image; the weights are shared."""
    config: SingleConfig = network.config
    return interface_of(config).wrap(network, config.signature)


def _unchanged(module: nn.Module) -> nn.Module:
    return module


def in_interface(
    network: Network, kind: InputKind, variant: Callable[[nn.Module], nn.Module] = _unchanged
) -> nn.Module:
    """A single-task network behind the input that is asked for; the weights are shared.

    Parameters
    ----------
    network : Network
    kind : {"network", "image", "raw"}
    variant : callable
        Makes of the network, or of its image interface, what computes in its place. Percentiles and
        sums of raw images are around it: they are fp32 in each.
    """
    if kind == "network":
        return variant(network)
    wrapped = variant(image_interface(network))
    return wrapped if kind == "image" else raw_interface(wrapped, network.config)


def in_fp64(module: nn.Module) -> nn.Module:
    """A copy of a module in fp64 on the CPU, in eval mode; it takes and gives float64."""
    return copy.deepcopy(module).cpu().double().eval()

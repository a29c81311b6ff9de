"""From a configuration to a module, and what travels with a module."""

from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from torch import nn

from unifmir.config import ModelConfig, MultiTaskConfig, ReferenceConfig, SingleConfig
from unifmir.interfaces import interface_of
from unifmir.networks.base import Network
from unifmir.networks.multitask import UniFMIR
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model's weights came from."""

    name: str
    """File name or zoo id, for people; never a path."""
    sha256: str
    """Of the file; empty for a module that was never in one."""
    size_bytes: int = 0
    path: Path | None = None
    zoo_id: str | None = None
    left_out: tuple[str, ...] = ()
    """Keys of the file that are no weights: derivable from the configuration, or never read."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; where the file lay is nobody else's business."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "zoo_id": self.zoo_id,
        }


@dataclass(frozen=True, slots=True)
class PruneCertificate:
    """What pruning kept and dropped, and that the picture stayed the same bit for bit."""

    task: str
    parent: Provenance
    kept: dict[str, str]
    """Parent key -> child key."""
    dropped: tuple[str, ...]
    parameters_before: int
    parameters_after: int
    bytes_before: int
    """Of all tensors of the parent network, without what its file left out."""
    bytes_after: int
    child_sha256: str
    """Over the child's keys and tensors, so that it does not depend on the file's metadata."""
    comparisons: tuple[dict[str, Any], ...] = field(default=())
    """One row per compared input: shape, seed, identical."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        # Keys are sorted, so that equal certificates are equal bytes.
        return {
            **asdict(self),
            "parent": self.parent.to_dict(),
            "kept": dict(sorted(self.kept.items())),
            "dropped": sorted(self.dropped),
            "comparisons": list(self.comparisons),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; TypeError or KeyError if `data` is something else."""
        return cls(
            **{
                **data,
                "parent": Provenance(**data["parent"]),
                "kept": dict(data["kept"]),
                "dropped": tuple(data["dropped"]),
                "comparisons": tuple(data["comparisons"]),
            }
        )


def network_of(config: SingleConfig) -> str:
    """`module:class` of the network of one task."""
    if isinstance(config, ReferenceConfig):
        return REFERENCES[config.model].network
    return TASKS[config.task].network


def title_of(config: SingleConfig) -> str:
    """What people call the network."""
    if isinstance(config, ReferenceConfig):
        return REFERENCES[config.model].title
    return "UniFMIR single-task network"


def build(config: ModelConfig) -> Network:
    """The network of a configuration, with fresh random weights, in eval mode."""
    if isinstance(config, MultiTaskConfig):
        network: Network = UniFMIR(**config.network_kwargs())
    else:
        module, _, name = network_of(config).partition(":")
        network = getattr(import_module(module), name)(**config.network_kwargs())
        network.task = config.task
    network.config = config
    return network.eval()


def image_interface(network: Network) -> nn.Module:
    """Wrap a single-task network to take and give a user's image; the weights are shared."""
    config: SingleConfig = network.config
    return interface_of(config).wrap(network, config.signature)

"""Counts of parameters: four numbers that papers and tools all call that, each named."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from unifmir.checkpoint.official import is_unused, official_state_dict
from unifmir.cost.paper.conventions import leaf_parameters
from unifmir.json_values import JsonOutput


@dataclass(frozen=True, slots=True)
class ParameterCount(JsonOutput):
    """The sizes of a network. Nothing here depends on an image."""

    parameters: int
    """Trainable values of the network."""
    parameter_bytes: int
    """Bytes of these, as they are held now: four bytes each in fp32."""
    leaf_parameters: int
    """Trainable values of layers that contain no other, as conventions A and C count: without
    attention bias tables."""
    leaf_parameters_without_layer_norm: int
    """Trainable values of such layers without layer norms, as convention B counts."""
    official_parameters: int
    """Trainable values in the official file: also four that are never read, of each ENLCN."""
    official_scalars: int
    """Elements of all tensors in the official file: also its indices and attention masks."""
    official_bytes: int
    """Bytes of all tensors in the official file, without what the container adds."""
    file_bytes: int | None = None
    """Bytes of the file that was named."""


def count_parameters(network: nn.Module, path: Path | None = None) -> ParameterCount:
    """Count a network's parameters in each way.

    Parameters
    ----------
    network : Network
        May be on the meta device.
    path : Path, optional
        Its file, for `file_bytes`.
    """
    official = official_state_dict(network)
    parameters = sum(p.numel() for p in network.parameters())
    # The unused entries that were added, not those a network may hold itself.
    added = [key for key in official.keys() - network.state_dict().keys() if is_unused(key)]
    return ParameterCount(
        parameters=parameters,
        parameter_bytes=sum(p.numel() * p.element_size() for p in network.parameters()),
        leaf_parameters=leaf_parameters(network),
        leaf_parameters_without_layer_norm=leaf_parameters(network, norms=False),
        official_parameters=parameters + sum(official[key].numel() for key in added),
        official_scalars=sum(entry.numel() for entry in official.values()),
        official_bytes=sum(entry.numel() * entry.element_size() for entry in official.values()),
        file_bytes=None if path is None else path.stat().st_size,
    )

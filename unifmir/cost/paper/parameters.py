"""Counts of parameters: four numbers that papers and tools all call that, each named."""

from dataclasses import dataclass

from torch import nn

from unifmir.checkpoint.official import is_unused, official_state_dict
from unifmir.cost.paper.conventions import leaf_parameters


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """The sizes of a network. Nothing here depends on an image."""

    parameters: int
    """Trainable values of the network."""
    leaf_parameters: int
    """Trainable values of layers that contain no other, as conventions A and C count: without
    attention bias tables."""
    official_parameters: int
    """Trainable values in the official file: also four that are never read, of each ENLCN."""
    official_scalars: int
    """Elements of all tensors in the official file: also its indices and attention masks."""


def count_parameters(network: nn.Module) -> ParameterCount:
    """Count a network's parameters in each way.

    Parameters
    ----------
    network : Network
        May be on the meta device.
    """
    official = official_state_dict(network)
    parameters = sum(p.numel() for p in network.parameters())
    # The unused entries that were added, not those a network may hold itself.
    added = [key for key in official.keys() - network.state_dict().keys() if is_unused(key)]
    return ParameterCount(
        parameters=parameters,
        leaf_parameters=leaf_parameters(network),
        official_parameters=parameters + sum(official[key].numel() for key in added),
        official_scalars=sum(entry.numel() for entry in official.values()),
    )

"""The usual questions about a module, in one call."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from unifmir.cost.dispatcher import count_dispatched
from unifmir.json_values import JsonOutput


@dataclass(frozen=True, slots=True)
class Counts(JsonOutput):
    """Cost of a module for one input shape."""

    input_shape: tuple[int, ...]
    parameters: int
    """Trainable values."""
    parameter_bytes: int
    macs: int
    """Multiply-accumulates, attention products included."""
    flops: int
    """Two for each multiply-accumulate."""
    breakdown: dict[str, int]
    """MACs by kind: `conv` and `linear` are weights times activations, `product` activations
    times activations."""
    by_operator: dict[str, int]
    """MACs by torch operator."""
    by_module: dict[str, int]
    """MACs by name of the module that ran them."""
    unknown: dict[str, int]
    """Operators that no count includes, such as Fourier transforms -> elements they gave."""


def count(module: nn.Module, input_shape: Sequence[int]) -> Counts:
    """Count parameters and multiply-accumulates; costs no memory and no arithmetic.

    Parameters
    ----------
    module : module
        Takes one float tensor: a network, or one in its image interface. On any device.
    input_shape : sequence of int
        Batch included.
    """
    found = count_dispatched(module, input_shape)
    return Counts(
        input_shape=tuple(input_shape),
        parameters=sum(p.numel() for p in module.parameters()),
        parameter_bytes=sum(p.numel() * p.element_size() for p in module.parameters()),
        macs=found.macs,
        flops=found.flops,
        breakdown=found.by_kind(),
        by_operator=found.by_operator(),
        by_module=found.by_module(),
        unknown={row.operator: row.elements for row in found.unknown},
    )

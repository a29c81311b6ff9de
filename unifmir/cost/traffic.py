"""Bytes that a forward pass moves, when every operation reads its inputs and writes its results.

That is eager execution without caches: what a fused runtime moves is less, and nothing moves less
than the weights, the input and the output. Over the arithmetic it gives the arithmetic intensity
of the roofline plot (Williams, Waterman and Patterson, Communications of the ACM 52, 65 (2009)).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.cost.dispatcher import tensors_in
from unifmir.cost.meta_device import META, meta_copy
from unifmir.module_hooks import OperationMode, operator_name


def count_traffic(module: nn.Module, shape: Sequence[int]) -> int:
    """Bytes read and written by all operations of a module for an input shape.

    Parameters
    ----------
    module : module
        Takes one float tensor. It is copied to the meta device: nothing is computed.
    shape : sequence of int
        Of its input, batch included.
    """
    copy, watch = meta_copy(module), _TrafficCounter()
    with torch.no_grad(), watch:
        copy(torch.empty(tuple(shape), device=META))
    return watch.moved


class _TrafficCounter(OperationMode):
    """Adds up the bytes of what operations read and write; a view moves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        # `empty` gives memory that nobody has written.
        if not func.is_view and operator_name(func) != "aten.empty":
            self.moved += sum(map(_bytes, tensors_in((*args, result))))
        return result


def _bytes(tensor: Tensor) -> int:
    """Bytes of the elements in memory: an expanded axis is there once."""
    elements = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= length if stride or not length else 1
    return elements * tensor.element_size()

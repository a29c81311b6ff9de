"""Multiply-accumulates as torch's dispatcher sees them: every operation that really runs.

Hooks on layers, which most counters use, miss products written as `@`: up to a fifth of a Swin
network. `torch.utils.flop_counter` sits below them, where a layer and an operator are the same.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unifmir.cost.mac_kinds import FLOPS_PER_MAC, Kind, by_kind
from unifmir.cost.meta_device import META, meta_copy
from unifmir.module_hooks import OperationMode, operator_name, removed_after

# Without multiply-accumulates: elementwise, reductions, indexing, copies, creation.
_FREE_NAMES = """
_adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _local_scalar_dense _safe_softmax _softmax
_to_copy _unsafe_view abs add add_ all amax amin aminmax any arange avg_pool2d avg_pool3d
bitwise_and bitwise_or bitwise_not cat ceil clamp clamp_min clamp_max clone constant_pad_nd copy_
cumsum div div_ empty empty_like eq exp exp_ fill_ floor floor_divide full full_like ge gelu gt
hardtanh hardtanh_ index index_select isfinite le leaky_relu leaky_relu_ lift_fresh
linalg_vector_norm log logical_and logical_not lt max max_pool2d_with_indices
max_pool3d_with_indices maximum mean min minimum mul mul_ native_batch_norm native_group_norm
native_layer_norm _native_batch_norm_legit_no_training ne neg new_empty new_ones new_zeros norm
ones ones_like pixel_shuffle pixel_unshuffle pow reciprocal reflection_pad2d reflection_pad3d relu
relu_ remainder replication_pad2d replication_pad3d repeat roll round rsqrt rsub scalar_tensor
sigmoid sigmoid_ sign sqrt stack sub sub_ sum tanh tanh_ upsample_bilinear2d upsample_nearest1d
upsample_nearest2d upsample_nearest3d upsample_trilinear3d var_mean where zeros zeros_like
"""
_FREE = frozenset(_FREE_NAMES.split())


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """Operations of one kind in one module."""

    module: str
    """Name of the innermost module that ran it; empty for the outermost."""
    operator: str
    """Name of the operator, such as `aten.convolution`."""
    kind: Kind
    macs: int
    """Multiply-accumulates."""


@dataclass(frozen=True, slots=True)
class DispatchCount:
    """Operations that ran, and what they cost."""

    rows: tuple[OperatorRow, ...]
    unknown: tuple[str, ...]
    """Operators whose cost is missing from the total, Fourier transforms among them."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates, attention products included."""
        return sum(row.macs for row in self.rows)

    @property
    def flops(self) -> int:
        """Two for each multiply-accumulate."""
        return FLOPS_PER_MAC * self.macs

    def by_kind(self) -> dict[str, int]:
        """MACs of `conv`, `linear` and `product`, all three named."""
        return by_kind((row.kind, row.macs) for row in self.rows)


def count_dispatched(module: nn.Module, shape: Sequence[int]) -> DispatchCount:
    """Count the multiply-accumulates of a module for an input shape.

    Parameters
    ----------
    module : module
        Takes one float tensor. It is copied to the meta device: nothing is computed, and neither
        weights nor activations are allocated.
    shape : sequence of int
        Of its input, batch included.
    """
    copy = meta_copy(module)
    with FlopCounterMode(display=False) as counter:
        # Entered last, so that it is asked first and sees the counter's total before and after.
        watch = _MacCounter(counter, copy)
        with removed_after(watch.attach()), torch.no_grad(), watch:
            copy(torch.empty(tuple(shape), device=META))
    rows = tuple(OperatorRow(*key, macs) for key, macs in watch.rows.items())
    return DispatchCount(rows, tuple(sorted(watch.unknown)))


class _MacCounter(OperationMode):
    """Attributes what the FLOP counter adds to the module that is running."""

    def __init__(self, counter: FlopCounterMode, module: nn.Module) -> None:
        super().__init__()
        self.counter = counter
        self.module = module
        self.running: list[str] = []
        self.rows: dict[tuple[str, str, Kind], int] = defaultdict(int)
        self.unknown: set[str] = set()
        self.weights = {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}

    def attach(self) -> list[Any]:
        """Hooks that follow which module runs."""

        def enter(name: str) -> Callable[..., None]:
            return lambda *_args: self.running.append(name)

        def leave(*_args: Any) -> None:
            self.running.pop()

        handles: list[Any] = []
        for name, child in self.module.named_modules():
            handles.append(child.register_forward_pre_hook(enter(name)))
            handles.append(child.register_forward_hook(leave))
        return handles

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = self.counter.get_total_flops()
        result = func(*args, **kwargs)
        flops = self.counter.get_total_flops() - before
        operator = operator_name(func)
        if flops:
            key = (self.running[-1] if self.running else "", operator, self._kind(operator, args))
            self.rows[key] += flops // FLOPS_PER_MAC
        elif not func.is_view and operator.partition(".")[2] not in _FREE:
            self.unknown.add(operator)
        return result

    def _kind(self, operator: str, args: tuple[Any, ...]) -> Kind:
        if "conv" in operator:
            return "conv"
        weighted = any(_storage(tensor) in self.weights for tensor in tensors_in(args))
        return "linear" if weighted else "product"


def _storage(tensor: Tensor) -> int:
    """Identity of a tensor's memory; on the meta device all addresses are 0."""
    return int(tensor.untyped_storage()._cdata)


def tensors_in(values: Iterable[Any]) -> list[Tensor]:
    """Tensors of any shape, dtype and range among arguments or results, also in lists."""
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found.extend(tensors_in(value))
    return found

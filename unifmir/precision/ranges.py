"""How large the numbers inside a module get, measured on data."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.errors import ExportError
from unifmir.json_values import JsonOutput
from unifmir.module_hooks import OperationMode, operator_name, removed_after
from unifmir.networks.projection import RandomFeatureAttention

FP16_MAX = 65504.0
FP16_SMALLEST_NORMAL = 2.0**-14
"""Below it fp16 loses bits, and below 2**-25 everything."""
LARGE_IMAGE_PIXELS = 4096 * 4096
"""Sums over all pixels are extrapolated to an image of this size."""
_NORMS = (torch.ops.aten.linalg_vector_norm.default, torch.ops.aten.norm.ScalarOpt_dim)


@dataclass(frozen=True, slots=True)
class ModuleRange(JsonOutput):
    """Magnitudes that one module's own operations saw: inputs, results, what children returned."""

    computed = ("headroom",)

    name: str
    """Empty for the module that was measured itself."""
    kind: str
    """Class."""
    caller: str | None
    """Name of the module that calls it; None for the outermost."""
    max_abs: float
    """Largest magnitude of all; inf where NaN or Inf occurred."""
    source: str
    """Origin of it: `input`, an operation (`aten.add`), or the name of a child."""
    max_output: float
    """Largest magnitude of what the module returned."""
    large_image_factor: float
    """How many times larger sums over all pixels get at 4096 x 4096 pixels; 1 if it has none."""
    max_weight: float
    """Largest magnitude of its own parameters and buffers; 0 if it has none."""
    smallest_weight: float
    """Smallest magnitude of them that is not 0; 0 if there is none."""
    fp16_subnormal_share: float
    """Part of the weights other than 0 that lie below fp16's smallest normal number, 6.1e-5."""
    fp16_weight_error: float
    """Rounding error of its `weight` in fp16 over the norm: usually 2e-4, inf on overflow. Not of
    biases and tables, which are added to larger numbers: small ones may vanish."""

    @property
    def headroom(self) -> float:
        """fp16's largest number, 65504, over the largest magnitude at 4096 x 4096 pixels."""
        largest = self.max_abs * self.large_image_factor
        return FP16_MAX / largest if largest > 0 else inf


@dataclass(frozen=True, slots=True)
class RangeReport(JsonOutput):
    """One row for each module that ran, the largest magnitude first."""

    rows: tuple[ModuleRange, ...]
    input_shapes: tuple[tuple[int, ...], ...]

    @property
    def callers(self) -> dict[str, str | None]:
        """Module that ran -> the module that calls it; None for the outermost."""
        return {row.name: row.caller for row in self.rows}

    def row(self, name: str) -> ModuleRange:
        """The row of a module; KeyError if it did not run."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


@dataclass(slots=True)
class _Seen:
    """Magnitudes seen of a module so far."""

    caller: str | None
    max_abs: float = 0.0
    source: str = "input"
    max_output: float = 0.0
    factor: float = 1.0

    def note(self, magnitude: float, source: str) -> None:
        if magnitude > self.max_abs:
            self.max_abs, self.source = magnitude, source


class _Watch(OperationMode):
    """Attributes the result of every operation to the innermost module that is running.

    Views are left out: they hold no new numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, _Seen] = {}
        self.running: list[str] = []
        self.paused = False
        # What an operation returns is often what a module returns, and the next one is given.
        self._last: tuple[Tensor, int, float] | None = None

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if not self.paused and self.running and not func.is_view:
            magnitude = self.magnitude(result)
            # A norm squares its input on the way; a runtime may do so in the input's precision.
            squared = magnitude**2 if func in _NORMS else magnitude
            self.seen[self.running[-1]].note(max(magnitude, squared), operator_name(func))
        return result

    def magnitude(self, value: Any) -> float:
        """Largest magnitude of the floating-point tensors in a value; inf for NaN."""
        if isinstance(value, tuple | list):
            return max((self.magnitude(item) for item in value), default=0.0)
        if not isinstance(value, Tensor) or not value.is_floating_point() or not value.numel():
            return 0.0
        version = -1 if value.is_inference() else value._version
        if self._last is not None and self._last[0] is value and self._last[1] == version >= 0:
            return self._last[2]
        was, self.paused = self.paused, True
        low, high = (float(bound) for bound in torch.aminmax(value.detach()))
        self.paused = was
        largest = max(abs(low), abs(high))
        found = largest if isfinite(largest) else inf
        self._last = (value, version, found)
        return found

    def enter(self, name: str) -> Callable[..., None]:
        """Forward pre-hook of the module of that name."""

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caller = self.running[-1] if self.running else None
            seen = self.seen.setdefault(name, _Seen(caller))
            values = [*args, *kwargs.values()]
            seen.note(self.magnitude(values), "input")
            if isinstance(module, RandomFeatureAttention):
                # (N, pixels, channels); the largest factor comes from the smallest input.
                seen.factor = max(seen.factor, LARGE_IMAGE_PIXELS / values[0].shape[1])
            self.running.append(name)

        return hook

    def leave(self, name: str) -> Callable[..., None]:
        """Forward hook of the module of that name."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self.running.pop()
            magnitude = self.magnitude(output)
            seen = self.seen[name]
            seen.note(magnitude, "output")
            seen.max_output = max(seen.max_output, magnitude)
            if self.running:
                self.seen[self.running[-1]].note(magnitude, name)

        return hook


@contextmanager
def watched(module: nn.Module, watch: _Watch) -> Iterator[None]:
    """Hooks on every submodule, removed at the end."""
    handles = []
    for name, child in module.named_modules():
        handles.append(child.register_forward_pre_hook(watch.enter(name), with_kwargs=True))
        handles.append(child.register_forward_hook(watch.leave(name)))
    with removed_after(handles), watch:
        yield


def measured(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[RangeReport, tuple[Tensor, ...]]:
    """Run a module in fp32, record how large its numbers get, and keep what it returns.

    Parameters
    ----------
    module : module
        Takes one float32 tensor; in eval mode.
    inputs : sequence of Tensor
        Calibration inputs: real images, normalised, in the shape the module takes.

    Returns
    -------
    RangeReport
        One row for each module that ran; the same inputs give the same report.
    tuple of Tensor
        Result for each input.

    Raises
    ------
    ExportError
        No inputs, or a module in training mode.
    """
    if not inputs:
        raise ExportError("no calibration inputs: give at least one normalised image")
    if module.training:
        raise ExportError("the module is in training mode, where its numbers vary: call .eval()")
    watch = _Watch()
    with torch.no_grad(), watched(module, watch):
        results = tuple(module(image) for image in inputs)
    modules = dict(module.named_modules())
    rows = [_row(name, modules[name], seen) for name, seen in watch.seen.items()]
    rows.sort(key=lambda row: (-row.max_abs * row.large_image_factor, row.name))
    return RangeReport(tuple(rows), tuple(tuple(image.shape) for image in inputs)), results


def _row(name: str, module: nn.Module, seen: _Seen) -> ModuleRange:
    own = [tensor.detach().flatten() for tensor in own_tensors(module)]
    weights = torch.cat(own) if own else torch.zeros(0)
    present = weights[weights != 0].abs()
    count = present.numel()
    return ModuleRange(
        name=name,
        kind=type(module).__name__,
        caller=seen.caller,
        max_abs=seen.max_abs,
        source=seen.source,
        max_output=seen.max_output,
        large_image_factor=seen.factor,
        max_weight=float(present.max()) if count else 0.0,
        smallest_weight=float(present.min()) if count else 0.0,
        fp16_subnormal_share=float((present < FP16_SMALLEST_NORMAL).double().mean())
        if count
        else 0.0,
        fp16_weight_error=_fp16_error(module._parameters.get("weight")),
    )


def _fp16_error(weight: Tensor | None) -> float:
    norm = 0.0 if weight is None else float(weight.detach().norm())
    if weight is None or norm == 0:
        return 0.0
    return float((weight.detach().half().float() - weight.detach()).norm()) / norm


def own_tensors(module: nn.Module) -> list[Tensor]:
    """Weights of a module itself, not of its children: floating-point tensors of any shape."""
    direct = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return [t for t in direct if t.is_floating_point()]

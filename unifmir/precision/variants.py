"""The two low-precision variants of a module: weights stored low, and computing low."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unifmir.module_hooks import OperationMode, removed_after
from unifmir.precision.element_types import ELEMENT_TYPES, Variant
from unifmir.precision.ranges import own_tensors
from unifmir.precision.recipe import PrecisionRecipe

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, row.dtype) for name, row in ELEMENT_TYPES.items()
}
"""Name in `ELEMENT_TYPES` -> torch's type."""
_Module = TypeVar("_Module", bound=nn.Module)


def stored(module: _Module, recipe: PrecisionRecipe) -> _Module:
    """A copy whose weights are rounded through the storage dtype, held and computed in fp32.

    What portable artifacts ship: same class, same keys, and any runtime that knows float32.
    Weights of islands are not rounded.

    Parameters
    ----------
    module : module
        The one the recipe was made for, or the same network in or out of its image interface.
    """
    copy = deepcopy(module)
    for _, child, dtype in _with_dtypes(copy, recipe.fitted(module)):
        for tensor in own_tensors(child):
            tensor.data = tensor.data.to(dtype).float()
    return copy


def stored_dtypes(module: nn.Module, recipe: PrecisionRecipe) -> dict[str, torch.dtype]:
    """State-dict key of each floating-point tensor -> dtype that holds `stored`'s values."""
    dtypes = {}
    for name, child, dtype in _with_dtypes(module, recipe.fitted(module)):
        for members in (child.named_parameters(recurse=False), child.named_buffers(recurse=False)):
            for key, tensor in members:
                if tensor.is_floating_point():
                    dtypes[f"{name}.{key}" if name else key] = dtype
    return {key: dtypes[key] for key in module.state_dict() if key in dtypes}


def computing(module: _Module, recipe: PrecisionRecipe) -> _Module:
    """A copy that computes in the low precision outside the islands, float32 in and out.

    Casts are forward hooks: they keep classes and keys, and tracing (`torch.jit.trace`,
    `torch.onnx.export(dynamo=False)`) records them as casts of the graph. For bf16 the graph
    needs opset 22: before it, ONNX has no bf16 convolution.

    Parameters
    ----------
    module : module
        The one the recipe was made for, or the same network in or out of its image interface.

    Raises
    ------
    ExportError
        The recipe is for another network.
    """
    copy = deepcopy(module)
    if recipe.precision == "fp32":
        return copy
    recipe = recipe.fitted(module)
    children = dict(copy.named_modules())
    for _, child, dtype in _with_dtypes(copy, recipe):
        for tensor in own_tensors(child):
            tensor.data = tensor.data.to(dtype)
    for name, caller in recipe.callers.items():
        children[name].register_forward_pre_hook(
            _CastInputs(_dtype(recipe, name)), with_kwargs=True
        )
        returned = torch.float32 if caller is None else _dtype(recipe, caller)
        children[name].register_forward_hook(_CastOutput(returned))
    return copy


VARIANTS: dict[Variant, Callable[[nn.Module, PrecisionRecipe], nn.Module]] = {
    "stored": stored,
    "computing": computing,
}
"""Variant -> function that makes a copy of a module in it."""


def _dtype(recipe: PrecisionRecipe, name: str) -> torch.dtype:
    return DTYPES[recipe.element_type(name)]


def _with_dtypes(
    module: nn.Module, recipe: PrecisionRecipe
) -> Iterator[tuple[str, nn.Module, torch.dtype]]:
    """Each submodule with its name and the dtype of its own weights."""
    for name, child in module.named_modules():
        yield name, child, _dtype(recipe, name)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors of a value in a dtype; integers and the rest as they are."""
    if isinstance(value, Tensor):
        # Without the condition tracing writes casts that do nothing.
        return value.to(dtype) if value.is_floating_point() and value.dtype != dtype else value
    if isinstance(value, tuple | list):
        return type(value)(_cast(item, dtype) for item in value)
    return value


@dataclass(frozen=True)
class _CastInputs:
    """Forward pre-hook: the module's inputs in its own dtype. A class, so that it can be copied."""

    dtype: torch.dtype

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        cast = tuple(_cast(value, self.dtype) for value in args)
        return cast, {key: _cast(value, self.dtype) for key, value in kwargs.items()}


@dataclass(frozen=True)
class _CastOutput:
    """Forward hook: the module's result in its caller's dtype."""

    dtype: torch.dtype

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        return _cast(output, self.dtype)


class _AccumulateInFp32(OperationMode):
    """Low-precision convolutions on the CPU as GPUs do them: fp32 sums, rounded once.

    torch's own fp16 convolution on the CPU takes 16 s for 256 channels of 64 x 64 pixels, fp32
    0.02 s (2.13, one thread).
    """

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is torch.ops.aten.convolution.default and args[0].device.type == "cpu":
            dtype = args[0].dtype
            return func(*(_cast(arg, torch.float32) for arg in args[:3]), *args[3:]).to(dtype)
        return func(*args, **kwargs)


@contextmanager
def fast_on_cpu() -> Iterator[None]:
    """Run low-precision modules on the CPU in reasonable time, without gradients."""
    with torch.no_grad(), _AccumulateInFp32():
        yield


def first_nonfinite(module: nn.Module, image: Tensor) -> str | None:
    """Name of the first submodule that returns NaN or Inf, in the order they finish.

    The image is float32, normalised, in the shape the module takes.
    """
    found: list[str] = []

    def watch(name: str) -> Any:
        def hook(_child: nn.Module, _args: Any, output: Any) -> None:
            values = output if isinstance(output, tuple | list) else (output,)
            if not found and not all(bool(torch.isfinite(v).all()) for v in values):
                found.append(name)

        return hook

    handles = [c.register_forward_hook(watch(n)) for n, c in module.named_modules()]
    with removed_after(handles), fast_on_cpu():
        module(image)
    return found[0] if found else None

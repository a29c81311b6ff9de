"""The counting conventions behind the paper's tables, as rules for single layers.

Extended Data Tables 1 and 2 of Ma et al. (Nature Methods 2024) were made with releases of thop
that count differently. Each convention here is one such set of rules; that they are the right
ones follows from the tables, which they give to the last printed digit. What none of them counts:
products of two activations (attention), functional calls, GELU, and layers that did not run.

"Operations" are what the tables call FLOPs: one for a multiply-accumulate, mostly.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.cost.meta_device import META, meta_copy
from unifmir.module_hooks import removed_after
from unifmir.networks.swin import WindowAttention


@dataclass(frozen=True, slots=True)
class Convention:
    """Cost of each kind of layer. Per element of the output unless said; by default as in B."""

    name: str
    title: str
    conv_bias: int = 1
    """Operations for the bias of a convolution."""
    linear_adds: bool = False
    """Fully connected layers: multiplications and additions one each, the bias's included;
    otherwise one for a multiply-accumulate and none for the bias."""
    batch_norm: int = 2
    layer_norm: int = 0
    leaky_relu: int = 1
    nearest: int = 0
    """nn.Upsample to the nearest neighbour. The other modes do not occur."""
    softmax: bool = False
    """3 n - 1 for each row of n values; otherwise nothing."""
    norm_parameters: bool = True
    """Whether layer norms' parameters are in its number of parameters."""


CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            # Prediction: prune-UniFMIR for sr.
            name="A",
            title="thop 0.0.31.post2001170342",
            linear_adds=True,
        ),
        Convention(
            # Prediction: all other rows (those without a Linear layer are equal in A).
            name="B",
            title="thop 0.0.31.post2004101309 to 0.0.5.post2110061705",
            norm_parameters=False,
        ),
        Convention(
            # Training: UniFMIR, VCD-Net, ENLCN and DFCAN.
            name="C",
            title="thop 0.1.0.post2207010342 to 0.1.1.post2209072238",
            conv_bias=0,
            batch_norm=4,
            layer_norm=4,
            leaky_relu=0,
            nearest=1,
            softmax=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class ConventionCount:
    """Count of a convention for a network and an input size."""

    convention: str
    operations: int
    by_layer: dict[str, int]
    """Class of the layer -> operations."""
    parameters: int
    """Trainable values as the convention counts them."""


Rule = Callable[[Convention, Any, Tensor, Tensor], int]
"""(convention, layer, first input, output) -> operations."""


def _conv(convention: Convention, layer: Any, _x: Tensor, y: Tensor) -> int:
    # A transposed convolution is counted like this too, on its output: over by stride^d.
    kernel = layer.weight.shape[2:].numel()
    bias = 0 if layer.bias is None else convention.conv_bias
    return int(y.numel() * (kernel * layer.in_channels // layer.groups + bias))


def _linear(convention: Convention, layer: Any, _x: Tensor, y: Tensor) -> int:
    inputs: int = layer.in_features
    # One addition fewer than multiplications without a bias.
    adds = inputs - 1 + (layer.bias is not None) if convention.linear_adds else 0
    return y.numel() * (inputs + adds)


def _per_value(name: str) -> Rule:
    """Rule of a layer that costs the convention's field of that name for each value it reads."""
    return lambda convention, _layer, x, _y: int(getattr(convention, name) * x.numel())


def _upsample(convention: Convention, layer: Any, _x: Tensor, y: Tensor) -> int:
    return convention.nearest * y.numel() if layer.mode == "nearest" else 0


def _softmax(convention: Convention, layer: Any, x: Tensor, _y: Tensor) -> int:
    row = x.shape[layer.dim]
    return x.numel() // row * (3 * row - 1) if convention.softmax else 0


def _attention_softmax(convention: Convention, layer: Any, x: Tensor, _y: Tensor) -> int:
    """A softmax is a layer of its own in the official attention; ours calls it as a function."""
    pixels = x.shape[-2]
    rows = x.shape[:-1].numel() * layer.num_heads
    return int(rows * (3 * pixels - 1)) if convention.softmax else 0


_RULES: dict[type[nn.Module], Rule] = {
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.ConvTranspose1d: _conv,
    nn.ConvTranspose2d: _conv,
    nn.ConvTranspose3d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm1d: _per_value("batch_norm"),
    nn.BatchNorm2d: _per_value("batch_norm"),
    nn.BatchNorm3d: _per_value("batch_norm"),
    nn.LayerNorm: _per_value("layer_norm"),
    nn.LeakyReLU: _per_value("leaky_relu"),
    nn.Softmax: _softmax,
    nn.Upsample: _upsample,
    WindowAttention: _attention_softmax,
}
"""Rules by exact class, as thop finds its own: a subclass has none."""


def count_in(convention: str, module: nn.Module, shape: Sequence[int]) -> ConventionCount:
    """Operations and parameters of a network as one of the conventions counts them.

    Parameters
    ----------
    convention : {"A", "B", "C"}
    module : module
        Takes one tensor.
    shape : sequence of int
        Of its input, batch included.

    Returns
    -------
    ConventionCount
        Exact. Nothing is computed: the module is run on the meta device.
    """
    rules = CONVENTIONS[convention]
    copy = meta_copy(module)
    by_layer: dict[str, int] = defaultdict(int)

    def add(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        by_layer[type(layer).__name__] += _RULES[type(layer)](rules, layer, args[0], output)

    layers = [child for child in copy.modules() if type(child) in _RULES]
    handles = [layer.register_forward_hook(add) for layer in layers]
    with removed_after(handles), torch.no_grad():
        copy(torch.empty(tuple(shape), device=META))
    nonzero = {name: count for name, count in sorted(by_layer.items()) if count}
    parameters = leaf_parameters(module, norms=rules.norm_parameters)
    return ConventionCount(convention, sum(nonzero.values()), nonzero, parameters)


def leaf_parameters(module: nn.Module, *, norms: bool = True) -> int:
    """Trainable values of the layers that contain no other, so without attention bias tables."""
    leaves = (child for child in module.modules() if not next(child.children(), None))
    return sum(
        parameter.numel()
        for leaf in leaves
        if norms or type(leaf) is not nn.LayerNorm
        for parameter in leaf.parameters(recurse=False)
    )

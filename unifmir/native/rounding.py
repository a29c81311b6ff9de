"""Rounding weights to bf16 so that what a matrix gives on real inputs changes least.

Rounded to nearest, a matrix errs by the same amount at every pixel that looks the same, and most
pixels of a fluorescence image are background: intensities shift. So each column's rounding error is
made good in the columns that are still to be rounded, weighted by how the inputs go together
(Frantar et al., OPTQ, ICLR 2023, equation 2, for rounding to bf16).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Shaped
from torch import Tensor, nn

from unifmir.module_hooks import removed_after
from unifmir.networks.projection import ResidualBlock
from unifmir.networks.swin import SwinBlock
from unifmir.networks.volume import ViewUNet

DAMPING = 1e-2
"""Added to the diagonal of the second moments, over its mean: what the inputs never do is not
inverted (OPTQ, section 3)."""

ENOUGH = 4096
"""Pixels of an input that are looked at, or up to twice as many."""

Moments = dict[str, Float64[Tensor, "_ _"]]
"""Name of a LayerNorm or a GELU -> second moments of what it gives, with a last column that is
always 1. Name of a convolution -> the last row of those of what it reads."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Statistics of a matrix's inputs: what they have in common, and how they vary.

    The common part is taken off before numbers are rounded, and what the matrix makes of it is in
    its bias, in fp32: only what an image has beside its background is rounded.
    """

    centre: Float64[Tensor, " n"]
    """Mean."""
    spread: Float64[Tensor, "n n"]
    """Second moments of what is left without the mean."""

    @classmethod
    def of(cls, moments: Float64[Tensor, "_ _"]) -> "Inputs":
        """Both from second moments, of any real values, with a last column that is always 1."""
        centre = centre_of(moments)
        return cls(centre, moments[:-1, :-1] - moments[-1, -1] * torch.outer(centre, centre))


def centre_of(moments: Float64[Tensor, "_ _"]) -> Float64[Tensor, " n"]:
    """Mean, of any real value, from second moments with a last column that is always 1."""
    return moments[-1, :-1] / moments[-1, -1]


def measure_moments(module: nn.Module, image: Shaped[Tensor, "..."]) -> Moments:
    """Run a network and watch what the parts of it read that multiply in bf16.

    They are the matrices of Swin blocks, and the convolutions of the projector's residual blocks
    and of the levels of a light field's U-Net.

    Parameters
    ----------
    module : module
    image : Tensor
        Real input of the module, normalised as it takes it.
    """
    moments: Moments = {}

    def add(name: str, rows: Tensor) -> None:
        rows = rows[:: max(1, len(rows) // ENOUGH)].double()
        moments[name] = moments.get(name, 0) + rows.T @ rows

    def after(name: str) -> Callable[..., None]:
        return lambda _norm, _args, output: add(name, F.pad(output, (0, 1), value=1).flatten(0, -2))

    def before(name: str) -> Callable[..., None]:
        def add_sums(_conv: nn.Module, args: tuple[Tensor, ...]) -> None:
            (images,) = args
            sums = F.pad(images.double().sum((0, 2, 3)), (0, 1), value=images[:, 0].numel())
            moments[name] = moments.get(name, 0) + sums[None]

        return add_sums

    handles = []
    for name, child in module.named_modules():
        for conv in _convolutions_of(child):
            watched = child.get_submodule(conv)
            handles.append(watched.register_forward_pre_hook(before(f"{name}.{conv}")))
        if isinstance(child, SwinBlock):
            for part in ("norm1", "norm2", "mlp.act"):
                watched = child.get_submodule(part)
                handles.append(watched.register_forward_hook(after(f"{name}.{part}")))
    with removed_after(handles), torch.no_grad():
        module(image)
    return moments


def _convolutions_of(part: nn.Module) -> list[str]:
    """Names of a part's convolutions that multiply in bf16."""
    if isinstance(part, ResidualBlock):
        return ["body.0", "body.2"]
    if isinstance(part, ViewUNet):
        return [
            f"{levels}.{index}.0"
            for levels in ("encoder_layers", "decoder_layers")
            for index in range(len(part.get_submodule(levels)))  # type: ignore[arg-type]
        ]
    return []


def moments_inside(moments: Moments, part: str) -> Moments:
    """Moments of a part of a module, by their names in it."""
    start = f"{part}." if part else ""
    return {
        name.removeprefix(start): values
        for name, values in moments.items()
        if name.startswith(start)
    }


def round_to_bf16(
    weight: Float64[Tensor, "rows columns"], moments: Float64[Tensor, "columns columns"]
) -> Float64[Tensor, "rows columns"]:
    """Matrix whose elements are bf16 numbers, still stored as float64.

    Parameters
    ----------
    weight : Tensor
    moments : Tensor
        Second moments of its inputs.
    """
    damped = moments + torch.eye(len(moments)).double() * moments.diagonal().mean() * DAMPING
    inverse = torch.linalg.inv(damped)
    upper = torch.linalg.cholesky(inverse, upper=True)
    left, out = weight.clone(), torch.empty_like(weight)
    for column in range(weight.shape[1]):
        out[:, column] = left[:, column].bfloat16().double()
        error = (left[:, column] - out[:, column]) / upper[column, column]
        left[:, column:] -= error[:, None] * upper[column, column:][None, :]
    return out

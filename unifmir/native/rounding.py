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
from unifmir.networks.swin import SwinBlock

DAMPING = 1e-2
"""Added to the diagonal of the second moments, over its mean: what the inputs never do is not
inverted (OPTQ, section 3)."""

ENOUGH = 4096
"""Pixels of an input that are looked at, or up to twice as many."""

Moments = dict[str, Float64[Tensor, "_ _"]]
"""Name of a LayerNorm or a GELU -> second moments of what it gives, with a last column that is
always 1."""


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
        centre = moments[-1, :-1] / moments[-1, -1]
        return cls(centre, moments[:-1, :-1] - moments[-1, -1] * torch.outer(centre, centre))


def measure_moments(module: nn.Module, image: Shaped[Tensor, "..."]) -> Moments:
    """Run a network and watch what the matrices of its Swin blocks read.

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

    handles = []
    for name, child in module.named_modules():
        if isinstance(child, SwinBlock):
            for part in ("norm1", "norm2", "mlp.act"):
                watched = child.get_submodule(part)
                handles.append(watched.register_forward_hook(after(f"{name}.{part}")))
    with removed_after(handles), torch.no_grad():
        module(image)
    return moments


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

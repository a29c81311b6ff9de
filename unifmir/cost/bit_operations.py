"""Bit operations: multiply-accumulates times the bits of both operands.

Two ways. `count_bops` sums over the layers, each with the precision it really has: a weight
meets an activation at (weight bits) x (activation bits), and where two activations meet, in
attention, both have the activations' bits. `paper_bops` is the paper's (Ma et al., Nature Methods
2024, equation 5): one precision for all, on the GFLOPs of its tables.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from torch import nn

from unifmir.cost.dispatcher import DispatchCount, count_dispatched
from unifmir.cost.mac_kinds import KINDS, Kind
from unifmir.errors import UnknownNameError
from unifmir.json_values import JsonOutput
from unifmir.precision.element_types import ELEMENT_TYPES, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unifmir.precision.recipe import PrecisionRecipe

FULL_BITS = ELEMENT_TYPES["fp32"].bits


@dataclass(frozen=True, slots=True)
class Bops(JsonOutput):
    """Bit operations of a network in one precision."""

    precision: str
    variant: Variant
    bops: int
    by_kind: dict[str, int]
    """Bit operations of `conv`, `linear` and `product`, see `unifmir.cost.mac_kinds`."""
    low_share: float
    """Share of the multiply-accumulates with an operand in the low precision."""


def count_bops(
    count: DispatchCount,
    precision: str,
    variant: Variant = "computing",
    *,
    islands: Collection[str] = (),
) -> Bops:
    """Bit operations of what was counted, if run in a precision.

    Fourier transforms and other operations without multiply-accumulates are not in it.

    Parameters
    ----------
    count : DispatchCount
    precision : {"fp32", "fp16", "bf16"}
    variant : {"stored", "computing"}
    islands : collection of str
        Names of modules whose own operations and weights are fp32.
    """
    if precision not in ELEMENT_TYPES:
        known = ", ".join(ELEMENT_TYPES)
        raise UnknownNameError(f"unknown precision {precision!r}: one of {known}")
    low = ELEMENT_TYPES[precision].bits
    by_kind = dict.fromkeys(KINDS, 0)
    low_macs = 0
    for row in count.rows:
        bits = FULL_BITS if row.module in islands else low
        weight, activation = bits, bits if variant == "computing" else FULL_BITS
        other = activation if row.kind == "product" else weight
        by_kind[row.kind] += row.macs * other * activation
        low_macs += row.macs * (min(other, activation) < FULL_BITS)
    share = low_macs / count.macs if count.macs else 0.0
    return Bops(precision, variant, sum(by_kind.values()), _named(by_kind), share)


def bops(
    module: nn.Module,
    shape: "Sequence[int]",
    precision: str = "fp32",
    variant: Variant = "computing",
    *,
    recipe: "PrecisionRecipe | None" = None,
) -> Bops:
    """Bit operations of a module for an input shape.

    Parameters
    ----------
    module : module
        Takes one tensor; the network, or the network in its image interface.
    shape : sequence of int
        Of its input, batch included.
    precision, variant
        As for `count_bops`.
    recipe : PrecisionRecipe, optional
        Takes the place of `precision`, and names the islands of fp32.
    """
    count = count_dispatched(module, shape)
    if recipe is None:
        return count_bops(count, precision, variant)
    recipe = recipe.fitted(module)
    # What the calibration never ran has no low precision either.
    outside = {row.module for row in count.rows if row.module not in recipe.callers}
    return count_bops(count, recipe.precision, variant, islands={*recipe.islands, *outside})


def paper_bops(operations: int, bits: int) -> Fraction:
    """The paper's BOPs(T), 10^12 bit operations: GFLOPs x bits x bits / 1000, exact.

    Parameters
    ----------
    operations : int
        "FLOPs" of the paper's tables, in the convention of the row.
    bits : int
        Of weights and activations alike.
    """
    return Fraction(operations * bits * bits, 10**12)


def _named(by_kind: dict[Kind, int]) -> dict[str, int]:
    return {str(kind): total for kind, total in by_kind.items()}

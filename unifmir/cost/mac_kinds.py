"""Kinds of multiply-accumulates: the one classification that all counts share."""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

Kind = Literal["conv", "linear", "product"]
"""`conv` and `linear`: weights times activations. `product`: activations times activations."""
KINDS: tuple[Kind, ...] = ("conv", "linear", "product")
FLOPS_PER_MAC = 2


class Counted(Protocol):
    """A count of any method."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""

    def by_kind(self) -> Mapping[str, int]:
        """MACs of each of `KINDS`; they sum up to `macs`."""


def sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Totals by key, in the order of first mention."""
    totals: dict[str, int] = {}
    for key, value in pairs:
        totals[key] = totals.get(key, 0) + value
    return totals


def by_kind(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Totals of all kinds, in their order, 0 for those that do not occur."""
    return sums((*((kind, 0) for kind in KINDS), *pairs))

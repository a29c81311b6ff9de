"""Closed forms of single layers, and sums of them: multiply-accumulates of parts of a network."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from unifmir.cost.mac_kinds import FLOPS_PER_MAC, Kind, by_kind, sums


@dataclass(frozen=True, slots=True)
class Item:
    """One part of a network."""

    part: str
    """Name of the part, for people."""
    kind: Kind
    macs: int
    """Multiply-accumulates."""


@dataclass(frozen=True, slots=True)
class AnalyticCount:
    """A network's cost from its configuration alone."""

    items: tuple[Item, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates, attention products included."""
        return sum(item.macs for item in self.items)

    @property
    def flops(self) -> int:
        """Two for each multiply-accumulate."""
        return FLOPS_PER_MAC * self.macs

    def by_kind(self) -> dict[str, int]:
        """MACs of `conv`, `linear` and `product`, all three named."""
        return by_kind((item.kind, item.macs) for item in self.items)

    def by_part(self) -> dict[str, int]:
        """MACs of each part."""
        return sums((item.part, item.macs) for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the count."""
        return {"macs": self.macs, "items": [asdict(item) for item in self.items]}


def conv(part: str, points: int, kernel: int, *widths: int) -> Item:
    """Convolutions through these widths: `points` of output, `kernel` weights a channel pair.

    One multiply-accumulate for each point, weight and pair of channels; the border's, which meet
    padding, included.
    """
    pairs = sum(a * b for a, b in pairwise(widths))
    return Item(part, "conv", points * kernel * pairs)


def linear(part: str, points: int, inputs: int, outputs: int) -> Item:
    """A fully connected layer at each of `points`."""
    return Item(part, "linear", points * inputs * outputs)


def product(part: str, macs: int) -> Item:
    """A product of two activations."""
    return Item(part, "product", macs)


def merged(items: Iterable[Item]) -> AnalyticCount:
    """One item for each part and kind, in the order of first mention; empty ones left out."""
    totals: dict[tuple[str, Kind], int] = {}
    for item in items:
        key = (item.part, item.kind)
        totals[key] = totals.get(key, 0) + item.macs
    return AnalyticCount(tuple(Item(*key, macs) for key, macs in totals.items() if macs))


def padded(size: int, multiple: int) -> int:
    """`size` pixels, up to a multiple."""
    return -(-size // multiple) * multiple

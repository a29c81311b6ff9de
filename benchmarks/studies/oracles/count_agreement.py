"""Whether counts made in different ways agree, and if not, in what they differ."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unifmir.cost.mac_kinds import KINDS, Counted

WITHIN = 0.005
"""Relative. Exporters may fold or fuse what hardly costs anything; a layer counted twice, or
attention left out, is at least ten times this."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One kind of operation that the methods count differently."""

    kind: str
    macs: dict[str, int]
    """Method -> multiply-accumulates."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The counts of one network at one size."""

    totals: dict[str, int]
    """Method -> multiply-accumulates."""
    spread: float
    """Largest total over the smallest, less 1."""
    differences: tuple[Difference, ...]
    """Kinds of operation that are not the same in all methods; they explain the totals fully."""
    within: float = WITHIN

    @property
    def agrees(self) -> bool:
        """Whether all totals are the same within the tolerance."""
        return self.spread <= self.within

    def sentence(self) -> str:
        """One sentence for people: the totals, and where they differ."""
        totals = ", ".join(f"{name} {macs / 1e9:.6g}" for name, macs in self.totals.items())
        if not self.differences:
            return f"identical: {totals} GMAC"
        word = "agree" if self.agrees else "disagree"
        parts = "; ".join(
            f"{row.kind}: " + ", ".join(f"{name} {n / 1e9:.6g}" for name, n in row.macs.items())
            for row in self.differences
        )
        return f"{word}, spread {self.spread:.2%} of {totals} GMAC; {parts}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the agreement."""
        return {**asdict(self), "agrees": self.agrees}


def compare_counts(counts: Mapping[str, Counted], *, within: float = WITHIN) -> Agreement:
    """Hold counts of the same network at the same size against each other.

    Parameters
    ----------
    counts : mapping
        Name of the method -> its count: dispatched, analytic, ONNX.
    within : float
        Relative difference of the totals that is still agreement.
    """
    totals = {name: count.macs for name, count in counts.items()}
    kinds = {name: count.by_kind() for name, count in counts.items()}
    differences = []
    for kind in KINDS:
        macs = {name: kinds[name][kind] for name in counts}
        if len(set(macs.values())) > 1:
            differences.append(Difference(kind, macs))
    least, most = min(totals.values()), max(totals.values())
    spread = most / least - 1 if least else float(most > 0)
    return Agreement(totals, spread, tuple(differences), within)

"""Settings of a dataset that is to be prepared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unifmir.datasets.dataset_manifest import SCHEMA
from unifmir.datasets.pairing import PairRule

PATCHES_A_PAIR = 64
FOREGROUND = 0.1
MOST_SHIFT_PX = 2.0
MOST_SATURATED = 0.01
FRACTIONS = (0.1, 0.1)


@dataclass(frozen=True, slots=True)
class PreparationRequest:
    """Images that a dataset is made of, and how."""

    folder: Path
    out: Path
    """The store, a folder that ends in .zarr."""
    task: str
    rules: tuple[PairRule, ...] = ()
    """Rules of where the images lie; empty: two folders of known names, or csbdeep's files."""
    recipe: str = ""
    """Public set whose rules these are."""
    patch: int | None = None
    """Side of a patch in the input's pixels; None: `patch_sizes.SIDE`, or the smallest image's."""
    planes: int | None = None
    """Planes of a patch; None: `patch_sizes.PLANES`, or those of the flattest stack."""
    patches: int = PATCHES_A_PAIR
    """Patches of a pair, at most; of a training file all that hold something are taken."""
    foreground: float = FOREGROUND
    """Share of the brightest patch's signal that a patch must reach."""
    most_shift_px: float = MOST_SHIFT_PX
    """Pixels of the truth."""
    most_saturated: float = MOST_SATURATED
    """Share of the pixels."""
    fractions: tuple[float, float] = FRACTIONS
    """Share of the files for validation and for test."""
    channel: int | None = None
    series: int | None = None
    """Which image of files that hold several, from 0."""
    seed: int = 0

    def plan(self) -> dict[str, Any]:
        """JSON values of all that decides what the store holds, beside the files."""
        names = [name for name in self.__slots__ if name not in ("folder", "out")]
        values = {name: getattr(self, name) for name in names}
        return {**values, "rules": [_plain_rule(rule) for rule in self.rules], "schema": SCHEMA}


def _plain_rule(rule: PairRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in rule.__slots__}


@dataclass(frozen=True, slots=True)
class PreparationCallbacks:
    """Called while a dataset is prepared."""

    on_found: Callable[[int], None] = lambda _count: None
    """Called once, with the number of pairs."""
    on_surveyed: Callable[[str], None] = lambda _name: None
    on_pair: Callable[[str], None] = lambda _name: None
    """Called after each pair, kept or set aside, with the name of its input."""

"""Pairs of a dataset: which input belongs to which truth, and which is in which split."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unifmir.datasets.path_patterns import Texts, image_places, path_pattern
from unifmir.errors import ImageError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FOLDER_NAMES = (
    ("input", "truth"),
    ("low", "high"),
    ("noisy", "clean"),
    ("source", "target"),
    ("raw", "gt"),
)
"""Names of the two folders of pairs that are looked for where the user names none."""
TRAINING_FILE = ".npz"
"""Files of csbdeep, which hold inputs and truths."""
LEAST_FOR_SPLITS = 5
"""Groups from which on validation and test get at least one each."""


@dataclass(frozen=True, slots=True)
class PairRule:
    """Rule of where inputs and truths lie below a folder."""

    input: str
    """Pattern of the inputs, or the name of their folder; of files that hold both, of these."""
    truth: str | None = None
    """Pattern of the truths, or the name of their folder; None: there are none, or both are in
    one file. A truth belongs to the inputs whose wildcards of the same name match the same text."""
    split: Split | None = None
    """Split that all of these belong to; None: they are divided."""
    axes: str | None = None
    """Axes of the inputs where the files do not say them, or wrongly."""
    truth_axes: str | None = None
    """Axes of the truths; None: those of the inputs."""
    averaged: bool = False
    """Whether the planes of an input are exposures of one plane, to be averaged."""
    before: str = ""
    """Sentence on what has to be done before a download has such files; told where they miss."""


@dataclass(frozen=True, slots=True)
class FoundPair:
    """An input and its truth, as paths below the folder."""

    input: str
    truth: str | None
    rule: PairRule
    group: str = ""
    """Name of the pairs that stay in one split: all inputs of one truth."""

    @property
    def holds_both(self) -> bool:
        """Whether one file holds inputs and truths."""
        return self.input.lower().endswith(TRAINING_FILE)


@dataclass(slots=True)
class Findings:
    """Pairs that were found, and files whose partner is missing, with the reason."""

    pairs: list[FoundPair] = field(default_factory=list)
    unpaired: dict[str, str] = field(default_factory=dict)


def find_pairs(folder: Path, rules: Sequence[PairRule]) -> Findings:
    """Find the pairs below a folder.

    Raises
    ------
    ImageError
        There is no such folder, a pattern is none, or nothing matches.
    """
    places = image_places(folder)
    found = Findings()
    for rule in rules or (_guessed(folder, places),):
        _apply(rule, places, found)
    if not found.pairs and not found.unpaired:
        named = ", ".join(repr(rule.input) for rule in rules)
        befores = (rule.before for rule in rules if rule.before)
        advice = next(befores, "Name the images with --input and --truth")
        seen = ", ".join(places[:5]) or "no files"
        raise ImageError(
            f"{folder}: nothing in it matches {named}; it holds {seen}"
            f"{', ...' if len(places) > 5 else ''}. {advice}"
        )
    taken: dict[str, PairRule] = {}
    for pair in found.pairs:
        if taken.setdefault(pair.input, pair.rule) is not pair.rule:
            raise ImageError(f"{pair.input} matches two patterns: name the images more narrowly")
    return found


def _guessed(folder: Path, places: Sequence[str]) -> PairRule:
    """The rule of a folder with two folders of known names, or with csbdeep's training files."""
    tops = {place.partition("/")[0] for place in places if "/" in place}
    for first, second in FOLDER_NAMES:
        if {first, second} <= tops:
            return PairRule(first, second)
    if any(place.lower().endswith(TRAINING_FILE) for place in places):
        return PairRule("*.npz")
    known = ", ".join("/".join(pair) for pair in FOLDER_NAMES)
    raise ImageError(
        f"{folder}: which images are inputs, and which are truths? Name them: --input low --truth "
        f"high, or --input 'low/*.tif' --truth 'high/*.tif'; noisy images alone: --input NAME. "
        f"Two folders of these names need no naming: {known}"
    )


def _apply(rule: PairRule, places: Sequence[str], found: Findings) -> None:
    pattern = path_pattern(rule.input)
    inputs = [(place, texts) for place in places if (texts := pattern.texts(place)) is not None]
    if rule.truth is None:
        found.pairs += [FoundPair(place, None, rule, place) for place, _ in inputs]
        return
    wanted = path_pattern(rule.truth)
    truths = {place: texts for place in places if (texts := wanted.texts(place)) is not None}
    index = _Index(truths)
    used = {place for place, _ in inputs}
    for place, texts in inputs:
        partners = [one for one in index.of(texts) if one != place]
        used.update(partners)
        if len(partners) == 1:
            found.pairs.append(FoundPair(place, partners[0], rule, partners[0]))
        elif not partners:
            missing = f"it has no truth: expected {wanted.filled(texts)}"
            found.unpaired[place] = f"{missing}. {rule.before}" if rule.before else missing
        else:
            found.unpaired[place] = (
                f"it has {len(partners)} truths, {', '.join(partners[:3])}: expected one"
            )
    for place in sorted(truths.keys() - used):
        found.unpaired[place] = f"it has no input: expected {pattern.filled(truths[place])}"


class _Index:
    """Truths by what their wildcards matched."""

    def __init__(self, truths: dict[str, dict[str, str]]) -> None:
        self._names = frozenset(next(iter(truths.values()), {}))
        self._found: dict[frozenset[str], dict[tuple[str, ...], list[str]]] = {}
        self._truths = truths

    def of(self, texts: Texts) -> list[str]:
        """Truths whose wildcards of the same names matched the same texts."""
        shared = frozenset(self._names & texts.keys())
        if shared not in self._found:
            table = defaultdict(list)
            for place, found in self._truths.items():
                table[tuple(found[name] for name in sorted(shared))].append(place)
            self._found[shared] = table
        return self._found[shared].get(tuple(texts[name] for name in sorted(shared)), [])


def splits_of(
    pairs: Sequence[FoundPair], fractions: tuple[float, float], seed: int
) -> dict[str, Split]:
    """Splits of the groups of pairs: whole files, never patches of one.

    Parameters
    ----------
    fractions : (float, float)
        Share of the groups for validation and for test. From `LEAST_FOR_SPLITS` groups on a share
        above 0 is at least one group.
    seed : int

    Returns
    -------
    dict
        Group -> split. It depends on the groups' names and the seed, not on their order.
    """
    fixed = {pair.group: pair.rule.split for pair in pairs if pair.rule.split is not None}
    free = sorted({pair.group for pair in pairs if pair.rule.split is None} - fixed.keys())
    free.sort(key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    least = 1 if len(free) >= LEAST_FOR_SPLITS else 0
    validation, test = (
        max(least if part > 0 else 0, round(part * len(free))) for part in fractions
    )
    divided: dict[str, Split] = dict.fromkeys(free, "train")
    divided |= dict.fromkeys(free[:validation], "validation")
    divided |= dict.fromkeys(free[validation : validation + test], "test")
    return {**divided, **fixed}

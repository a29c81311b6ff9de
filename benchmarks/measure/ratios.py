"""Ratios to a baseline: round against round, and all subjects of a table together."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
from jaxtyping import Float64

from unifmir.benchmarks.measure.results import Latency, Ratio
from unifmir.benchmarks.measure.statistics import Spread, round_medians, spreads
from unifmir.errors import BenchmarkError


def ratio_spreads(baseline: str, latencies: Mapping[str, Latency]) -> dict[str, Spread]:
    """Time of the baseline over each other's, of the same rounds, by key.

    What slows a whole round down slows both, and cancels. The baseline's times are those right
    beside the own, where there are such. What was not taken in turn with the baseline is left out;
    the baseline itself is 1 and nothing is unsure of it.

    Parameters
    ----------
    baseline : str
        Key of the baseline.
    latencies : mapping of str to Latency
        Of one table, the baseline's among them.
    """
    base = latencies[baseline]
    found = {baseline: Spread(0.0, 0.0, max(1, len(base.starts) - 1))}
    ratios = {
        key: (by_round, own.starts)
        for key, own in latencies.items()
        if key != baseline and (by_round := _by_round(base, own)) is not None
    }
    return {**found, **spreads(ratios)}


def ratios(baseline: str, latencies: Mapping[str, Latency]) -> dict[str, Ratio]:
    """How many times as fast as the baseline each subject of a table is, by key.

    Parameters
    ----------
    baseline : str
        Key of the baseline.
    latencies : mapping of str to Latency
        Of one table, the baseline's among them.

    Raises
    ------
    BenchmarkError
        Some were not taken in turn.
    """
    base, found = latencies[baseline], ratio_spreads(baseline, latencies)
    made = {}
    for key, own in latencies.items():
        same = _same_rounds(base, own)
        if same is None:
            raise BenchmarkError(
                f"{len(own.rounds_ms)} rounds cannot be compared with {len(base.rounds_ms)} of "
                f"{baseline}: they were not taken in turn; benchmark both in one run"
            )
        cpu = np.asarray(base.cpu_ms)[same] / np.maximum(own.cpu_ms, 1e-9)
        made[key] = Ratio(
            baseline=baseline,
            ratio=found[key].value,
            interval=found[key].interval,
            cpu_ratio=float(np.median(cpu)),
        )
    return made


def _by_round(base: Latency, own: Latency) -> Float64[np.ndarray, " rounds"] | None:
    """Time of the baseline over the own, by round; None if they were not taken in turn."""
    same = _same_rounds(base, own)
    if same is None:
        return None
    beside = own.baseline_ms or [base.rounds_ms[place] for place in same]
    theirs: Float64[np.ndarray, " rounds"] = round_medians(beside) / round_medians(own.rounds_ms)
    return theirs


def _same_rounds(base: Latency, own: Latency) -> list[int] | None:
    """Places of the baseline's rounds that were the own ones; None if not taken in turn.

    The baseline may have been started more often, and have taken more rounds of a start: the own
    are the first ones of both.
    """
    if not own.starts:
        same = len(base.rounds_ms) == len(own.rounds_ms) and not base.starts
        return list(range(len(own.rounds_ms))) if same else None
    theirs = base.starts[: len(own.starts)]
    if len(theirs) < len(own.starts) or any(
        count < taken for count, taken in zip(theirs, own.starts, strict=True)
    ):
        return None
    firsts = accumulate(theirs, initial=0)
    return [
        first + place
        for first, taken in zip(firsts, own.starts, strict=False)
        for place in range(taken)
    ]

"""Statistics of samples: the figures that are printed, exact and repeatable by a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from unifmir.benchmarks.measure.results import Latency, Ratio
from unifmir.errors import BenchmarkError

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20260
"""Seed of the bootstrap: the same samples give the same interval, now and in a later run."""

Numbers = Sequence[float] | Float64[np.ndarray, " n"]
Rounds = Sequence[Sequence[float]]
"""Samples by round. A round is the unit that is resampled: samples of one visit share their
neighbours, their clock frequency and their caches, so they are no independent draws."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """How latency grows: ms = factor * pixels ** exponent."""

    exponent: float
    interval: tuple[float, float]
    """95 %, from the residuals of the fit."""
    factor: float
    points: int


def latency(
    rounds_ms: Rounds,
    cpu_ms: Sequence[float],
    *,
    device_ms: Sequence[float] = (),
    copy_ms: Sequence[float] = (),
) -> Latency:
    """Summarise the samples of one subject.

    The median is that of the rounds' medians, so that it lies inside its own interval;
    percentiles and minimum are those of all samples, none of them dropped.

    Parameters
    ----------
    rounds_ms : samples by round
        Wall time of each run, ms.
    cpu_ms : sequence of float
        CPU time per run, by round, ms.
    device_ms, copy_ms : sequence of float
        Of each run; empty without a device of its own, ms.
    """
    medians = round_medians(rounds_ms)
    everything = np.concatenate([np.asarray(samples, dtype=float) for samples in rounds_ms])
    p90, p99 = (float(p) for p in np.percentile(everything, [90, 99]))
    return Latency(
        rounds_ms=tuple(tuple(float(ms) for ms in samples) for samples in rounds_ms),
        cpu_ms=tuple(float(ms) for ms in cpu_ms),
        median_ms=float(np.median(medians)),
        interval_ms=median_interval(medians),
        p90_ms=p90,
        p99_ms=p99,
        minimum_ms=float(everything.min()),
        variation=variation(medians),
        device_ms=float(np.median(device_ms)) if len(device_ms) else None,
        copy_ms=float(np.median(copy_ms)) if len(copy_ms) else None,
    )


def ratio(baseline: str, base: Latency, own: Latency) -> Ratio:
    """How many times as fast as the baseline, round against round.

    What slows a whole round down slows both, and cancels.

    Parameters
    ----------
    baseline : str
        Key of the baseline.
    base, own : Latency
        Of the same rounds.
    """
    ours, theirs = round_medians(own.rounds_ms), round_medians(base.rounds_ms)
    if len(ours) != len(theirs):
        raise BenchmarkError(
            f"{len(ours)} rounds cannot be compared with {len(theirs)} of {baseline}: "
            "they were not taken in turn; benchmark both in one run"
        )
    by_round = theirs / ours
    cpu = np.asarray(base.cpu_ms) / np.maximum(np.asarray(own.cpu_ms), 1e-9)
    return Ratio(
        baseline=baseline,
        ratio=float(np.median(by_round)),
        interval=median_interval(by_round),
        cpu_ratio=float(np.median(cpu)),
    )


def round_medians(rounds_ms: Rounds) -> Float64[np.ndarray, " rounds"]:
    """Medians of the rounds, in the unit of the samples."""
    if not rounds_ms or not all(len(samples) for samples in rounds_ms):
        raise BenchmarkError("a round without samples: nothing was measured")
    return np.array([float(np.median(samples)) for samples in rounds_ms])


def median_interval(values: Numbers) -> tuple[float, float]:
    """Bootstrap 95 % interval of the median, by percentiles, in the unit of the values."""
    # Sorted: the interval must not depend on the order in which equal rounds came.
    pool = np.sort(np.asarray(values, dtype=float))
    draws = np.random.default_rng(SEED).integers(0, len(pool), (RESAMPLES, len(pool)))
    medians = np.median(pool[draws], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return float(low), float(high)


def variation(medians: Numbers) -> float:
    """Standard deviation of the rounds' medians, in any unit, over their mean; 0 of one round."""
    values = np.asarray(medians, dtype=float)
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else 0.0


def power_law(pixels: Numbers, latencies_ms: Numbers) -> PowerLaw:
    """Least-squares line of log latency, in units of ms, on log pixels.

    Raises
    ------
    BenchmarkError
        Fewer than three different sizes: a line through two points has no interval.
    """
    if len(pixels) != len(latencies_ms) or len(set(pixels)) < 3:
        raise BenchmarkError(
            f"an exponent needs at least 3 image sizes, found {len(set(pixels))}: "
            "benchmark --workload sweep"
        )
    from scipy import stats

    fit = stats.linregress(np.log(np.asarray(pixels)), np.log(np.asarray(latencies_ms)))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(pixels) - 2) * fit.stderr)
    slope = float(fit.slope)
    return PowerLaw(
        slope, (slope - reach, slope + reach), float(np.exp(fit.intercept)), len(pixels)
    )

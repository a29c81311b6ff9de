"""Statistics of samples: the figures that are printed, the same for the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, pi, sqrt

import numpy as np
from jaxtyping import Float64

from unifmir.benchmarks.measure.results import Latency, Ratio
from unifmir.errors import BenchmarkError

CONFIDENCE = 0.95
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
MEDIAN_VARIANCE = pi / 2
"""Variance of a median over that of the mean of the same normal values, from three values on."""
MAD_EFFICIENCY = 0.37
"""Degrees of freedom of a median absolute deviation over those of a standard deviation of the same
normal values (Rousseeuw & Croux 1993)."""

Numbers = Sequence[float] | Float64[np.ndarray, " n"]
Rounds = Sequence[Sequence[float]]
"""Samples by round."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A positive quantity on the scale of logarithms, and how well its starts know it.

    A start is the unit that counts: rounds of one process share where its memory lies, so they are
    no independent draws. Where all rounds are of one start, they are the units for want of others.
    """

    centre: float
    """Mean over the starts of the median of their rounds, natural logarithm."""
    error: float
    """Standard error of the centre."""
    freedom: float
    """Degrees of freedom of that error: starts less one, or more where the rounds decide it."""

    @property
    def value(self) -> float:
        """The quantity itself."""
        return exp(self.centre)

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the logarithm, by Student's t; 0.03 is 3 %."""
        from scipy.special import stdtrit

        if self.error == 0:
            return 0.0
        return float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * self.error

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the quantity."""
        return exp(self.centre - self.half_width), exp(self.centre + self.half_width)

    @property
    def inverse(self) -> "Spread":
        """One over the quantity."""
        return Spread(-self.centre, self.error, self.freedom)


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
    starts: Sequence[int] = (),
    baseline_ms: Rounds = (),
    device_ms: Sequence[float] = (),
    copy_ms: Sequence[float] = (),
) -> Latency:
    """Summarise the samples of one subject.

    Percentiles and minimum are those of all samples, none of them dropped.

    Parameters
    ----------
    rounds_ms : samples by round
        Wall time of each run, ms.
    cpu_ms : sequence of float
        CPU time per run, by round, ms.
    starts : sequence of int
        Rounds of each start of the process, in turn; all are of one if none is said.
    baseline_ms : samples by round
        Of the baseline, right before and after those of the round, ms; empty if not taken so.
    device_ms, copy_ms : sequence of float
        Of each run; empty without a device of its own, ms.
    """
    medians = round_medians(rounds_ms)
    found = spread(medians, starts)
    everything = np.concatenate([np.asarray(samples, dtype=float) for samples in rounds_ms])
    p90, p99 = (float(p) for p in np.percentile(everything, [90, 99]))
    return Latency(
        rounds_ms=tuple(tuple(float(ms) for ms in samples) for samples in rounds_ms),
        cpu_ms=tuple(float(ms) for ms in cpu_ms),
        median_ms=found.value,
        interval_ms=found.interval,
        p90_ms=p90,
        p99_ms=p99,
        minimum_ms=float(everything.min()),
        variation=variation(medians),
        device_ms=float(np.median(device_ms)) if len(device_ms) else None,
        copy_ms=float(np.median(copy_ms)) if len(copy_ms) else None,
        starts=tuple(starts),
        baseline_ms=tuple(tuple(float(ms) for ms in samples) for samples in baseline_ms),
    )


def ratio(baseline: str, base: Latency, own: Latency) -> Ratio:
    """How many times as fast as the baseline, round against round.

    What slows a whole round down slows both, and cancels. The baseline may have been started more
    often: its first rounds are those of the other.

    Parameters
    ----------
    baseline : str
        Key of the baseline.
    base, own : Latency
        Of the same rounds.
    """
    found = ratio_spread(base, own)
    if found is None:
        raise BenchmarkError(
            f"{len(own.rounds_ms)} rounds cannot be compared with {len(base.rounds_ms)} of "
            f"{baseline}: they were not taken in turn; benchmark both in one run"
        )
    cpu = np.asarray(base.cpu_ms)[: len(own.cpu_ms)] / np.maximum(np.asarray(own.cpu_ms), 1e-9)
    return Ratio(
        baseline=baseline,
        ratio=found.value,
        interval=found.interval,
        cpu_ratio=float(np.median(cpu)),
    )


def ratio_spread(base: Latency, own: Latency) -> Spread | None:
    """Time of the baseline over the own, of the same rounds; None if not taken in turn.

    The baseline's times are those right beside the own, where there are such.
    """
    if own.starts != base.starts[: len(own.starts)]:
        return None
    ours, theirs = round_medians(own.rounds_ms), round_medians(own.baseline_ms or base.rounds_ms)
    if len(theirs) < len(ours) or (not own.starts and len(theirs) != len(ours)):
        return None
    return spread(theirs[: len(ours)] / ours, own.starts)


def spread(by_round: Numbers, starts: Sequence[int] = ()) -> Spread:
    """Estimate a positive quantity from its rounds.

    The starts' medians scatter, and each is known only as well as its rounds: of the two errors,
    the second from the rounds' median absolute deviation, the one with the wider interval counts.
    With few starts the first may be small by luck, and a run that goes on until an interval is
    narrow would wait for that luck.

    Parameters
    ----------
    by_round : sequence of float
        Above 0, one value a round.
    starts : sequence of int
        Rounds of each start, in turn; with fewer than two every round is a unit.

    Raises
    ------
    BenchmarkError
        Fewer than two units: nothing is known of their scatter.
    """
    logs = np.log(np.asarray(by_round, dtype=float))
    if len(starts) > 1:
        ends = np.cumsum([0, *starts])
        parts = [logs[first:end] for first, end in pairwise(ends)]
    else:
        parts = list(logs[:, None])
    if len(parts) < 2:
        raise BenchmarkError("an interval needs at least two starts, or two rounds of one")
    units = np.array([np.median(part) for part in parts])
    centre, count = float(units.mean()), len(units)
    beyond = MAD_EFFICIENCY * (len(logs) - count)
    of_starts = Spread(centre, sqrt(float(units.var(ddof=1)) / count), count - 1)
    of_rounds = Spread(centre, sqrt(_within(parts) / count), max(count - 1, beyond))
    return max(of_starts, of_rounds, key=lambda one: one.half_width)


def _within(parts: Sequence[Float64[np.ndarray, " _"]]) -> float:
    """Variance of one start's median, from how its rounds scatter about it; 0 of single rounds."""
    fewest = min(map(len, parts))
    if fewest < 2:
        return 0.0
    distances = np.concatenate([np.abs(part - np.median(part)) for part in parts])
    deviation = NORMAL_MAD * float(np.median(distances)) * sqrt(fewest / (fewest - 1))
    return (MEDIAN_VARIANCE if fewest > 2 else 1.0) * deviation**2 / fewest


def round_medians(rounds_ms: Rounds) -> Float64[np.ndarray, " rounds"]:
    """Medians of the rounds, in the unit of the samples."""
    if not rounds_ms or not all(len(samples) for samples in rounds_ms):
        raise BenchmarkError("a round without samples: nothing was measured")
    return np.array([float(np.median(samples)) for samples in rounds_ms])


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

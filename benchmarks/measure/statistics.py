"""Statistics of samples: the figures that are printed, the same for the same samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, pi, sqrt

import numpy as np
from jaxtyping import Float64

from unifmir.benchmarks.measure.results import Latency
from unifmir.errors import BenchmarkError

CONFIDENCE = 0.95
NORMAL_DIFFERENCE = 1.0483
"""Standard deviation of a normal distribution over the median distance of two of its values."""
DIFFERENCE_EFFICIENCY = 0.86
"""Degrees of freedom of that median over those of a standard deviation of the same normal values
(Bickel & Lehmann 1979; Rousseeuw & Croux 1993)."""
PSEUDOMEDIAN_VARIANCE = pi / 3
"""Variance of a pseudomedian over that of the mean of the same normal values."""
SHARED = 0.5
"""Correlation of two ratios to one baseline whose starts scatter as the others' do."""

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
    """Mean over the starts of the pseudomedian of their rounds, natural logarithm."""
    error: float
    """Standard error of the centre."""
    freedom: float
    """Degrees of freedom of that error: starts less one, or more where others tell of it too."""

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


def spread(by_round: Numbers, starts: Sequence[int] = ()) -> Spread:
    """Estimate a positive quantity from its rounds.

    Parameters
    ----------
    by_round : sequence of float
        Above 0, one value a round.
    starts : sequence of int
        Rounds of each start, in turn, 0 where it was left out; with fewer than two every round is a
        unit.

    Raises
    ------
    BenchmarkError
        Fewer than two units: nothing is known of their scatter.
    """
    return spreads({"": (by_round, starts)})[""]


def spreads(quantities: Mapping[str, tuple[Numbers, Sequence[int]]]) -> dict[str, Spread]:
    """Estimate positive quantities whose starts scatter alike, such as ratios to one baseline.

    A start's value is the pseudomedian of its rounds. Three starts alone say little of how much
    starts scatter, so all quantities say it together; one that scatters more than the others by
    more than chance (F test) speaks for itself. Starts of a single quantity may agree by luck, and
    a run that goes on until an interval is narrow would wait for that luck: such a one is also
    known only as well as the rounds within its starts say, where that is the wider interval.

    Parameters
    ----------
    quantities : mapping of str to (sequence of float, sequence of int)
        As for `spread`, by any key.

    Raises
    ------
    BenchmarkError
        Fewer than two units of a quantity.
    """
    units = {key: _Units.of(*quantity) for key, quantity in quantities.items()}
    found = {}
    for key, own in units.items():
        others = [one.scatter for name, one in units.items() if name != key and one.are_starts]
        together = _together(own.scatter, others) if others and own.are_starts else None
        found[key] = own.alone if together is None else own.spread(together)
    return found


@dataclass(frozen=True, slots=True)
class _Scatter:
    """Variance of a quantity's units, and how well it is known."""

    variance: float
    freedom: float


@dataclass(frozen=True, slots=True)
class _Units:
    """Logarithms of a quantity by unit: the rounds of a start, or each round of a single one."""

    parts: Sequence[Float64[np.ndarray, " _"]]
    centres: Float64[np.ndarray, " units"]
    are_starts: bool

    @classmethod
    def of(cls, by_round: Numbers, starts: Sequence[int]) -> "_Units":
        logs = np.log(np.asarray(by_round, dtype=float))
        if len(starts) > 1:
            ends = np.cumsum([0, *starts])
            parts = [logs[first:end] for first, end in pairwise(ends) if end > first]
        else:
            parts = list(logs[:, None])
        if len(parts) < 2:
            raise BenchmarkError("an interval needs at least two starts, or two rounds of one")
        return cls(parts, np.array([pseudomedian(part) for part in parts]), len(starts) > 1)

    @property
    def scatter(self) -> _Scatter:
        return _Scatter(float(self.centres.var(ddof=1)), len(self.parts) - 1)

    @property
    def error_of_rounds(self) -> Spread:
        """How well the mean of the units is known by how the rounds scatter within each."""
        sizes = np.array([len(part) for part in self.parts])
        centre, count = float(self.centres.mean()), len(self.parts)
        if sizes.min() < 2:
            return Spread(centre, 0.0, count - 1)
        apart = np.concatenate([np.abs(np.subtract(*_pairs(part, 1))) for part in self.parts])
        deviation = NORMAL_DIFFERENCE * float(np.median(apart))
        variance = PSEUDOMEDIAN_VARIANCE * deviation**2 * float((1 / sizes).sum()) / count**2
        freedom = max(count - 1, DIFFERENCE_EFFICIENCY * (int(sizes.sum()) - count))
        return Spread(centre, sqrt(variance), freedom)

    @property
    def alone(self) -> Spread:
        """The quantity, as far as it tells by itself."""
        return max(self.spread(self.scatter), self.error_of_rounds, key=lambda one: one.half_width)

    def spread(self, scatter: _Scatter) -> Spread:
        """The quantity, where units scatter so."""
        error = sqrt(scatter.variance / len(self.parts))
        return Spread(float(self.centres.mean()), error, scatter.freedom)


def _together(own: _Scatter, others: Sequence[_Scatter]) -> _Scatter | None:
    """Scatter of one quantity's starts by all of them; None where it stands out."""
    from scipy.special import fdtri

    rest = _pooled(others)
    most = float(fdtri(own.freedom, rest.freedom, CONFIDENCE)) * rest.variance
    return None if own.variance > most else _pooled([own, *others])


def _pooled(scatters: Sequence[_Scatter]) -> _Scatter:
    """Joint scatter of quantities that share a part: their variances are not independent."""
    total = sum(one.freedom for one in scatters)
    variance = sum(one.freedom * one.variance for one in scatters) / total
    return _Scatter(variance, total / (1 + SHARED**2 * (len(scatters) - 1)))


def pseudomedian(values: Numbers) -> float:
    """Median of the means of all pairs, each value with itself included (Hodges & Lehmann 1963).

    As steady as the mean on normal values (95 %; a median 64 %), and as little moved as a median
    by up to 29 % of values that are far off.
    """
    return float(np.median(np.mean(_pairs(np.asarray(values, dtype=float), 0), axis=0)))


def _pairs(values: Float64[np.ndarray, " n"], apart: int) -> Float64[np.ndarray, "2 pairs"]:
    """Pairs of values whose places differ by at least `apart`."""
    return values[np.array(np.triu_indices(len(values), apart))]


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

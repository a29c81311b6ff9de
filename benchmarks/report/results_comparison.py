"""Comparison of two results files: changes, and which of them are more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import comb, exp, isfinite, log
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.measure.statistics import CONFIDENCE, RESAMPLES, SEED, round_medians
from unifmir.benchmarks.plan.subject import Subject
from unifmir.errors import BenchmarkError

Verdict = Literal["faster", "slower", "same", "not comparable"]
Samples = Float64[np.ndarray, " _"]
"""One value a round; two files may have other numbers of rounds."""

THRESHOLD = 0.05
"""A slow-down by less is no regression by default: two runs on one machine differ by some percent
in where their memory lies and how warm the machine is, which no number of rounds averages out."""
ALPHA = 1 - CONFIDENCE
PSNR_STEP_DB = 0.01
"""Smaller differences of the PSNR are not told: it is printed with two decimals."""
SAME_MACHINE = ("processor", "cores", "gpu")
"""Facts that must agree for times to be compared as they are; system and driver may be updated."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something beside the time that differs."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class RowPair:
    """One subject in both files."""

    subject: Subject
    verdict: Verdict
    """`same`: no difference that is significant."""
    reason: str = ""
    """Why the two are not comparable."""
    before: float | None = None
    """Median time: ms, or times the baseline's where machines differ."""
    after: float | None = None
    ratio: float | None = None
    """Time after over time before: above 1 is slower."""
    interval: tuple[float, float] | None = None
    """Bootstrap 95 % interval of the ratio, over the rounds' medians."""
    p_value: float | None = None
    """Mann-Whitney U test of the rounds' medians, two-sided, with Holm's correction."""
    regression: bool = False
    """Significantly slower, and by more than the threshold."""
    broken: bool = False
    """It ran before and fails now."""
    changes: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The pair as JSON values."""
        return {"key": self.subject.key, **asdict(self)}


@dataclass(frozen=True, slots=True)
class ResultsComparison:
    """Two results files, row by row."""

    threshold: float
    relative: bool
    """The machines differ: each row was compared by its ratio to its group's baseline."""
    remarks: tuple[str, ...]
    """Differences between the files as a whole, a sentence each."""
    pairs: tuple[RowPair, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    """Keys of the rows that one file lacks."""

    @property
    def regressions(self) -> tuple[RowPair, ...]:
        """Rows that became significantly slower by more than the threshold."""
        return tuple(pair for pair in self.pairs if pair.regression)

    @property
    def broken(self) -> tuple[RowPair, ...]:
        """Rows that ran before and fail now."""
        return tuple(pair for pair in self.pairs if pair.broken)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "threshold": self.threshold,
            "alpha": ALPHA,
            "relative": self.relative,
            "remarks": list(self.remarks),
            "rows": [pair.to_dict() for pair in self.pairs],
            "only_before": list(self.only_before),
            "only_after": list(self.only_after),
            "regressions": [pair.subject.key for pair in self.regressions],
            "broken": [pair.subject.key for pair in self.broken],
        }


def compare(before: Results, after: Results, *, threshold: float = THRESHOLD) -> ResultsComparison:
    """Match the rows of two files by their key and test each for a difference.

    A difference is significant if the bootstrap interval of the ratio leaves out 1 and the
    Mann-Whitney U test, with Holm's correction for the number of rows, is below 5 %. Where the
    rounds are so few that nothing could pass, a row is not comparable rather than the same.

    On different machines, times relative to the baseline's of the same round are compared.

    Parameters
    ----------
    before, after : Results
    threshold : float
        Part by which a significantly slower row may be slower without being a regression.

    Raises
    ------
    BenchmarkError
        The threshold is negative or not a number.
    """
    if not (isfinite(threshold) and threshold >= 0):
        raise BenchmarkError(f"threshold {threshold}: expected a part of 0 or more, such as 0.05")
    relative = _differ(before.machine, after.machine, SAME_MACHINE) != []
    ours = {row.subject.key: row for row in before.rows}
    theirs = {row.subject.key: row for row in after.rows}
    shared = [key for key in ours if key in theirs]
    samples = {key: _samples(key, before, after, ours, theirs, relative) for key in shared}
    tested = _tested({key: pair for key, pair in samples.items() if not isinstance(pair, str)})
    pairs = []
    for key in shared:
        pair = tested.get(key) or RowPair(ours[key].subject, "not comparable", str(samples[key]))
        pairs.append(_completed(pair, ours[key], theirs[key], threshold))
    return ResultsComparison(
        threshold=threshold,
        relative=relative,
        remarks=tuple(_remarks(before, after, relative=relative)),
        pairs=tuple(pairs),
        only_before=tuple(key for key in ours if key not in theirs),
        only_after=tuple(key for key in theirs if key not in ours),
    )


def _tested(samples: Mapping[str, tuple[Subject, Samples, Samples]]) -> dict[str, RowPair]:
    """A pair for each key, tested together."""
    needed = ALPHA / max(len(samples), 1)
    found: dict[str, RowPair] = {}
    values: dict[str, float] = {}
    for key, (subject, before, after) in samples.items():
        if 2 / comb(len(before) + len(after), len(before)) > needed:
            reason = (
                f"{len(before)} and {len(after)} rounds are too few to tell a difference among "
                f"{len(samples)} rows: benchmark with more rounds"
            )
            found[key] = RowPair(subject, "not comparable", reason, *_medians(before, after))
        else:
            values[key] = _mann_whitney(before, after)
    for key, p_value in holm(values).items():
        subject, before, after = samples[key]
        low, high = interval = ratio_interval(before, after)
        verdict: Verdict = "same"
        if p_value < ALPHA and not low <= 1 <= high:
            verdict = "slower" if low > 1 else "faster"
        found[key] = RowPair(
            subject, verdict, "", *_medians(before, after), interval=interval, p_value=p_value
        )
    return found


def _medians(before: Samples, after: Samples) -> tuple[float, float, float]:
    first, second = float(np.median(before)), float(np.median(after))
    return first, second, second / first


def ratio_interval(before: Samples, after: Samples) -> tuple[float, float]:
    """Bootstrap 95 % interval of the ratio of medians, after over before.

    Samples are in one unit and above 0. Both sides are resampled independently. Two streams of
    draws are used, each once for either side, so that swapping the sides gives exactly the inverse
    interval.
    """
    ratios = [
        np.log(_resampled(after, stream)) - np.log(_resampled(before, 1 - stream))
        for stream in (0, 1)
    ]
    low, high = np.quantile(np.concatenate(ratios), [ALPHA / 2, 1 - ALPHA / 2])
    return exp(low), exp(high)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: below alpha where the step-down procedure rejects."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = least
    return adjusted


def _resampled(samples: Samples, stream: int) -> Samples:
    """Medians of bootstrap samples."""
    # Sorted: the order in which rounds came must not decide.
    pool = np.sort(samples)
    random = np.random.default_rng([SEED, stream])
    medians: Samples = np.median(
        pool[random.integers(0, len(pool), (RESAMPLES, len(pool)))], axis=1
    )
    return medians


def _mann_whitney(before: Samples, after: Samples) -> float:
    if np.ptp(np.concatenate([before, after])) == 0:
        return 1.0  # all the same: the test would divide by no scatter
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(before, after, alternative="two-sided").pvalue)


def _samples(
    key: str,
    before: Results,
    after: Results,
    ours: Mapping[str, Row],
    theirs: Mapping[str, Row],
    relative: bool,
) -> tuple[Subject, Samples, Samples] | str:
    """Samples of a row that are compared, by round; or why they are not."""
    for name, row in (("before", ours[key]), ("after", theirs[key])):
        if reason := _distrusted(row):
            return f"{name}: {reason}"
    if reason := _other_threads(before, after, ours[key], theirs[key]):
        return reason
    if not relative:
        return ours[key].subject, _rounds(ours[key]), _rounds(theirs[key])
    first, second = _to_baseline(ours[key], ours), _to_baseline(theirs[key], theirs)
    if isinstance(first, str) or isinstance(second, str):
        return first if isinstance(first, str) else str(second)
    if _baseline(ours[key]) != _baseline(theirs[key]):
        return "different machines, and different baselines"
    return ours[key].subject, first, second


def _distrusted(row: Row) -> str:
    if row.latency is None:
        return f"failed: {row.error}" if row.error else "no times"
    if row.problems:
        return f"cannot be trusted: {'; '.join(row.problems)}"
    rounds = row.latency.rounds_ms
    if not rounds or not all(rounds):
        return "no samples"
    medians = _rounds(row)
    return "" if np.all(np.isfinite(medians) & (medians > 0)) else "times that are no numbers"


def _other_threads(before: Results, after: Results, one: Row, other: Row) -> str:
    for name, first, second in (
        ("threads", before.settings.get("threads"), after.settings.get("threads")),
        ("threads in the runtime", one.ran.get("threads"), other.ran.get("threads")),
    ):
        if first != second:
            return f"{name}: {first} before, {second} after"
    return ""


def _to_baseline(row: Row, rows: Mapping[str, Row]) -> Samples | str:
    """Time of each round over the baseline's in the same round."""
    key = _baseline(row)
    if key == row.subject.key:
        return "different machines, and it is the baseline itself"
    if key not in rows or _distrusted(rows[key]):
        return "different machines, and no baseline that can be trusted"
    own, base = _rounds(row), _rounds(rows[key])
    if len(own) != len(base):
        return "different machines, and its rounds are not the baseline's"
    relative: Samples = own / base
    return relative


def _baseline(row: Row) -> str:
    return row.ratio.baseline if row.ratio is not None else ""


def _rounds(row: Row) -> Samples:
    return round_medians(row.latency.rounds_ms if row.latency is not None else ())


def _completed(pair: RowPair, before: Row, after: Row, threshold: float) -> RowPair:
    """The pair with the regression decided and all other changes."""
    slower = pair.verdict == "slower" and pair.ratio is not None and pair.ratio > 1 + threshold
    return replace(
        pair,
        regression=slower,
        broken=before.latency is not None and after.latency is None,
        changes=tuple(_changes(before, after, threshold)),
    )


def _changes(before: Row, after: Row, threshold: float) -> list[Change]:
    names = sorted({*before.counts, *after.counts})
    found = _differ(before.counts, after.counts, names)
    found += [
        change
        for change in _differ(before.ran, after.ran, sorted({*before.ran, *after.ran}))
        if change.what != "threads"
    ]
    for name in ("peak_rss_bytes", "peak_device_bytes"):
        old, new = getattr(before.memory, name, None), getattr(after.memory, name, None)
        # Memory is measured: by as much as times may vary, it may too.
        if old and new and abs(log(new / old)) > log(1 + threshold):
            found.append(Change(name, old, new))
    if before.quality is not None and after.quality is not None:
        old, new = before.quality["psnr_db"], after.quality["psnr_db"]
        if abs(new - old) >= PSNR_STEP_DB:
            found.append(Change("fitted_psnr_db", old, new))
    return found


def _differ(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]
) -> list[Change]:
    return [
        Change(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _remarks(before: Results, after: Results, *, relative: bool) -> list[str]:
    found = [
        f"{change.what}: {change.before} before, {change.after} after"
        for change in [
            *_differ(before.machine, after.machine, sorted({*before.machine, *after.machine})),
            *_differ(before.versions, after.versions, sorted({*before.versions, *after.versions})),
        ]
    ]
    if relative:
        found.insert(
            0,
            "different machines: times are not compared, only each row's time relative to the "
            "baseline of its group, which tells of a change of the row against the baseline",
        )
    for name, results in (("before", before), ("after", after)):
        if not results.complete:
            found.append(f"{name}: the run was interrupted and is not complete")
    return found

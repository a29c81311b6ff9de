"""Comparison of two results files: changes, and which of them are more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, hypot, isfinite, log
from typing import Any, Literal

import numpy as np

from unifmir.benchmarks.measure.ratios import ratio_spreads
from unifmir.benchmarks.measure.results import Latency, Results, Row
from unifmir.benchmarks.measure.statistics import CONFIDENCE, Spread, round_medians, spread
from unifmir.benchmarks.plan.subject import Subject
from unifmir.errors import BenchmarkError

Verdict = Literal["faster", "slower", "same", "not comparable"]

THRESHOLD = 0.05
"""A slow-down by less is no regression by default, however significant."""
ALPHA = 1 - CONFIDENCE
PSNR_STEP_DB = 0.01
"""Smaller differences of the PSNR are not told: it is printed with two decimals."""
SAME_MACHINE = ("processor", "cores", "gpu")
"""Facts that must agree for times to be compared as they are; system and driver may be updated."""

NOT_TOLD = {"threads", "warm_up"}
"""Facts of where it ran that are no change: told elsewhere, or how this run happened to go."""


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
    relative: bool = False
    """Whether `before` and `after` are parts of the baseline's time in the same rounds."""
    before: float | None = None
    """Time: of the baseline's, or ms where a row has no baseline."""
    after: float | None = None
    ratio: float | None = None
    """Time after over time before: above 1 is slower."""
    interval: tuple[float, float] | None = None
    """95 % interval of the ratio, over the starts of both runs."""
    p_value: float | None = None
    """Welch's t test of the logarithms over the starts, two-sided, with Holm's correction."""
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
    """The machines differ: rows without a baseline were not compared."""
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

    Rows are compared by their time relative to the baseline's in the same rounds: what two runs
    differ by as a whole is out of it, and a baseline itself is what the others are measured by.
    Rows without a baseline are compared by their times, on one machine alone. What is one and the
    same measurement is the same, whatever is wrong with it.

    A difference is significant if the 95 % interval of the ratio leaves out 1 and Welch's test over
    the starts, with Holm's correction for the number of rows, is below 5 %. The degrees of freedom
    are those of the run with fewer starts: runs that go on until an interval is narrow end a
    little more often when it is so by luck.

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
    elsewhere = _differ(before.machine, after.machine, SAME_MACHINE) != []
    first, second = _KeyedRows.of(before), _KeyedRows.of(after)
    ours, theirs = first.rows, second.rows
    shared = [key for key in ours if key in theirs]
    found = {key: _sides(key, first, second, elsewhere=elsewhere) for key in shared}
    p_values = holm({key: one.p_value for key, one in found.items() if isinstance(one, _Sides)})
    pairs = []
    for key in shared:
        one = found[key]
        pair = one if isinstance(one, RowPair) else one.pair(ours[key].subject, p_values[key])
        pairs.append(_completed(pair, ours[key], theirs[key], threshold))
    return ResultsComparison(
        threshold=threshold,
        relative=elsewhere,
        remarks=tuple(_remarks(before, after, elsewhere=elsewhere)),
        pairs=tuple(pairs),
        only_before=tuple(key for key in ours if key not in theirs),
        only_after=tuple(key for key in theirs if key not in ours),
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """Times of one row in both files: over the baseline's, or in ms."""

    before: Spread
    after: Spread
    relative: bool

    @property
    def freedom(self) -> float:
        return min(self.before.freedom, self.after.freedom)

    @property
    def change(self) -> float:
        """Logarithm of after over before."""
        return self.after.centre - self.before.centre

    @property
    def error(self) -> float:
        return hypot(self.before.error, self.after.error)

    @property
    def p_value(self) -> float:
        from scipy.special import stdtr

        if self.error == 0:
            return float(self.change == 0)
        return 2 * float(stdtr(self.freedom, -abs(self.change) / self.error))

    def pair(self, subject: Subject, p_value: float) -> RowPair:
        """The pair, by its p-value after correction."""
        reach = Spread(self.change, self.error, self.freedom).half_width
        low, high = exp(self.change - reach), exp(self.change + reach)
        verdict: Verdict = "same"
        if p_value < ALPHA and not low <= 1 <= high:
            verdict = "slower" if low > 1 else "faster"
        return RowPair(
            subject,
            verdict,
            relative=self.relative,
            before=self.before.value,
            after=self.after.value,
            ratio=exp(self.change),
            interval=(low, high),
            p_value=p_value,
        )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: below alpha where the step-down procedure rejects."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = least
    return adjusted


@dataclass(frozen=True, slots=True)
class _KeyedRows:
    """One file, by the keys of its rows."""

    settings: Mapping[str, Any]
    rows: Mapping[str, Row]
    to_baselines: Mapping[str, Spread]
    """Times over their baselines' in the same rounds, where those are there."""

    @classmethod
    def of(cls, results: Results) -> "_KeyedRows":
        rows = {row.subject.key: row for row in results.rows}
        return cls(results.settings, rows, _to_baselines(rows))


def _sides(key: str, before: _KeyedRows, after: _KeyedRows, *, elsewhere: bool) -> _Sides | RowPair:
    """Both sides of a row that is tested; or its pair, where there is nothing to test."""
    one, other = before.rows[key], after.rows[key]
    subject = one.subject
    if _measured(one) == _measured(other):
        return RowPair(subject, "same", "the same measurement, or none in either")
    for name, row in (("before", one), ("after", other)):
        if reason := _distrusted(row):
            return RowPair(subject, "not comparable", f"{name}: {reason}")
    if reason := _other_threads(before, after, one, other):
        return RowPair(subject, "not comparable", reason)
    if one.ratio is None or other.ratio is None:
        if elsewhere:
            return RowPair(subject, "not comparable", "different machines, and no baseline")
        return _timed(_time(one), _time(other), subject, relative=False)
    if one.ratio.baseline != other.ratio.baseline:
        return RowPair(subject, "not comparable", "different baselines")
    if one.ratio.baseline == key:
        return RowPair(subject, "same", "the baseline, by which the others are measured")
    return _timed(before.to_baselines.get(key), after.to_baselines.get(key), subject, relative=True)


def _measured(row: Row) -> Any:
    """Samples of a row: equal ones are one measurement."""
    return None if row.latency is None else row.latency.rounds_ms


def _timed(
    first: Spread | None, second: Spread | None, subject: Subject, *, relative: bool
) -> _Sides | RowPair:
    if first is None or second is None:
        reason = "a single round, or no baseline of the same rounds that can be trusted"
        return RowPair(subject, "not comparable", reason)
    return _Sides(first, second, relative)


def _time(row: Row) -> Spread | None:
    """Time of a row in ms; None of a single round."""
    if row.latency is None or len(row.latency.rounds_ms) < 2:
        return None
    return spread(round_medians(row.latency.rounds_ms), row.latency.starts)


def _to_baselines(rows: Mapping[str, Row]) -> dict[str, Spread]:
    """Times of rows over their baselines' in the same rounds, by key, where those are there."""
    tables: dict[str, dict[str, Latency]] = {}
    for key, row in rows.items():
        if row.ratio and row.latency and not _distrusted(row) and len(row.latency.rounds_ms) > 1:
            tables.setdefault(row.ratio.baseline, {})[key] = row.latency
    found: dict[str, Spread] = {}
    for baseline, latencies in tables.items():
        if baseline in latencies:
            found |= ratio_spreads(baseline, latencies)
    return {key: one.inverse for key, one in found.items()}


def _distrusted(row: Row) -> str:
    if row.latency is None:
        return f"failed: {row.error}" if row.error else "no times"
    # A wide interval is in the test; times of something else are in no test.
    if row.problems and row.word != "wide":
        return f"cannot be trusted: {'; '.join(row.problems)}"
    rounds = row.latency.rounds_ms
    if not rounds or not all(rounds):
        return "no samples"
    medians = round_medians(rounds)
    return "" if np.all(np.isfinite(medians) & (medians > 0)) else "times that are no numbers"


def _other_threads(before: _KeyedRows, after: _KeyedRows, one: Row, other: Row) -> str:
    for name, first, second in (
        ("threads", before.settings.get("threads"), after.settings.get("threads")),
        ("threads in the runtime", one.ran.get("threads"), other.ran.get("threads")),
    ):
        if first != second:
            return f"{name}: {first} before, {second} after"
    return ""


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
    if before.ran and after.ran:  # what failed ran nowhere, which is said already
        told = sorted({*before.ran, *after.ran} - NOT_TOLD)
        found += _differ(before.ran, after.ran, told)
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


def _remarks(before: Results, after: Results, *, elsewhere: bool) -> list[str]:
    found = [
        f"{change.what}: {change.before} before, {change.after} after"
        for change in [
            *_differ(before.machine, after.machine, sorted({*before.machine, *after.machine})),
            *_differ(before.versions, after.versions, sorted({*before.versions, *after.versions})),
        ]
    ]
    if elsewhere:
        found.insert(0, "different machines: rows without a baseline are not compared")
    for name, results in (("before", before), ("after", after)):
        if not results.complete:
            found.append(f"{name}: the run was interrupted and is not complete")
    return found

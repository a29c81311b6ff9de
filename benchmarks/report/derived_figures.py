"""Figures derived from results, for tables and plots alike: groups, ranks, shares."""

import math
from collections.abc import Sequence

from unifmir.benchmarks.measure.results import Peak, Results, Row
from unifmir.benchmarks.plan.subject import Subject
from unifmir.precision.element_types import Precision

SWEEP = "sweep-"
"""Start of the workloads that are sizes of a sweep."""


def groups(results: Results) -> dict[tuple[str, str], list[Row]]:
    """Rows by task and workload, each in the order in which they were measured."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in results.rows:
        found.setdefault((row.subject.task, row.subject.workload), []).append(row)
    return found


def input_shapes(rows: Sequence[Row]) -> str:
    """Shapes of the inputs of rows, each told once."""
    return " and ".join(dict.fromkeys("x".join(map(str, row.subject.input_shape)) for row in rows))


def device_elsewhere(subject: Subject) -> str:
    """Name of the device that a row is of; empty for the CPU, on which most are."""
    return "" if subject.device == "cpu" else subject.device


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows that can be trusted, fastest first, then the untrusted, then errors.

    By the ratio to the baseline where all have one and the same: what disturbed the machine in
    some rounds is out of it. Else by the median.
    """
    timed = [row for row in rows if row.latency is not None]
    baselines = {row.ratio.baseline if row.ratio else "" for row in timed}
    paired = len(baselines) == 1 and "" not in baselines

    def time(row: Row) -> float:
        return 1 / row.ratio.ratio if paired and row.ratio else _median(row)

    return sorted(rows, key=lambda row: (_state_order(row), time(row), row.subject.key))


def ranks(rows: Sequence[Row]) -> dict[str, int]:
    """The rank of every row that can be trusted, by its key.

    A row's rank is one more than the number of rows that are significantly faster than it, and
    never better than that of a row before it. So rows whose order is not significant
    share a rank, and the next rank counts all rows before it (1, 1, 3).

    One row is significantly faster than another if its whole 95 % interval lies on the fast side
    of the other's: of the ratio to the baseline where both have the same baseline (rounds were
    compared one by one, which takes the machine's drift out), else of the latency. Intervals
    that touch, or are not known, do not order.
    """
    trusted = [row for row in ordered(rows) if row.ranked]
    found: dict[str, int] = {}
    rank = 1
    for row in trusted:
        rank = max(rank, 1 + sum(_faster(other, row) for other in trusted))
        found[row.subject.key] = rank
    return found


def peak_of(row: Row, peaks: Sequence[Peak]) -> Peak | None:
    """Peak of the row's device in the row's arithmetic, if it was measured."""
    # Precisions such as fp16 are storage alone: their arithmetic is fp32.
    computed = Precision.parse(row.subject.precision).computed
    tf32 = computed == "fp32" and row.ran.get("tf32") is True
    names = ("tf32", computed) if tf32 else (computed,)
    here = {peak.precision: peak for peak in peaks if peak.device == row.subject.device}
    return next((here[name] for name in names if name in here), None)


def share_of_peak(row: Row, peaks: Sequence[Peak]) -> float | None:
    """Counted arithmetic per second over the peak's; None where either is unknown."""
    peak, reached = peak_of(row, peaks), row.gflops_per_s
    return None if peak is None or reached is None else reached / peak.gflops_per_s


def intensity(row: Row) -> float | None:
    """Arithmetic per byte of traffic, FLOP/byte; None where either was not counted."""
    flops, traffic = row.counts.get("flops"), row.counts.get("traffic_bytes")
    return float(flops) / float(traffic) if flops and traffic else None


def roof(peak: Peak, flop_per_byte: float) -> float:
    """Rate that the machine could reach at that arithmetic intensity, GFLOP/s."""
    return min(peak.gflops_per_s, flop_per_byte * peak.gbytes_per_s)


def share_of_roof(row: Row, peaks: Sequence[Peak]) -> float | None:
    """Counted arithmetic per second over what its intensity allows on this machine."""
    peak, reached, there = peak_of(row, peaks), row.gflops_per_s, intensity(row)
    return None if peak is None or reached is None or there is None else reached / roof(peak, there)


def _state_order(row: Row) -> int:
    if row.ranked:
        return 0
    return 2 if row.latency is None else 1


def _median(row: Row) -> float:
    return math.inf if math.isnan(row.median_ms) else row.median_ms


def _faster(one: Row, other: Row) -> bool:
    if one.latency is None or other.latency is None:
        return False
    if one.ratio and other.ratio and one.ratio.baseline == other.ratio.baseline:
        # A ratio says how many times as fast: larger is faster.
        return one.ratio.interval[0] > other.ratio.interval[1]
    return one.latency.interval_ms[1] < other.latency.interval_ms[0]

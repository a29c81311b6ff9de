"""Quality against latency: which model is worth its time."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.derived_figures import SWEEP, groups
from unifmir.benchmarks.report.plots.style import (
    colours,
    draw_tasks,
    how,
    logarithmic,
    marks,
    point,
    short,
)
from unifmir.benchmarks.report.tables.number_text import is_number
from unifmir.metrics import METRICS

RATED_BY = "psnr_db"
"""Metric on the upright axis."""
LEAST_SPAN_DB = 1.0
"""Least height of the axis: smaller differences should look small."""


def plot(results: Results) -> dict[str, Figure] | str:
    """A figure for each workload with a panel for each task."""
    found: dict[str, dict[str, list[Row]]] = {}
    for (task, workload), rows in groups(results).items():
        shown = [row for row in rows if _placed(row)]
        if shown and not workload.startswith(SWEEP):
            found.setdefault(workload, {})[task] = shown
    if not found:
        return "no row has both a latency and a PSNR"
    return {f"quality-{name}": _figure(name, tasks, results) for name, tasks in found.items()}


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other is both faster than and at least as good as, by latency.

    Rows that cannot be trusted are not on the front and take nobody off it.
    """
    front: list[Row] = []
    best = float("-inf")
    for row in sorted(
        (row for row in rows if row.ranked), key=lambda row: (row.median_ms, -_db(row))
    ):
        if _db(row) > best:
            front.append(row)
            best = _db(row)
    return front


def _figure(workload: str, tasks: dict[str, list[Row]], results: Results) -> Figure:
    return draw_tasks(
        tasks,
        results,
        f"Quality against latency, workload {workload}",
        note="Line: Pareto front; its members are named. Bars: 95 % interval of the median.",
        untrusted="hollow, not on the front",
        panel=lambda axes, rows: _panel(axes, rows, results),
        labels=lambda rows: [(row.median_ms, _db(row), _name(row)) for row in pareto(rows)],
    )


def _panel(axes: Axes, rows: Sequence[Row], results: Results) -> None:
    colour, mark = colours(results), marks(results)
    logarithmic(axes, "x")
    axes.set(xlabel="latency, ms", ylabel=METRICS[RATED_BY].heading)
    front = pareto(rows)
    steps = [(front[0].median_ms, _db(front[0]))] if front else []
    for before, after in pairwise(front):
        steps += [(after.median_ms, _db(before)), (after.median_ms, _db(after))]
    axes.plot([x for x, _ in steps], [y for _, y in steps], color="#8a8a8a", lw=1.2, zorder=2)
    for row in rows:
        shade = colour[row.subject.model]
        if row.latency is not None and all(map(is_number, row.latency.interval_ms)):
            axes.plot(row.latency.interval_ms, [_db(row)] * 2, color=shade, lw=1.4, zorder=2.5)
        point(axes, row.median_ms, _db(row), row, shade, mark[how(row)])
    # Room for labels: they stand beside points that may lie at the edge.
    axes.margins(x=0.28, y=0.22)
    low, high = axes.get_ylim()
    # Runtimes differ in the seventh digit: that is no difference in quality.
    missing = max(0.0, LEAST_SPAN_DB - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)


def _name(row: Row) -> str:
    return f"{short(row.subject.model)}\n{how(row)}"


def _placed(row: Row) -> bool:
    return row.quality is not None and is_number(row.quality[RATED_BY]) and row.median_ms > 0


def _db(row: Row) -> float:
    return round(float(row.quality[RATED_BY]), 2) if row.quality is not None else float("nan")

"""Quality against latency: which model is worth its time."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.derived_figures import SWEEP, groups
from unifmir.benchmarks.report.plots.style import (
    colours,
    entries,
    finish,
    how,
    label_points,
    marks,
    panels,
    point,
    short,
    untrusted_note,
    write_out,
)
from unifmir.benchmarks.report.tables.number_text import is_number

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
    for row in sorted((row for row in rows if row.ranked), key=lambda row: (_ms(row), -_db(row))):
        if _db(row) > best:
            front.append(row)
            best = _db(row)
    return front


def _figure(workload: str, tasks: dict[str, list[Row]], results: Results) -> Figure:
    figure, axes = panels(len(tasks))
    everything = [row for rows in tasks.values() for row in rows]
    for panel, (task, rows) in zip(axes, tasks.items(), strict=True):
        _panel(panel, task, rows, results)
    notes = untrusted_note(everything, "hollow, not on the front")
    notes.insert(0, "Line: Pareto front; its members are named. Bars: 95 % interval of the median.")
    key = entries(everything, colours(results), marks(results))
    title = f"Quality against latency, workload {workload}"
    finish(figure, title, results, notes=notes, entries=key)
    for panel, rows in zip(axes, tasks.values(), strict=True):
        label_points(panel, [(_ms(row), _db(row), _name(row)) for row in pareto(rows)])
    return figure


def _panel(axes: Axes, task: str, rows: Sequence[Row], results: Results) -> None:
    colour, mark = colours(results), marks(results)
    axes.set_xscale("log")
    write_out(axes.xaxis)
    axes.set_title(task)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("PSNR, dB")
    front = pareto(rows)
    steps = [(_ms(front[0]), _db(front[0]))] if front else []
    for before, after in pairwise(front):
        steps += [(_ms(after), _db(before)), (_ms(after), _db(after))]
    axes.plot([x for x, _ in steps], [y for _, y in steps], color="#8a8a8a", lw=1.2, zorder=2)
    for row in rows:
        shade = colour[row.subject.model]
        if row.latency is not None and all(map(is_number, row.latency.interval_ms)):
            axes.plot(row.latency.interval_ms, [_db(row)] * 2, color=shade, lw=1.4, zorder=2.5)
        point(axes, _ms(row), _db(row), row, shade, mark[how(row)])
    # Room for labels: they stand beside points that may lie at the edge.
    axes.margins(x=0.28, y=0.22)
    low, high = axes.get_ylim()
    # Runtimes differ in the seventh digit: that is no difference in quality.
    missing = max(0.0, LEAST_SPAN_DB - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)


def _name(row: Row) -> str:
    return f"{short(row.subject.model)}\n{how(row)}"


def _placed(row: Row) -> bool:
    if row.latency is None or row.quality is None:
        return False
    return is_number(row.quality.psnr_db) and row.latency.median_ms > 0


def _ms(row: Row) -> float:
    return row.latency.median_ms if row.latency is not None else float("nan")


def _db(row: Row) -> float:
    return round(row.quality.psnr_db, 2) if row.quality is not None else float("nan")

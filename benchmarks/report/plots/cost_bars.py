"""Cost of each model as bars: time beside parameters and arithmetic."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.derived_figures import SWEEP, groups, ordered
from unifmir.benchmarks.report.plots.style import (
    colours,
    finish,
    how,
    logarithmic,
    short,
    untrusted_note,
)
from unifmir.benchmarks.report.tables.number_text import is_number, significant
from unifmir.benchmarks.report.tables.result_tables import UNTRUSTED

HATCH = "////"
"""Hatching of a bar whose row cannot be trusted."""
_BAR_INCHES = 0.25


def plot(results: Results) -> dict[str, Figure] | str:
    """A figure for each workload: a line of panels for each task, a bar for each row."""
    found: dict[str, dict[str, list[Row]]] = {}
    for (task, workload), rows in groups(results).items():
        if not workload.startswith(SWEEP) and any(row.latency is not None for row in rows):
            found.setdefault(workload, {})[task] = ordered(rows)
    if not found:
        return "no row has a latency, but for sweeps"
    return {f"cost-{name}": _figure(name, tasks, results) for name, tasks in found.items()}


_COLUMNS: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("latency, ms", lambda row: row.median_ms),
    ("parameters, M", lambda row: _per(row.counts.get("parameters"), 1e6)),
    ("arithmetic, GFLOP", lambda row: _per(row.counts.get("flops"), 1e9)),
)


def _figure(workload: str, tasks: dict[str, list[Row]], results: Results) -> Figure:
    bars = [len(rows) for rows in tasks.values()]
    height = _BAR_INCHES * sum(bars) + 0.55 * len(tasks) + 0.2
    figure = Figure(figsize=(12.0, height), layout="constrained")
    # The gaps beside titles and axes are the same for few bars and many.
    grid = figure.add_gridspec(len(tasks), 3, height_ratios=bars, width_ratios=(1.5, 1, 1))
    everything = [row for rows in tasks.values() for row in rows]
    columns: list[list[Axes]] = [[], [], []]
    for line, (task, rows) in enumerate(tasks.items()):
        for column, (title, value) in enumerate(_COLUMNS):
            axes = figure.add_subplot(grid[line, column])
            _panel(axes, rows, value, colours(results), timed=column == 0)
            axes.set_title(task if column == 0 else "")
            axes.set_xlabel(title if line == len(tasks) - 1 else "")
            columns[column].append(axes)
    for same in columns:
        _share_scale(same)
    notes = [
        "Logarithmic axes; bars by latency. Black: 95 % interval of the median.",
        *untrusted_note(everything, "hatched"),
    ]
    models = dict.fromkeys(row.subject.model for row in everything)
    key = [Patch(color=colours(results)[name], label=short(name)) for name in models]
    finish(figure, f"Cost per task, workload {workload}", results, notes=notes, entries=key)
    return figure


def _panel(
    axes: Axes,
    rows: Sequence[Row],
    value: Callable[[Row], float | None],
    colour: dict[str, str],
    *,
    timed: bool,
) -> None:
    logarithmic(axes, "x")
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    names = [f"{short(row.subject.model)}  {how(row)}" for row in rows]
    axes.set_yticks(range(len(rows)), names if timed else [""] * len(rows))
    axes.tick_params(axis="y", length=0)
    for place, row in enumerate(rows):
        found = value(row)
        if found is None or not is_number(found) or found <= 0:
            text = f" {'error' if timed and row.error else 'not known'}"
            axes.text(0, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
            continue
        _bar(axes, place, found, row, colour[row.subject.model], timed=timed)


def _bar(axes: Axes, place: int, length: float, row: Row, colour: str, *, timed: bool) -> None:
    doubtful = timed and not row.ranked
    axes.barh(
        place, length, height=0.72, facecolor="white" if doubtful else colour, edgecolor=colour,
        hatch=HATCH if doubtful else None,
    )  # fmt: skip
    right = length
    if timed and row.latency is not None and all(map(is_number, row.latency.interval_ms)):
        low, high = row.latency.interval_ms
        axes.plot([low, high], [place, place], color="black", lw=1.0)
        right = max(high, length)
    mark = f" {UNTRUSTED}" if doubtful else ""
    axes.annotate(
        f"{significant(length)}{mark}", (right, place), xytext=(3, 0), textcoords="offset points",
        va="center", fontsize=8,
    )  # fmt: skip


def _share_scale(columns: Sequence[Axes]) -> None:
    """Set the same axis for all tasks, with room for the numbers right of the bars."""
    lengths = [
        bar.get_width() for axes in columns for bar in axes.patches if hasattr(bar, "get_width")
    ]
    if not lengths:
        return
    low, high = min(lengths) / 2, max(lengths)
    for axes in columns:
        axes.set_xlim(low, high * (high / low) ** 0.16)


def _per(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit

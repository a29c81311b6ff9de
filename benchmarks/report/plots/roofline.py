"""How far from the machine's measured peak each model is (Williams, Waterman, Patterson 2009)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unifmir.benchmarks.measure.results import Peak, Results, Row
from unifmir.benchmarks.report.derived_figures import (
    SWEEP,
    groups,
    intensity,
    peak_of,
    roof,
    share_of_roof,
)
from unifmir.benchmarks.report.plots.style import (
    GREY,
    colours,
    draw_tasks,
    how,
    logarithmic,
    marks,
    point,
)
from unifmir.benchmarks.report.tables.number_text import percent

APART = 0.8
"""Slowest over fastest way of running a model, from which on both are labelled."""


def plot(results: Results) -> dict[str, Figure] | str:
    """A figure for each device and workload with a panel for each task."""
    found: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for (task, workload), rows in groups(results).items():
        for row in rows:
            if not workload.startswith(SWEEP) and share_of_roof(row, results.peaks) is not None:
                tasks = found.setdefault((row.subject.device, workload), {})
                tasks.setdefault(task, []).append(row)
    if not results.peaks:
        return "the machine's peak was not measured"
    if not found:
        return "no row has a latency, counted arithmetic, counted traffic and a measured peak"
    return {
        f"roofline-{device.replace(':', '')}-{workload}": _figure(device, workload, tasks, results)
        for (device, workload), tasks in found.items()
    }


def _figure(device: str, workload: str, tasks: dict[str, list[Row]], results: Results) -> Figure:
    used = {peak_of(row, results.peaks) for rows in tasks.values() for row in rows}
    peaks = [peak for peak in results.peaks if peak in used]
    told = "; ".join(
        f"{peak.precision} {peak.gflops_per_s:.0f} GFLOP/s, {peak.gbytes_per_s:.0f} GB/s"
        for peak in peaks
    )
    return draw_tasks(
        tasks,
        results,
        f"Roofline of {device}, workload {workload}",
        note=f"Measured roof: {told}. Beside the points: share of the roof above them, "
        "of each model's fastest and slowest way. "
        "Arithmetic and traffic are counted, not measured.",
        untrusted="hollow",
        panel=lambda axes, rows: _panel(axes, rows, peaks, results),
        labels=lambda rows: [(*_place(row), _label(row, results)) for row in _labelled(rows)],
    )


def _panel(axes: Axes, rows: Sequence[Row], peaks: Sequence[Peak], results: Results) -> None:
    colour, mark = colours(results), marks(results)
    logarithmic(axes, "x", "y")
    axes.set(xlabel="arithmetic intensity, FLOP/byte", ylabel="GFLOP/s")
    places = [_place(row) for row in rows]
    ridges = [peak.gflops_per_s / peak.gbytes_per_s for peak in peaks]
    low = min(*(x for x, _ in places), *ridges) / 3
    high = max(*(x for x, _ in places), *ridges) * 4
    for peak, style in zip(peaks, ("-", "--", "-.", ":") * len(peaks), strict=False):
        x = np.array([low, peak.gflops_per_s / peak.gbytes_per_s, high])
        y = [roof(peak, value) for value in x]
        axes.plot(x, y, color=GREY, lw=1.6, ls=style, zorder=1)
        axes.annotate(
            f"{peak.precision} peak", (high, y[-1]), xytext=(-3, 3), textcoords="offset points",
            ha="right", va="bottom", fontsize=8, color=GREY,
        )  # fmt: skip
    for row, (x_of, y_of) in zip(rows, places, strict=True):
        point(axes, x_of, y_of, row, colour[row.subject.model], mark[how(row)])
    axes.set_xlim(low, high)
    top = max(peak.gflops_per_s for peak in peaks)
    floor = min(*(y for _, y in places), *(roof(peak, low) for peak in peaks))
    axes.set_ylim(floor / 2.5, top * 2.5)


def _labelled(rows: Sequence[Row]) -> list[Row]:
    """The fastest row of each model, and the slowest where it is clearly slower."""
    chosen = []
    for model in dict.fromkeys(row.subject.model for row in rows):
        own = sorted(
            (row for row in rows if row.subject.model == model),
            key=lambda row: row.gflops_per_s or 0.0,
        )
        slow, fast = own[0], own[-1]
        clearly = (slow.gflops_per_s or 0.0) < APART * (fast.gflops_per_s or 0.0)
        chosen += [fast, slow] if clearly else [fast]
    return chosen


def _place(row: Row) -> tuple[float, float]:
    return intensity(row) or float("nan"), row.gflops_per_s or float("nan")


def _label(row: Row, results: Results) -> str:
    return f"{percent(share_of_roof(row, results.peaks))} %"

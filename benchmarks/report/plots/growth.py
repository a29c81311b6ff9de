"""How latency grows with the number of pixels."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.measure.statistics import PowerLaw, power_law
from unifmir.benchmarks.report.derived_figures import SWEEP
from unifmir.benchmarks.report.plots.style import (
    colours,
    finish,
    how,
    logarithmic,
    marks,
    panels,
    point,
    short,
    untrusted_note,
)
from unifmir.benchmarks.report.tables.number_text import with_interval


def plot(results: Results) -> dict[str, Figure] | str:
    """One figure with a panel for each task, a line for each model and way of running it."""
    found: dict[str, dict[tuple[str, str], list[Row]]] = {}
    for row in results.rows:
        if row.subject.workload.startswith(SWEEP) and row.median_ms > 0:
            lines = found.setdefault(row.subject.task, {})
            lines.setdefault((row.subject.model, how(row)), []).append(row)
    found = {
        task: {who: rows for who, rows in lines.items() if len(_sizes(rows)) > 1}
        for task, lines in found.items()
    }
    found = {task: lines for task, lines in found.items() if lines}
    return (
        {"growth": _figure(found, results)} if found else "no model was timed on a sweep of sizes"
    )


def _figure(tasks: dict[str, dict[tuple[str, str], list[Row]]], results: Results) -> Figure:
    most = max(map(len, tasks.values()))
    figure, axes = panels(len(tasks), width=4.6, height=3.1 + 0.2 * most)
    for panel, (task, lines) in zip(axes, tasks.items(), strict=True):
        _panel(panel, task, lines, results)
    everything = [row for lines in tasks.values() for rows in lines.values() for row in rows]
    notes = [
        "Lines: least squares on the logarithms; in the legend the exponent and its 95 % interval.",
        *untrusted_note(everything, "hollow, not fitted"),
    ]
    finish(figure, "Growth of latency with the number of pixels", results, notes=notes)
    return figure


def _panel(
    axes: Axes, task: str, lines: dict[tuple[str, str], list[Row]], results: Results
) -> None:
    colour, mark = colours(results), marks(results)
    logarithmic(axes, "x", "y")
    axes.set(title=task, xlabel="pixels", ylabel="latency, ms")
    entries = []
    for (model, way), rows in lines.items():
        trusted = [row for row in rows if row.ranked]
        law = growth(rows)
        shade, sign = colour[model], mark[way]
        if law is not None:
            ends = [min(_sizes(trusted)), max(_sizes(trusted))]
            line = [law.factor * pixels**law.exponent for pixels in ends]
            axes.plot(ends, line, color=shade, lw=1.2)
        for row in rows:
            point(axes, row.subject.pixels, row.median_ms, row, shade, sign)
        label = f"{short(model)}, {way}: {_told(law)}"
        face = shade if trusted else "white"
        entries.append(Line2D([], [], color=shade, marker=sign, mfc=face, lw=1.2, label=label))
    axes.legend(
        handles=entries, loc="upper left", bbox_to_anchor=(-0.12, -0.2), fontsize=8,
        handlelength=1.6, borderaxespad=0,
    )  # fmt: skip


def growth(rows: Sequence[Row]) -> PowerLaw | None:
    """The power law of the rows that can be trusted; None for fewer than three sizes."""
    trusted = [row for row in rows if row.ranked]
    if len(_sizes(trusted)) < 3:
        return None
    pixels = [float(row.subject.pixels) for row in trusted]
    return power_law(pixels, [row.median_ms for row in trusted])


def _told(law: PowerLaw | None) -> str:
    return "not fitted" if law is None else with_interval(law.exponent, law.interval)


def _sizes(rows: Sequence[Row]) -> set[int]:
    return {row.subject.pixels for row in rows}

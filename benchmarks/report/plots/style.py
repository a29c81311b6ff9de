"""How all plots look: colours and marks of models and runtimes, panels, titles, labels."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from textwrap import wrap
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogFormatterMathtext
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.derived_figures import device_elsewhere
from unifmir.benchmarks.report.tables.result_tables import UNTRUSTED
from unifmir.benchmarks.report.tables.summary_table import word_notes
from unifmir.text_tables import printable

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same text on every machine
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.markersize": 7.0,
    "hatch.linewidth": 0.8,
    "text.parse_math": False,  # a file's name may hold dollars
    "svg.hashsalt": "unifmir",
    # Text stays text in an SVG: it can be searched and is small.
    "svg.fonttype": "none",
}
GREY = "#5f5f5f"
_LONG = 30
"""Characters of a model's name that a plot has room for."""
_LINE = 0.155
"""Height of a line of notes. Inches."""
_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
    *("#882255", "#8c8c8c", "#999933", "#332288"),
)
"""Okabe and Ito (2008): told apart also with the usual colour deficiencies; without its yellow,
which is too faint on white. Then four of Tol's (2021), for more than seven models."""
_MOST_COLUMNS = 3
"""Panels beside each other."""
_MARKS = "osD^vPX<>"
_SIZES = (9.5, 7.5, 5.2, 8.0, 6.5)
"""Size of the marks. Points."""
_ANGLES = (0, 8, 2, 6, 14, 10, 4, 12, 1, 15, 7, 9, 3, 13, 5, 11)
_OFFSETS = tuple(
    (radius * math.cos(angle * math.pi / 8), radius * math.sin(angle * math.pi / 8))
    for radius in (11, 18, 27, 38, 52, 70, 90)
    for angle in _ANGLES
)
"""Places of a label beside its point, best first. Points (1/72 inch)."""

Look = dict[str, str]
"""Colour of each model, or mark of each runtime and precision."""


def styled() -> AbstractContextManager[None]:
    """`STYLE` while figures are made and saved."""
    # matplotlib types the keys as literals, one by one.
    return rc_context(STYLE)  # type: ignore[arg-type]


def how(row: Row) -> str:
    """Runtime and precision, and the device if it is not the CPU."""
    subject = row.subject
    return f"{subject.runtime} {subject.precision} {device_elsewhere(subject)}".rstrip()


def short(name: str) -> str:
    """A name of a model or file, its middle left out where it is long."""
    # matplotlib leaves a name that begins with an underscore out of legends.
    name = printable(name if not name.startswith("_") else f"~{name}")
    # Every checkpoint ends so.
    name = name.removesuffix(".safetensors")
    return name if len(name) <= _LONG else f"{name[: _LONG // 2]}…{name[-(_LONG // 2) + 1 :]}"


def colours(results: Results) -> Look:
    """A colour for each model: the same in all plots of the results."""
    return _assigned((row.subject.model for row in results.rows), _COLOURS)


def marks(results: Results) -> Look:
    """A mark for each runtime, precision and device."""
    return _assigned(map(how, results.rows), _MARKS)


def panels(count: int, *, width: float = 4.2, height: float = 3.3) -> tuple[Figure, list[Axes]]:
    """A figure with so many axes in a grid; sizes in inches per panel."""
    columns = min(count, _MOST_COLUMNS)
    lines = math.ceil(count / columns)
    figure = Figure(figsize=(max(width * columns, 6.4), height * lines), layout="constrained")
    grid = figure.add_gridspec(lines, columns)
    return figure, [figure.add_subplot(grid[i // columns, i % columns]) for i in range(count)]


def draw_tasks(
    tasks: Mapping[str, Sequence[Row]],
    results: Results,
    title: str,
    *,
    note: str,
    untrusted: str,
    panel: Callable[[Axes, Sequence[Row]], None],
    labels: Callable[[Sequence[Row]], Sequence[tuple[float, float, str]]],
) -> Figure:
    """A figure with a panel for each task, one legend, and labels beside points.

    Parameters
    ----------
    tasks : mapping
        Task -> rows.
    results : Results
    title, note : str
    untrusted : str
        What marks rows whose times cannot be trusted.
    panel : callable
        Draws the rows of a task.
    labels : callable
        Places and texts of the labels for the rows of a task.
    """
    figure, axes = panels(len(tasks))
    everything = [row for rows in tasks.values() for row in rows]
    for one, (task, rows) in zip(axes, tasks.items(), strict=True):
        one.set_title(task)
        panel(one, rows)
    notes = [note, *untrusted_note(everything, untrusted)]
    key = entries(everything, colours(results), marks(results))
    finish(figure, title, results, notes=notes, entries=key)
    for one, rows in zip(axes, tasks.values(), strict=True):
        label_points(one, labels(rows))
    return figure


def finish(
    figure: Figure,
    title: str,
    results: Results,
    *,
    notes: Sequence[str] = (),
    entries: Sequence[Artist] = (),
) -> None:
    """Write title, legend and notes into strips of their own, and fix the layout.

    The figure grows by the strips: the machine under the title, a legend of all panels with
    `entries` below them, and at the bottom `notes` and where the numbers come from.
    """
    width = figure.get_figwidth()
    told = _filled([*notes, _origin(results)], width / 0.072)
    where = _filled([_machine(results)], width / 0.082)
    widest = max((len(str(entry.get_label())) for entry in entries), default=1)
    lines = math.ceil(len(entries) / max(1, int(width / (0.62 + 0.078 * widest))))
    foot, key = _LINE * len(told) + 0.1, (0.18 * lines + 0.14) * bool(entries)
    top = 0.34 + _LINE * len(where) + 0.1
    height = figure.get_figheight() + top + key + foot
    figure.set_figheight(height)
    left = 0.12 / width
    figure.text(left, 1 - 0.1 / height, title, va="top", fontsize=12, fontweight="bold")
    figure.text(left, 1 - 0.36 / height, "\n".join(where), va="top", color=GREY)
    figure.text(left, 0.06 / height, "\n".join(told), va="bottom", fontsize=8, color=GREY)
    if entries:
        figure.legend(
            handles=list(entries), loc="lower left", bbox_to_anchor=(0.06 / width, foot / height),
            ncols=math.ceil(len(entries) / lines), borderaxespad=0,
        )  # fmt: skip
    _settle(figure, (foot + key) / height, top / height)


def _settle(figure: Figure, below: float, above: float) -> None:
    """Lay the axes out between two strips, given as parts of the height, and keep them there."""
    figure.set_layout_engine("constrained", rect=(0.005, below, 0.99, 1 - below - above))
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    # Labels are placed on this layout: nothing may move from here on.
    figure.set_layout_engine("none")


def untrusted_note(rows: Iterable[Row], shown_as: str) -> list[str]:
    """Notes on rows whose times cannot be trusted, each with its own figure, if any is shown."""
    doubtful = [row for row in rows if row.problems and row.latency is not None]
    if not doubtful:
        return []
    return [f"{UNTRUSTED} {shown_as}: times that cannot be trusted", *word_notes(doubtful)]


def entries(rows: Sequence[Row], colour: Look, mark: Look) -> list[Line2D]:
    """Legend entries: a disc for each model, a grey mark for each way of running it."""
    models = dict.fromkeys(row.subject.model for row in rows)
    named = {name: short(name) for name in models}
    ways = dict.fromkeys(map(how, rows))
    return [
        *(
            Line2D([], [], ls="", marker="o", color=colour[name], label=named[name])
            for name in models
        ),
        *(Line2D([], [], ls="", marker=mark[name], color=GREY, label=name) for name in ways),
    ]


def point(axes: Axes, x: float, y: float, row: Row, colour: str, mark: str) -> None:
    """A row as a point: hollow if its times cannot be trusted.

    Each kind of mark has a size of its own and the large ones lie below, so that the ways of
    running one model stay visible where they cost the same.
    """
    size = _SIZES[_MARKS.index(mark) % len(_SIZES)]
    # A white rim keeps points apart that lie on each other.
    face, edge = (colour, "white") if row.ranked else ("white", colour)
    axes.plot(
        [x], [y], ls="", marker=mark, ms=size, mfc=face, mec=edge,
        mew=1.4 if face == "white" else 0.7,
        zorder=4 - size / 20, clip_on=False,
    )  # fmt: skip


def logarithmic(axes: Axes, *names: Literal["x", "y"]) -> None:
    """Logarithmic axes with their numbers written out: 0.1, 20, 1000."""
    for name in names:
        axes.set(**{f"{name}scale": "log"})
        axis: Axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(_Plain())
        axis.set_minor_formatter(_Plain())


class _Plain(LogFormatterMathtext):
    """Labels where matplotlib would set powers of ten, and over two decades at 2 and 5 as well."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        shown = bool(super().__call__(x, pos))
        low, high = sorted(self.axis.get_view_interval()) if self.axis else (0.0, 0.0)
        if low > 0 and 1 < math.log10(high / low) <= 2:
            shown = round(x / 10 ** math.floor(math.log10(x) + 1e-9)) in (1, 2, 5)
        return f"{x:.10g}" if shown else ""


def label_points(axes: Axes, labels: Sequence[tuple[float, float, str]]) -> list[Annotation]:
    """Write text beside points so that no text lies on another, on a mark, on a line or outside.

    Each label goes to the first free place around its point, nearest first, with a thin line to
    the point; the place with the least overlap is taken if none is free. After `finish`.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes without a figure")
    renderer: RendererAgg = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    inside = axes.get_window_extent()
    taken = [box for line in axes.lines for box in _boxes(line)]
    taken += [Text.get_window_extent(text, renderer) for text in axes.texts]
    texts: list[Bbox] = []
    written = []
    for x, y, text in labels:
        label = axes.annotate(
            text, (x, y), xytext=(0, 0), textcoords="offset points", va="center", fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "#9a9a9a", "lw": 0.6, "shrinkB": 4},
        )  # fmt: skip
        label.update_positions(renderer)
        # The extent of the text alone: an annotation's own also holds its line.
        size = Text.get_window_extent(label, renderer).padded(1.5)
        start = axes.transData.transform((x, y))
        best, box = _free_place(start, size, figure.dpi / 72, taken, texts, inside)
        label.set_position(best)
        label.set_horizontalalignment(_side(best))
        texts.append(box)
        written.append(label)
    return written


def _free_place(
    start: NDArray[np.float64],
    size: Bbox,
    scale: float,
    taken: Sequence[Bbox],
    texts: Sequence[Bbox],
    inside: Bbox,
) -> tuple[tuple[float, float], Bbox]:
    """The offset with the least clash, and the box of the text there; `scale` is pixels a point."""
    found = []
    for offset in _OFFSETS:
        reach = np.asarray(offset) * scale
        box = _beside(start + reach, size, _side(offset))
        line = [_square(start + reach * part, 4) for part in (0.3, 0.5, 0.7, 0.9)]
        found.append((_clash(box, [*taken, *texts], inside) + _crossed(line, texts), offset, box))
    _, best, box = min(found, key=lambda place: place[0])
    return best, box


def _side(offset: tuple[float, float]) -> Literal["left", "center", "right"]:
    """Which side of a text stands at its offset: the one towards the point."""
    if abs(offset[0]) < 1e-6:
        return "center"
    return "left" if offset[0] > 0 else "right"


def _beside(at: NDArray[np.float64], size: Bbox, side: str) -> Bbox:
    left = at[0] - size.width * {"left": 0.0, "center": 0.5, "right": 1.0}[side]
    return Bbox.from_bounds(left, at[1] - size.height / 2, size.width, size.height)


def _clash(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Area in square pixels that a box shares with others or has outside."""
    area: float = box.width * box.height - _shared(box, inside)
    return round(area + sum(_shared(box, other) for other in taken), 3)


def _crossed(line: Sequence[Bbox], texts: Sequence[Bbox]) -> float:
    """How much a line to a label crosses the other labels: worse than labels that touch."""
    return 10 * sum(_shared(square, text) for square in line for text in texts)


def _shared(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0.0) * max(height, 0.0))


def _boxes(line: Line2D) -> list[Bbox]:
    """Boxes that a line covers, in pixels: a square at each mark, small ones along the rest."""
    x, y = line.get_data()
    places = line.get_transform().transform(np.column_stack([x, y]))
    if line.get_marker() not in ("None", "", None):
        return [_square(at, 12) for at in places]
    found = []
    for start, end in pairwise(places):
        steps = int(np.hypot(*(end - start)) / 5) + 1
        found += [_square(start + (end - start) * i / steps, 3) for i in range(steps + 1)]
    return found


def _square(centre: NDArray[np.float64], side: float) -> Bbox:
    return Bbox.from_bounds(centre[0] - side / 2, centre[1] - side / 2, side, side)


def _machine(results: Results) -> str:
    machine = results.machine
    where = [str(machine[name]) for name in ("processor", "gpu") if machine.get(name)]
    if machine.get("cores"):
        where.append(f"{machine['cores']} cores")
    if results.settings.get("threads") is not None:
        where.append(f"threads {results.settings['threads']}")
    return ", ".join(where) or "unknown machine"


def _origin(results: Results) -> str:
    commit = f", commit {results.commit}" if results.commit else ""
    state = "" if results.complete else "; INCOMPLETE: the run was interrupted"
    return f"{results.created}{commit}{state}"


def _filled(lines: Sequence[str], letters: float) -> list[str]:
    return [part for line in lines for part in wrap(line, int(letters))]


def _assigned(names: Iterable[str], values: Sequence[str]) -> Look:
    known = list(dict.fromkeys(names))
    return {name: values[i % len(values)] for i, name in enumerate(known)}

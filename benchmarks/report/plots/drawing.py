"""The plots, and how they become files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unifmir.atomic import writing
from unifmir.benchmarks.measure.results import Results
from unifmir.errors import MissingExtraError
from unifmir.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Plot = Callable[[Results], "dict[str, Figure] | str"]
"""Figures by the stem of their file, or why there is none."""

PLOTS: Registry[Plot] = Registry(
    "plot",
    [
        ("quality", "unifmir.benchmarks.report.plots.pareto:plot"),
        ("cost", "unifmir.benchmarks.report.plots.cost_bars:plot"),
        ("growth", "unifmir.benchmarks.report.plots.growth:plot"),
        ("roofline", "unifmir.benchmarks.report.plots.roofline:plot"),
    ],
)
DPI = 160


@dataclass(frozen=True, slots=True)
class Drawn:
    """Files that `draw` wrote, and the plots that lack data."""

    paths: tuple[Path, ...]
    skipped: Mapping[str, str]
    """Plot name to the reason: which data is missing."""


def draw(
    results: Results,
    folder: Path,
    *,
    plots: Sequence[str] | None = None,
    suffixes: Sequence[str] = (".png", ".svg"),
) -> Drawn:
    """Draw what the results have data for.

    Parameters
    ----------
    results : Results
    folder : Path
        Made if missing; files of the same names are replaced.
    plots : sequence of str or None
        Names in `PLOTS`; all of them by default.
    suffixes : sequence of str
        A file for each: `.png`, `.svg` or `.pdf`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    drawn, skipped = figures(results, plots=plots)
    paths = []
    for stem, figure in drawn.items():
        for suffix in suffixes:
            path = folder / f"{stem}{suffix}"
            _save(figure, path)
            paths.append(path)
    return Drawn(tuple(paths), skipped)


def figures(
    results: Results, *, plots: Sequence[str] | None = None
) -> tuple["dict[str, Figure]", dict[str, str]]:
    """The figures by the stem of their file, and the plots without data with the reason."""
    _require_matplotlib()
    from unifmir.benchmarks.report.plots.style import styled

    drawn: dict[str, Figure] = {}
    skipped: dict[str, str] = {}
    for name in PLOTS if plots is None else plots:
        with styled():
            made = PLOTS[name](results)
        if isinstance(made, str):
            skipped[name] = made
        else:
            drawn |= made
    return drawn, skipped


def _save(figure: "Figure", path: Path) -> None:
    from unifmir.benchmarks.report.plots.style import styled

    # Without a date, and with the same ids: the same results give the same file.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    with styled(), writing(path) as aside:
        figure.savefig(aside, dpi=DPI, metadata=metadata)


def _require_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise MissingExtraError(
            'plots need matplotlib, which is not installed: pip install "unifmir[benchmark]"'
        )

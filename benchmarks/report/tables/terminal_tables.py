"""Tables on a terminal: lines, colours, and folded to its width."""

from collections.abc import Sequence
from io import StringIO
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as Lines
from rich.text import Text

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.tables.result_tables import ResultTable, footer, tables
from unifmir.benchmarks.report.tables.summary_table import summary_lines
from unifmir.shown_text import shown

_STYLES = {
    "title": "bold",
    "head": "bold",
    "own": "green",
    "other": "",
    "doubtful": "yellow",
    "note": "dim",
}
"""Styles of the lines of a summary, by their kind."""
_NAMES = ("model", "images")
"""Columns that fold first on a narrow terminal, because their words may be long."""
_NAME_WIDTH = 12


def terminal(
    results: Results,
    *,
    views: Sequence[str] = (),
    width: int,
    colour: bool,
) -> str:
    """Results for a terminal: lines, and colours if it shows them; cells fold to its width.

    Without a view it is one table a task, whose cells do not fold.

    Parameters
    ----------
    results : Results
    views
        As for `rendered`.
    width : int
        Characters in a line.
    colour : bool
        Whether to write escape codes: only for a terminal, and not under NO_COLOR.
    """
    written = StringIO()
    console = Console(
        file=written,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
    )
    if not views:
        for line, kind in summary_lines(results, width=width):
            console.print(Text(shown(line), style=_STYLES[kind]), soft_wrap=True)
        return written.getvalue().rstrip("\n")
    for view in views:
        for table in tables(results, view):
            console.print(_rich(table, width))
            for line in table.notes:
                console.print(Text(shown(line), style="dim"))
            console.print()
    console.print(Text(shown(footer(results)), style="dim"))
    # Cells are filled up to their column's width, so many lines end in spaces.
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _rich(table: ResultTable, width: int) -> Lines:
    padding, folds = _fitted(table, width)
    lines = Lines(
        title=Text(shown(table.title), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, padding, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
    for title, words, fold in zip(table.columns, table.words, folds, strict=True):
        side: Literal["left", "right"] = "left" if words else "right"
        lines.add_column(Text(shown(title)), justify=side, overflow="fold", no_wrap=not fold)
    for row, doubtful in zip(table.rows, table.doubtful, strict=True):
        style = "yellow" if doubtful else ("green" if row[0].rstrip("=") == "1" else "")
        # Text: a string's brackets would be read as markup.
        lines.add_row(*(Text(shown(cell)) for cell in row), style=style)
    return lines


def _fitted(table: ResultTable, width: int) -> tuple[int, list[bool]]:
    """Space between columns, and which columns fold so that the table fits.

    Names fold before numbers do; where even that does not help all fold, for rich crops what may
    not, and a number without its last digit is another number.
    """
    needed = [
        _NAME_WIDTH if title in _NAMES else max(map(len, (title, *cells)))
        for title, *cells in zip(table.columns, *table.rows, strict=True)
    ]
    for padding in (1, 0):
        if sum(needed) + (padding + 1) * len(needed) <= width:
            return padding, [title in _NAMES for title in table.columns]
    return 0, [True] * len(needed)

"""Tables written for people: plain text, Markdown, LaTeX. And CSV, by the same name."""

import re
from collections.abc import Callable, Sequence

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.tables.csv_table import csv_text
from unifmir.benchmarks.report.tables.result_tables import Table, footer, tables
from unifmir.errors import UnknownNameError
from unifmir.registry import nearest_name

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "†": r"$\dagger$",
    "\u00d7": r"$\times$",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    **{special: f"\\{special}" for special in "&%$#_{}"},
}


def rendered(
    results: Results,
    form: str = "text",
    *,
    views: Sequence[str] = ("latency",),
    task: str | None = None,
) -> str:
    """Results in one of `FORMATS`, without a line break at the end.

    Parameters
    ----------
    results : Results
    form : str
        A name in `FORMATS`. CSV holds everything, whatever the views.
    views : sequence of str
        Names in `VIEWS`.
    task : str or None
        Only this task's.
    """
    if form == "csv":
        return csv_text(results, task=task).rstrip("\n")
    if form not in _WRITERS:
        raise UnknownNameError(
            f"unknown table format {form!r}{nearest_name(form, list(FORMATS))} "
            f"known: {', '.join(FORMATS)}"
        )
    write, last = _WRITERS[form]
    blocks = [write(table) for view in views for table in tables(results, view, task=task)]
    return "\n\n".join([*blocks, last(footer(results))])


def plain(table: Table) -> str:
    """Aligned text under a title."""
    lines = [table.columns, *table.rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            cell.ljust(width) if words else cell.rjust(width)
            for cell, width, words in zip(line, widths, table.words, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *aligned, *table.notes])


def markdown(table: Table) -> str:
    """A Markdown table under a bold title."""
    rule = [":--" if words else "--:" for words in table.words]
    lines = [table.columns, rule, *table.rows]
    cells = [_row(line, escape=line is not rule) for line in lines]
    notes = "\n".join(f"- {escape_markdown(note)}" for note in table.notes)
    parts = [f"**{escape_markdown(table.title)}**", "\n".join(cells), notes]
    return "\n\n".join(part for part in parts if part)


def latex(table: Table) -> str:
    """A `table` environment with the rules of the booktabs package."""
    columns = "".join("l" if words else "r" for words in table.words)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _latex_row(table.columns),
        r"\midrule",
        *map(_latex_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        # Paragraphs: after the end of a line LaTeX would take a mark in brackets for a length.
        *(rf"\par{{\footnotesize {escape_latex(note)}}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, also in a cell."""
    text = re.sub(r"([\\|*`<>])", r"\\\1", text)
    # Inside a word an underscore is one.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def _row(cells: Sequence[str], *, escape: bool) -> str:
    return f"| {' | '.join(escape_markdown(cell) if escape else cell for cell in cells)} |"


def _latex_row(cells: Sequence[str]) -> str:
    # Braces: a first cell that begins with a bracket would be read as the line before's space.
    return "{}" * cells[0].startswith(("[", "*")) + " & ".join(map(escape_latex, cells)) + r" \\"


def _latex_footer(text: str) -> str:
    return rf"\noindent{{\footnotesize {escape_latex(text)}}}"


_WRITERS: dict[str, tuple[Callable[[Table], str], Callable[[str], str]]] = {
    "text": (plain, str),
    "markdown": (markdown, escape_markdown),
    "latex": (latex, _latex_footer),
}

FORMATS = (*_WRITERS, "csv")
"""Names for `rendered`; `terminal` has its own function, for it depends on the terminal."""

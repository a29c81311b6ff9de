"""Formats of result tables: plain text, Markdown and LaTeX for people, and CSV."""

from collections.abc import Callable, Sequence

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.tables.csv_table import csv_text
from unifmir.benchmarks.report.tables.result_tables import footer, tables
from unifmir.benchmarks.report.tables.summary_table import summary_tables, summary_text
from unifmir.registry import require_known
from unifmir.text_tables import TextTable, escape_latex, escape_markdown, latex, markdown, plain


def rendered(
    results: Results,
    form: str = "text",
    *,
    views: Sequence[str] = (),
) -> str:
    """Results in one of the `FORMATS`, without a line break at the end.

    Without a view it is one table a task, that says what is asked first.

    Parameters
    ----------
    results : Results
    form : str
        A name in `FORMATS`. CSV holds everything, whatever the views.
    views : sequence of str
        Names in `VIEWS`.
    """
    if form == "csv":
        return csv_text(results).rstrip("\n")
    require_known("table format", form, FORMATS)
    if form == "text" and not views:
        return summary_text(results)
    write, last = _WRITERS[form]
    found: list[TextTable] = [t for view in views for t in tables(results, view)]
    if not views:
        found += summary_tables(results)
    blocks = [write(table) for table in found]
    return "\n\n".join([*blocks, last(footer(results))])


def _latex_footer(text: str) -> str:
    return rf"\noindent{{\footnotesize {escape_latex(text)}}}"


_WRITERS: dict[str, tuple[Callable[[TextTable], str], Callable[[str], str]]] = {
    "text": (plain, str),
    "markdown": (markdown, escape_markdown),
    "latex": (latex, _latex_footer),
}

FORMATS = (*_WRITERS, "csv")
"""Names for `rendered`; `terminal` has its own function, for it depends on the terminal."""

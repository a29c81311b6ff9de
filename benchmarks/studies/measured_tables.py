"""Tables of the documents on results of `unifmir benchmark`, as Markdown or as on a terminal."""

from typing import Any

from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.tables.summary_table import summary_text
from unifmir.benchmarks.report.tables.table_formats import rendered as rendered_results
from unifmir.benchmarks.studies.document_facts import Render


def results_table(*views: str) -> Render:
    """Writer of results of `unifmir benchmark`, in these views."""

    def render(document: dict[str, Any]) -> str:
        return rendered_results(Results.from_dict(document), "markdown", views=views)

    return render


def screen(task: str | None = None) -> Render:
    """Writer of results of `unifmir benchmark` as a terminal shows them, of one task or of all."""

    def render(document: dict[str, Any]) -> str:
        shown = summary_text(Results.from_dict(document), task=task)
        # Indented: a block between fences is one to run.
        lines = (f"    {line}".rstrip() for line in shown.splitlines())
        return "\n".join(["", *lines, ""])

    return render

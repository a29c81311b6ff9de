"""Results as tables: for a terminal, plain text, Markdown, LaTeX, and one flat CSV.

`tables` chooses and orders, `rendered` writes; `FORMATS` and `VIEWS` say what there is.
"""

from unifmir.benchmarks.report.tables.building import Table, footer, tables
from unifmir.benchmarks.report.tables.differences import comparison_text
from unifmir.benchmarks.report.tables.flat import csv_text
from unifmir.benchmarks.report.tables.onscreen import terminal
from unifmir.benchmarks.report.tables.rendering import FORMATS, rendered
from unifmir.benchmarks.report.tables.views import VIEWS

__all__ = [
    "FORMATS",
    "VIEWS",
    "Table",
    "comparison_text",
    "csv_text",
    "footer",
    "rendered",
    "tables",
    "terminal",
]

"""Results as tables: for a terminal, plain text, Markdown, LaTeX, and one flat CSV.

`tables` chooses and orders, `rendered` writes; `FORMATS` and `VIEWS` say what there is.
"""

from unifmir.benchmarks.report.tables.comparison_table import comparison_text
from unifmir.benchmarks.report.tables.csv_table import csv_text
from unifmir.benchmarks.report.tables.result_tables import ResultTable, footer, tables
from unifmir.benchmarks.report.tables.table_formats import FORMATS, rendered
from unifmir.benchmarks.report.tables.terminal_tables import terminal
from unifmir.benchmarks.report.tables.views import VIEWS

__all__ = [
    "FORMATS",
    "VIEWS",
    "ResultTable",
    "comparison_text",
    "csv_text",
    "footer",
    "rendered",
    "tables",
    "terminal",
]

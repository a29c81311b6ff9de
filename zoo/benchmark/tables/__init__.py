"""Results as tables: for a terminal, plain text, Markdown, LaTeX, and one flat CSV.

`tables` chooses and orders, `rendered` writes; `FORMATS` and `VIEWS` say what there is.
"""

from unifmir.zoo.benchmark.tables.differences import comparison_text
from unifmir.zoo.benchmark.tables.flat import csv_text
from unifmir.zoo.benchmark.tables.making import Table, footer, tables
from unifmir.zoo.benchmark.tables.onscreen import terminal
from unifmir.zoo.benchmark.tables.rendering import FORMATS, rendered
from unifmir.zoo.benchmark.tables.views import VIEWS

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

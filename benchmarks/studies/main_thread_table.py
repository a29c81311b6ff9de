"""The table of how long the web page's own thread is busy, from `page_main_thread`'s results."""

from typing import Any

from unifmir.benchmarks.studies.result_files import origin
from unifmir.text_tables import markdown_rows

LONG_MS = 50
"""Length of a task from which on a user may feel it, as browsers count them."""


def main_thread_table(document: dict[str, Any]) -> str:
    """The table of docs/web-page.md: a build of the page a column, in the order of the file."""
    pages = document["pages"]
    columns = ["what is done"]
    for name in pages:
        columns += [f"tasks over {LONG_MS} ms, {name}", "the longest computes, ms"]
    rows = [
        [part, *(cell for page in pages.values() for cell in _cells(page["parts"][number]))]
        for number, part in enumerate(row["part"] for row in pages["now"]["parts"])
    ]
    shape = " x ".join(map(str, document["shape"]))
    told = "; ".join(f"{name}: {page['commit'][:7]}" for name, page in pages.items())
    chromium = pages["now"]["chromium"]
    return (
        f"{markdown_rows(columns, rows)}\n\n{shape} pixels, {document['dtype']}; Chromium "
        f"{chromium}, drawing without a GPU; {document['machine']['processor']}; {told}. "
        f"{origin(document)}"
    )


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    return str(row["long_tasks"]), f"{row['longest_computing_ms']:g}"

"""Draw the plots of the documents from the result files: docs/plots, a folder each task.

    python -m benchmarks.studies.document_plots

draws docs/pictures/quick.svg too: a terminal in which `unifmir benchmark show` printed `--quick`.
"""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from unifmir.atomic import temporary_folder, write_text
from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.plots.drawing import draw
from unifmir.benchmarks.report.tables.summary_table import WIDTH
from unifmir.benchmarks.report.tables.terminal_tables import terminal
from unifmir.benchmarks.studies.document_tables import result_of
from unifmir.benchmarks.studies.result_files import REPO
from unifmir.tasks import multitask_parts

PLOTS = REPO / "docs" / "plots"
SCREEN = REPO / "docs" / "pictures" / "quick.svg"


def main() -> None:
    """Draw every task's plots."""
    for task in multitask_parts():
        files = {
            "quality": result_of(f"benchmark-{task}"),
            "cost": result_of("benchmark-full-size"),
            "growth": result_of("benchmark-growth"),
        }
        for plot, file in files.items():
            results = Results.from_dict(json.loads(file.read_text("utf-8")))
            rows = tuple(row for row in results.rows if row.subject.task == task)
            _draw(replace(results, rows=rows), plot, PLOTS / task / f"{plot}.svg")
    quick = json.loads(result_of("benchmark-quick").read_text("utf-8"))
    write_text(SCREEN, screen_picture(Results.from_dict(quick)))


def screen_picture(results: Results) -> str:
    """SVG of a terminal with the tables, in its colours and without fonts from elsewhere."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(Text.from_ansi(terminal(results, width=WIDTH, colour=True)))
    title = "unifmir benchmark --quick"
    drawn = console.export_svg(title=title, unique_id="quick")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def _draw(results: Results, plot: str, path: Path) -> None:
    with temporary_folder() as folder:
        drawn = draw(results, folder, plots=(plot,), suffixes=(".svg",))
        if drawn.skipped:
            raise ValueError(f"{path}: {drawn.skipped}")
        (found,) = drawn.paths
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, found.read_text("utf-8"))


if __name__ == "__main__":
    main()

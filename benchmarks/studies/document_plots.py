"""Draw the plots of the documents from the result files: docs/plots, a folder each task.

python -m benchmarks.studies.document_plots
"""

import json
from dataclasses import replace
from pathlib import Path

from unifmir.atomic import temporary_folder, write_text
from unifmir.benchmarks.measure.results import Results
from unifmir.benchmarks.report.plots.drawing import draw
from unifmir.benchmarks.studies.document_tables import REPO, result_of
from unifmir.tasks import multitask_parts

PLOTS = REPO / "docs" / "plots"
SHOWN = {
    "trained": ("quality", "cost"),
    "full-size": ("cost", "roofline"),
    "growth": ("growth",),
}
"""Start of a result file's name -> plots of it."""


def main() -> None:
    """Draw every task's plots."""
    for start, plots in SHOWN.items():
        results = Results.from_dict(json.loads(result_of(f"benchmark-{start}").read_text("utf-8")))
        for task in multitask_parts():
            rows = tuple(row for row in results.rows if row.subject.task == task)
            for plot in plots:
                _draw(replace(results, rows=rows), plot, PLOTS / task / _name(start, plot))


def _draw(results: Results, plot: str, path: Path) -> None:
    with temporary_folder() as folder:
        drawn = draw(results, folder, plots=(plot,), suffixes=(".svg",))
        if drawn.skipped:
            raise ValueError(f"{path}: {drawn.skipped}")
        (found,) = drawn.paths
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, found.read_text("utf-8"))


def _name(start: str, plot: str) -> str:
    return f"{start}.svg" if start == plot else f"{start}-{plot}.svg"


if __name__ == "__main__":
    main()

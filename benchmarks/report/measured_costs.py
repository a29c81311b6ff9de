"""Sentences on measured times and memory, for the description of a package."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unifmir.benchmarks.measure.results import Results, Row, read_results
from unifmir.benchmarks.plan.subject import Subject
from unifmir.benchmarks.report.derived_figures import SWEEP
from unifmir.errors import BenchmarkError
from unifmir.export.credit import Credit, MeasuredCost
from unifmir.export.evaluation_file import read_quality
from unifmir.model import Provenance

MOST_ROWS = 6
"""Rows that a description gives: one for each runtime and size is enough to choose by."""

MOST_AXES = 6
"""Axes of an image, the batch's included."""


def with_measurements(
    credit: Credit,
    source: Provenance,
    task: str,
    *,
    evaluation: Path | None = None,
    benchmarks: Sequence[Path] = (),
) -> Credit:
    """Credit with the figures in result files of `unifmir evaluate` and `unifmir benchmark`.

    Parameters
    ----------
    credit : Credit
    source : Provenance
        File of the model that the figures must be of.
    task : str
    evaluation : Path, optional
    benchmarks : sequence of Path

    Raises
    ------
    ExportError, BenchmarkError
        A file is none of these, or has nothing of the model.
    """
    names = {name for name in (source.zoo_id, source.name, Path(source.name).stem) if name}
    costs = [cost for path in benchmarks for cost in read_measured_costs(path, task, names)]
    quality = (read_quality(evaluation, task, source.sha256),) if evaluation else ()
    return replace(
        credit,
        evaluations=(*credit.evaluations, *quality),
        measured_costs=(*credit.measured_costs, *costs),
    )


def read_measured_costs(path: Path, task: str, names: Collection[str]) -> tuple[MeasuredCost, ...]:
    """Costs of a model in a result file of `unifmir benchmark`.

    Parameters
    ----------
    path : Path
    task : str
    names : collection of str
        Names that the model may have in the file: its zoo id, its file's.

    Raises
    ------
    BenchmarkError
        It is no such file, or has no trusted time of the model for the task.
    """
    results = read_results(path)
    rows = [
        row
        for row in results.rows
        if row.subject.task == task
        and row.subject.model in names
        and row.ranked
        and _can_be_told(row.subject)
        and not row.subject.workload.startswith(SWEEP)
    ]
    if not rows:
        models = sorted({row.subject.model for row in results.rows if row.subject.task == task})
        raise BenchmarkError(
            f"{path.name} has no time of {' or '.join(sorted(names))} for {task} that can be "
            f"trusted; it has {', '.join(models)[:200] or 'nothing for that task'}"
        )
    return tuple(_cost(row, results) for row in rows[:MOST_ROWS])


def _cost(row: Row, results: Results) -> MeasuredCost:
    subject, machine = row.subject, results.machine
    on_gpu = subject.device != "cpu"
    gpu = _named(machine.get("gpu"))
    cores = machine.get("cores")
    processor = _named(machine.get("processor")) or "a processor"
    if isinstance(cores, int):
        processor = f"{processor}, {cores} cores"
    where = gpu if on_gpu and gpu else processor
    size = " x ".join(map(str, subject.input_shape))
    how = f"{size} in {subject.runtime}, {subject.precision}, on {where}"
    time = f"{row.median_ms:.3g} ms (median) for {how}"
    return MeasuredCost(time, _memory(row, how))


def _can_be_told(subject: Subject) -> bool:
    """Whether a subject is told in one short line, whoever wrote the file."""
    names = (subject.runtime, subject.precision, subject.device)
    return len(subject.input_shape) <= MOST_AXES and all(map(_named, names))


def _named(part: Any) -> str:
    """Name of a part of the machine, which a file may say in any way; empty where it is none."""
    return part if isinstance(part, str) and part.isprintable() and len(part) <= 100 else ""


def _memory(row: Row, how: str) -> str:
    if row.memory is None:
        return ""
    device = row.memory.peak_device_bytes
    if device:
        return f"{device / 1e6:.3g} MB of GPU memory for {how}"
    return f"{row.memory.peak_rss_bytes / 1e6:.3g} MB of memory, libraries included, for {how}"

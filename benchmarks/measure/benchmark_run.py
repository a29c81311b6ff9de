"""The main job: prepare, measure group by group, and save after each."""

import logging
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unifmir import machine
from unifmir.benchmarks.measure.prepared_files import (
    PreparedFiles,
    exported_file,
)
from unifmir.benchmarks.measure.progress import OnProgress, Steps
from unifmir.benchmarks.measure.results import Peak, Results, read_results
from unifmir.benchmarks.measure.rounds import GroupRun, least_steps
from unifmir.benchmarks.measure.worker_process import WorkerError, WorkerProcess
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.benchmarks.plan.groups import ExportedFile, Group, PreparedModel, groups_of
from unifmir.devices import device_named
from unifmir.errors import BenchmarkError
from unifmir.file_locks import held
from unifmir.hashing import sha256_of
from unifmir.machine import library_versions
from unifmir.output_place import PREFIX

logger = logging.getLogger(__name__)

PEAK_S, QUICK_PEAK_S = 1.0, 0.2
"""Seconds for each figure of the machine's peaks."""
PEAKS_TIMEOUT_S = 300.0


def benchmark(
    plan: BenchmarkPlan,
    out: Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    command: str = "",
    on_progress: OnProgress | None = None,
) -> Results:
    """Measure what a plan says and write the results, after every group of subjects.

    Parameters
    ----------
    plan : BenchmarkPlan
    out : Path
        JSON file. What is prepared lies beside it in a hidden folder until the run is complete.
    resume : bool
        Go on with an interrupted run of the same plan in `out`.
    overwrite : bool
        Begin anew whatever `out` holds.
    command : str
        For the record.
    on_progress : callable, optional

    Returns
    -------
    Results

    Raises
    ------
    BenchmarkError
        The plan makes no sense, its device is not there, or `out` holds something that must not
        be replaced.
    InUseError
        Another process is measuring for the same file.
    UnifmirError
        A model cannot be had. What fails later is told in its row, and the others go on.
    """
    plan, out = plan.settled(), Path(out)
    device_named(plan.device).require_any_library()
    steps = Steps(len(plan.models) + len(plan.artifacts) + 1, on_progress)
    with held(out):
        fresh = _blank(plan, command)
        previous = None if overwrite else _previous(out, fresh, resume)
        return _benchmarked(plan, out, fresh, previous, steps)


def _benchmarked(
    plan: BenchmarkPlan, out: Path, fresh: Results, previous: Results | None, steps: Steps
) -> Results:
    """Prepare, measure and save; go on with what an interrupted run measured."""
    folder = out.parent / f"{PREFIX}{out.stem}"
    if previous is None and folder.exists():
        shutil.rmtree(folder)
    prepared = PreparedFiles(folder)
    models, files = _loaded(plan, prepared, steps)
    groups, left_out = groups_of(plan, models, files)
    settings = {**fresh.settings, "weights": _digests(models, files), "left_out": left_out}
    results = replace(fresh, settings=settings)
    if previous is not None:
        _check_same(out, previous, results)
        results = replace(previous, complete=False)
    results = _measured(results, groups, plan, prepared, out, steps)
    results.save(out)
    shutil.rmtree(folder, ignore_errors=True)
    return results


def default_name(device: str = "cpu") -> str:
    """A file name that says which machine and versions the results come from."""
    versions, facts = library_versions(), machine.description()
    chip = facts["processor"] if device == "cpu" else facts["gpu"] or device
    parts = [_slug(chip)]
    if device == "cpu":
        parts.append(f"{facts['cores']}c")
    for short, name in (("torch", "torch"), ("ort", "onnxruntime")):
        if name in versions:
            parts.append(short + versions[name].partition("+")[0])
    return f"benchmark-{'-'.join(parts)}.json"


def commit() -> str:
    """Commit of the checkout this runs from, with `+` if it has changes; empty if it is none."""
    root = Path(machine.__file__).resolve().parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return ""

    def told(*arguments: str) -> str:
        done = subprocess.run(
            [git, "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = told("status", "--porcelain", "--untracked-files=no")
    return told("rev-parse", "HEAD") + ("+" if changed else "")


def _blank(plan: BenchmarkPlan, command: str) -> Results:
    """Results without rows: what is known before anything is loaded."""
    return Results(
        command=command,
        commit=commit(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.description(),
        versions=library_versions(),
        settings={"plan": plan.to_dict(), "quick": plan.quick, "threads": plan.threads},
        complete=False,
    )


def _previous(out: Path, fresh: Results, resume: bool) -> Results | None:
    """An interrupted run to go on with; BenchmarkError if the file is something to keep."""
    if not out.exists():
        return None
    found = read_results(out)
    if found.complete:
        raise BenchmarkError(
            f"{out} holds complete results of {found.created}: choose another name, or ask to "
            "overwrite it (--overwrite)"
        )
    if not resume:
        raise BenchmarkError(
            f"{out} holds an interrupted run with {len(found.rows)} rows: resume it, or ask to "
            "overwrite it (--overwrite)"
        )
    _check_same(out, found, fresh)
    return found


def _check_same(out: Path, old: Results, new: Results) -> None:
    """BenchmarkError if rows of two runs would not be comparable, with what differs."""
    wanted, found = _identity(new), _identity(old)
    differing = [
        f"{name} is {found.get(name)!r} there and {value!r} now"
        for name, value in wanted.items()
        # What is only known once the models are loaded is compared then.
        if name in found and found[name] != value
    ]
    if differing:
        raise BenchmarkError(
            f"{out} holds an interrupted run of something else: {'; '.join(differing)}. Choose "
            "another name, or ask to overwrite it (--overwrite)"
        )


def _identity(results: Results) -> dict[str, Any]:
    parts: dict[str, Mapping[str, Any]] = {
        "plan": results.settings["plan"],
        "machine": results.machine,
        "version of": results.versions,
        "weights of": results.settings.get("weights", {}),
    }
    flat = {f"{part} {name}": value for part, of in parts.items() for name, value in of.items()}
    return {**flat, "commit": results.commit}


def _loaded(
    plan: BenchmarkPlan, prepared: PreparedFiles, steps: Steps
) -> tuple[list[PreparedModel], list[ExportedFile]]:
    models: list[PreparedModel] = []
    for name in plan.models:
        models += prepared.models(name, plan.tasks)
        steps(f"{name}: loaded")
    files = []
    for path in plan.artifacts:
        files.append(exported_file(path))
        steps(f"{path.name}: read")
    return models, files


def _digests(models: Sequence[PreparedModel], files: Sequence[ExportedFile]) -> dict[str, str]:
    """SHA-256 of what is measured: of the fp32 checkpoint of each task, and of files."""
    found = {f"{model.name}/{model.task}": model.origin.sha256 for model in models}
    return found | {file.path.name: sha256_of(file.path) for file in files}


def _measured(
    results: Results,
    groups: Sequence[Group],
    plan: BenchmarkPlan,
    prepared: PreparedFiles,
    out: Path,
    steps: Steps,
) -> Results:
    """The results with peaks and every group, saved whenever something was added."""
    steps.total += sum(least_steps(group, plan) for group in groups)
    results.save(out)
    if not results.peaks:
        results = replace(results, peaks=_peaks(plan, prepared))
        results.save(out)
    steps("the machine's peaks")
    for group in groups:
        keys = {candidate.subject.key for candidate in group.candidates}
        if keys <= {row.subject.key for row in results.rows}:
            done = steps.done + least_steps(group, plan)
            steps.reach(done, f"{group.title}: measured before")
            continue
        found = GroupRun(group, plan, prepared, steps).rows()
        kept = tuple(row for row in results.rows if row.subject.key not in keys)
        results = replace(results, rows=(*kept, *found))
        results.save(out)
    return replace(results, complete=True)


def _peaks(plan: BenchmarkPlan, prepared: PreparedFiles) -> tuple[Peak, ...]:
    """Measure the machine's peaks; none if that cannot be measured, which fails no benchmark."""
    with WorkerProcess(prepared.folder / "peaks", plan.threads or 1) as worker:
        try:
            answer = worker.ask(
                "peaks",
                timeout_s=PEAKS_TIMEOUT_S,
                device=plan.device,
                threads=plan.threads,
                seconds=QUICK_PEAK_S if plan.quick else PEAK_S,
            )
        except WorkerError as error:
            logger.warning("the machine's peaks are not known: %s", error)
            return ()
    return tuple(Peak(**peak) for peak in answer["peaks"])


def _slug(text: str) -> str:
    """Letters, digits and single hyphens, of what a processor or GPU is called."""
    kept = "".join(c if c.isalnum() else " " for c in text.lower())
    noise = {"r", "tm", "cpu", "processor", "with", "corporation"}
    return "-".join(word for word in kept.split() if word not in noise)

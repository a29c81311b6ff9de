"""Rounds over one group of subjects: each alive in a process of its own, one runs at a time."""

import logging
import math
import shutil
import statistics as plain
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from unifmir.benchmarks.measure.energy import energy_of, meter_for
from unifmir.benchmarks.measure.gpu import gpu_of
from unifmir.benchmarks.measure.model_spec import ModelSpec
from unifmir.benchmarks.measure.output_check import OutputCheck, OutputChecker
from unifmir.benchmarks.measure.prepared_files import PreparedFiles
from unifmir.benchmarks.measure.quality import QualityCache
from unifmir.benchmarks.measure.results import ColdStart, Latency, MemoryUse, Row
from unifmir.benchmarks.measure.row_counts import counts_of
from unifmir.benchmarks.measure.stability import (
    MachineCounters,
    MachineWatch,
    busiest_process,
    process_times,
    timing_problems,
)
from unifmir.benchmarks.measure.statistics import latency, ratio
from unifmir.benchmarks.measure.worker_process import WorkerProcess
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.benchmarks.plan.groups import Candidate, Group
from unifmir.benchmarks.plan.workloads import image_of
from unifmir.errors import BenchmarkError, UnifmirError

logger = logging.getLogger(__name__)

Step = Callable[[str], None]
"""Called with a sentence when a step is done."""

MIN_VISIT_S = 0.2
"""Shortest visit: 20 ticks of the clock of processor time, which tells of other processes."""
MAX_RUNS = 10_000
"""Largest number of runs in a visit."""
SETTLING_RUNS = 4
"""Runs of a visit from which on one more goes before them: the caches held another model."""
WARM_UP_RUNS, WARM_UP_S, QUICK_WARM_UP_S = 100, 5.0, 1.0
OPEN_TIMEOUT_S = 1800.0
"""Time limit of loading, and compiling where the runtime does: minutes for full-size networks."""
RUN_TIMEOUT_S, RUN_TIMEOUT_FACTOR = 120.0, 20.0
"""A visit may take so long, and so many times what warm-up promised."""


@dataclass(slots=True)
class _TimedSubject:
    """Subject with its worker process and what was measured so far."""

    candidate: Candidate
    worker: WorkerProcess
    first: dict[str, Any]
    """Answer of the worker after its first run."""
    counts: dict[str, Any]
    watch: MachineWatch
    runs: int = 1
    settling: bool = False
    expected_s: float = 0.0
    rounds_ms: list[list[float]] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    device_ms: list[float] = field(default_factory=list)
    copy_ms: list[float] = field(default_factory=list)
    joules: list[float | None] = field(default_factory=list)
    check: OutputCheck | None = None
    quality: dict[str, Any] | None = None
    memory: MemoryUse | None = None
    error: str = ""

    @property
    def timeout_s(self) -> float:
        """Time limit of a visit."""
        return RUN_TIMEOUT_S + RUN_TIMEOUT_FACTOR * self.expected_s

    @property
    def megapixels(self) -> float:
        """Megapixels that went in during all visits."""
        runs = (self.runs + self.settling) * len(self.rounds_ms)
        return self.candidate.subject.pixels * runs / 1e6


class GroupRun:
    """Measurement of one group of subjects.

    Parameters
    ----------
    group : Group
    plan : BenchmarkPlan
        Settled.
    prepared : PreparedFiles
    step : callable
        Called once for each subject that is opened, and once for each visit.
    """

    def __init__(
        self, group: Group, plan: BenchmarkPlan, prepared: PreparedFiles, step: Step
    ) -> None:
        self.group = group
        self.plan = plan
        self.prepared = prepared
        self.step = step
        self.folder = prepared.folder / "workers"
        self._gpu = gpu_of(plan.device)
        self._meter, self._no_meter = meter_for(plan.device)
        self._qualities = QualityCache(prepared.folder, plan.images)
        self._failed: dict[str, Row] = {}
        self._busiest = ""

    def rows(self) -> list[Row]:
        """A row for each subject, those that failed included, in the group's order."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with ExitStack() as stack:
            live = [found for c in self.group.candidates if (found := self._open(c, stack))]
            for one in live:
                self._guarded(one, self._read_memory)
                self._guarded(one, self._warm_up)
            self._check_outputs(live)
            self._run_rounds(live)
            for one in live:
                self._guarded(one, self._judge)
        measured = {one.candidate.subject.key: one for one in live}
        latencies = {key: _latency(one) for key, one in measured.items() if not one.error}
        return [
            self._failed[key] if key in self._failed else self._row(measured[key], latencies)
            for key in (candidate.subject.key for candidate in self.group.candidates)
        ]

    def _open(self, candidate: Candidate, stack: ExitStack) -> _TimedSubject | None:
        """Load the subject and run it once, or give None and keep a row that says why not."""
        subject = candidate.subject
        try:
            spec = self._spec(candidate)
            counts = counts_of(
                candidate.config,
                subject.input_shape,
                precision=subject.precision,
                file=spec.path,
                plan=spec.plan,
            )
            folder = self.folder / f"{self.group.candidates.index(candidate):03d}"
            process = WorkerProcess(
                folder, self.plan.threads or 1, keep_memory=self.plan.keep_memory
            )
            worker = stack.enter_context(process)
            first = worker.open(
                spec,
                image_of(subject.task, subject.input_shape),
                runtime=subject.runtime,
                device=subject.device,
                timeout_s=OPEN_TIMEOUT_S,
            )
        except UnifmirError as error:
            logger.warning("%s: %s", subject.key, error)
            self._failed[subject.key] = Row(subject, {}, {}, error=str(error))
            # Its visits are not made.
            for _ in range(1 + (self.plan.rounds or 0)):
                self.step(f"{subject.model} in {subject.runtime}: failed")
            return None
        first["ran"]["keeps_memory"] = self.plan.keep_memory
        self.step(f"{subject.model} in {subject.runtime}: loaded")
        return _TimedSubject(
            candidate, worker, first, counts, MachineWatch(psutil.cpu_count() or 1)
        )

    def _spec(self, candidate: Candidate) -> ModelSpec:
        if candidate.file is not None:
            return ModelSpec(candidate.file.path, candidate.subject.precision)
        subject, model = candidate.subject, candidate.model
        if model is None:
            raise BenchmarkError(f"{subject.key} is neither of a model nor of a file")
        return self.prepared.spec(model, subject.runtime, subject.precision)

    def _check_outputs(self, live: Sequence[_TimedSubject]) -> None:
        """Compare each output with fp32 eager's on the same image."""
        checker = OutputChecker(self.folder, self.plan.threads or 1)
        for one in live:
            self._guarded(one, lambda one: checker.save_output(one.candidate, one.worker))
        for one in live:
            if not one.error:
                one.check = _checked(checker, one.candidate)

    def _warm_up(self, one: _TimedSubject) -> None:
        """Run until the times settle, and size the visits."""
        plan = self.plan
        first_s = one.first["first_run_ms"] / 1e3
        seconds = QUICK_WARM_UP_S if plan.quick else WARM_UP_S
        answer = one.worker.ask(
            "warm_up",
            timeout_s=RUN_TIMEOUT_S + RUN_TIMEOUT_FACTOR * (first_s + seconds),
            runs=WARM_UP_RUNS,
            seconds=seconds,
        )
        taken = answer["wall_ms"]
        one.first["ran"]["warm_up"] = {"runs": len(taken), "settled": answer["settled"]}
        expected_ms = plain.median(taken[-5:])
        rounds, seconds, samples = plan.rounds or 1, plan.seconds or 0.0, plan.samples or 1
        wanted_ms = 1e3 * max(MIN_VISIT_S, seconds / rounds)
        runs = max(math.ceil(wanted_ms / expected_ms), math.ceil(samples / rounds))
        one.runs = min(MAX_RUNS, runs)
        one.settling = one.runs >= SETTLING_RUNS
        one.expected_s = (one.runs + one.settling) * expected_ms / 1e3

    def _run_rounds(self, live: Sequence[_TimedSubject]) -> None:
        """Every subject once a round, in an order that is drawn anew for each."""
        rng = np.random.default_rng(self.plan.seed)
        own = {one.worker.pid for one in live}
        before, started = process_times(), MachineCounters.read()
        for number in range(self.plan.rounds or 1):
            for index in rng.permutation(len(live)):
                one = live[int(index)]
                self._guarded(one, self._visit)
                if self._gpu is not None:
                    one.watch.look_at(self._gpu, own)
                subject = one.candidate.subject
                self.step(
                    f"{self.group.title}: round {number + 1} of {self.plan.rounds}, "
                    f"{subject.model} in {subject.runtime} {subject.precision}"
                )
        elapsed = MachineCounters.read().at_s - started.at_s
        self._busiest = busiest_process(before, process_times(), own, elapsed)

    def _visit(self, one: _TimedSubject) -> None:
        if self._meter is not None:
            self._meter.lap()
        before = MachineCounters.read()
        answer = one.worker.ask(
            "visit", timeout_s=one.timeout_s, runs=one.runs, settling=one.settling
        )
        after = MachineCounters.read()
        if self._meter is not None:
            one.joules.append(self._meter.lap())
        one.watch.add(before, after, answer["process_cpu_ms"] / 1e3)
        one.rounds_ms.append([round(ms, 4) for ms in answer["wall_ms"]])
        one.cpu_ms.append(round(plain.fmean(answer["cpu_ms"]), 4))
        one.device_ms += answer["device_ms"]
        one.copy_ms += answer["copy_ms"]

    def _read_memory(self, one: _TimedSubject) -> None:
        """Read memory after the first run: later ones find it kept in pieces that do not fit."""
        answer = one.worker.ask("memory", timeout_s=RUN_TIMEOUT_S)
        device = answer["device_bytes"]
        if self._gpu is not None:
            # What the driver counts includes the CUDA context, for every runtime alike.
            device = self._gpu.memory_by_process().get(one.worker.pid) or device
        one.memory = MemoryUse(answer["peak_rss_bytes"], answer["before_load_bytes"], device)

    def _judge(self, one: _TimedSubject) -> None:
        """Measure how good its pictures are, after all times and memory were taken."""
        one.quality = self._qualities.of(one.candidate, one.worker)

    def _guarded(self, one: _TimedSubject, do: Callable[[_TimedSubject], object]) -> None:
        """Do it unless the subject has failed; if it fails now, the others go on."""
        if one.error:
            return
        try:
            do(one)
        except UnifmirError as error:
            one.error = str(error)
            logger.warning("%s: %s", one.candidate.subject.key, error)

    def _row(self, one: _TimedSubject, latencies: dict[str, Latency]) -> Row:
        subject, first = one.candidate.subject, one.first
        cold = ColdStart(first["import_ms"], first["load_ms"], first["first_run_ms"])
        if one.error:
            return Row(subject, first["ran"], one.counts, cold=cold, error=one.error)
        own, base = latencies[subject.key], latencies.get(self.group.baseline)
        source = self._no_meter if self._meter is None else self._meter.source
        return Row(
            subject=subject,
            ran=first["ran"],
            counts=one.counts,
            latency=own,
            ratio=None if base is None else ratio(self.group.baseline, base, own),
            cold=cold,
            memory=one.memory,
            energy=energy_of(one.joules, source, one.megapixels),
            quality=one.quality,
            same_picture=one.check.figures if one.check and one.check.figures else None,
            problems=tuple(self._problems(one, own)),
        )

    def _problems(self, one: _TimedSubject, own: Latency) -> Iterator[str]:
        yield from one.first["fallbacks"]
        if one.check is not None:
            yield from one.check.problems
        yield from timing_problems(own)
        yield from one.watch.problems(self._busiest)


def _checked(checker: OutputChecker, candidate: Candidate) -> OutputCheck | None:
    """A comparison that fails is no failure of the subject, but its times are of no known use."""
    try:
        return checker.check(candidate)
    except UnifmirError as error:
        return OutputCheck({}, (f"it could not be compared with fp32 eager: {error}",))


def _latency(one: _TimedSubject) -> Latency:
    return latency(one.rounds_ms, one.cpu_ms, device_ms=one.device_ms, copy_ms=one.copy_ms)

"""One subject over all starts of its process: what is asked of it, and what was measured."""

import math
import statistics as plain
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from unifmir.benchmarks.measure.energy import Meter
from unifmir.benchmarks.measure.gpu import Gpu
from unifmir.benchmarks.measure.model_spec import ModelSpec
from unifmir.benchmarks.measure.output_check import OutputCheck
from unifmir.benchmarks.measure.results import ColdStart, Latency, MemoryUse
from unifmir.benchmarks.measure.stability import MachineCounters, MachineWatch
from unifmir.benchmarks.measure.statistics import latency
from unifmir.benchmarks.measure.worker_process import WorkerProcess
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.benchmarks.plan.groups import Candidate
from unifmir.benchmarks.plan.workloads import image_of
from unifmir.errors import BenchmarkError

MIN_VISIT_S, QUICK_MIN_VISIT_S = 0.2, 0.1
"""Shortest visit: 20 and 10 ticks of the clock of processor time, by which others are seen."""
MAX_RUNS = 10_000
"""Largest number of runs in a visit."""
SETTLING_RUNS = 4
"""Runs of a visit from which on one more goes before them: the caches held another model."""
WARM_UP_RUNS, WARM_UP_S, QUICK_WARM_UP_S = 100, 5.0, 0.5
OPEN_TIMEOUT_S = 1800.0
"""Time limit of loading, and compiling where the runtime does: minutes for full-size networks."""
RUN_TIMEOUT_S, RUN_TIMEOUT_FACTOR = 120.0, 20.0
"""A visit may take so long, and so many times what warm-up promised."""


@dataclass(slots=True)
class TimedSubject:
    """A subject, its process of the moment, and what was measured so far."""

    candidate: Candidate
    spec: ModelSpec
    counts: dict[str, Any]
    watch: MachineWatch = field(default_factory=lambda: MachineWatch(psutil.cpu_count() or 1))
    process: WorkerProcess | None = None
    ran: dict[str, Any] = field(default_factory=dict)
    """Facts of what ran, as the first start told them."""
    fallbacks: list[str] = field(default_factory=list)
    cold: list[ColdStart] = field(default_factory=list)
    """Cold start of every process."""
    starts: list[int] = field(default_factory=list)
    """Rounds of every start of the table; 0 where it was left out."""
    runs: int = 1
    settling: bool = False
    expected_s: float = 0.0
    rounds_ms: list[list[float]] = field(default_factory=list)
    cpu_ms: list[list[float]] = field(default_factory=list)
    baseline_ms: list[list[float]] = field(default_factory=list)
    """Samples of the baseline right before and after each round, where it was timed beside it."""
    device_ms: list[float] = field(default_factory=list)
    copy_ms: list[float] = field(default_factory=list)
    joules: list[float | None] = field(default_factory=list)
    visits_told: list[float] = field(default_factory=list)
    """Part of each visit's time, without waits for a core, that the session's own clock tells."""
    visits_queued: list[float] = field(default_factory=list)
    """Part of each visit's wall time that the process was ready and had no core."""
    check: OutputCheck | None = None
    quality: dict[str, Any] | None = None
    memory: MemoryUse | None = None
    runs_done: int = 0
    error: str = ""

    @property
    def key(self) -> str:
        """The subject's."""
        return self.candidate.subject.key

    @property
    def worker(self) -> WorkerProcess:
        """The process of the moment."""
        if self.process is None:
            raise BenchmarkError(f"{self.key} was not started")
        return self.process

    @property
    def timeout_s(self) -> float:
        """Time limit of a visit."""
        return RUN_TIMEOUT_S + RUN_TIMEOUT_FACTOR * self.expected_s

    @property
    def megapixels(self) -> float:
        """Megapixels that went in during all visits."""
        return self.candidate.subject.pixels * self.runs_done / 1e6

    @property
    def latency(self) -> Latency:
        """Summary of what was timed."""
        return latency(
            self.rounds_ms,
            [round(plain.fmean(runs), 4) for runs in self.cpu_ms],
            starts=self.starts,
            baseline_ms=self.beside,
            device_ms=self.device_ms,
            copy_ms=self.copy_ms,
        )

    @property
    def beside(self) -> list[list[float]]:
        """Samples of the baseline beside every round; empty where a round has none."""
        return self.baseline_ms if len(self.baseline_ms) == len(self.rounds_ms) else []

    @property
    def cold_start(self) -> ColdStart | None:
        """Medians of the starts; None before the first."""
        if not self.cold:
            return None
        return ColdStart(
            plain.median(one.import_ms for one in self.cold),
            plain.median(one.load_ms for one in self.cold),
            plain.median(one.first_run_ms for one in self.cold),
        )

    def open(self, process: WorkerProcess, *, keeps_memory: bool) -> None:
        """Load the model in a new process and run it once."""
        self.process = process
        subject = self.candidate.subject
        first = process.open(
            self.spec,
            image_of(subject.task, subject.input_shape),
            runtime=subject.runtime,
            device=subject.device,
            timeout_s=OPEN_TIMEOUT_S,
        )
        self.cold.append(ColdStart(first["import_ms"], first["load_ms"], first["first_run_ms"]))
        if not self.ran:
            self.ran = {**first["ran"], "keeps_memory": keeps_memory}
        # One start that fell back is enough.
        self.fallbacks += [text for text in first["fallbacks"] if text not in self.fallbacks]

    def warm_up(self, plan: BenchmarkPlan, rounds: int) -> None:
        """Run until the times settle, and size the visits of `rounds` rounds in all."""
        first_s = self.cold[-1].first_run_ms / 1e3
        seconds = QUICK_WARM_UP_S if plan.quick else WARM_UP_S
        answer = self.worker.ask(
            "warm_up",
            timeout_s=RUN_TIMEOUT_S + RUN_TIMEOUT_FACTOR * (first_s + seconds),
            runs=WARM_UP_RUNS,
            seconds=seconds,
        )
        taken = answer["wall_ms"]
        self.ran.setdefault("warm_up", {"runs": len(taken), "settled": answer["settled"]})
        expected_ms = plain.median(taken[-5:])
        least_s = QUICK_MIN_VISIT_S if plan.quick else MIN_VISIT_S
        wanted_ms = 1e3 * max(least_s, (plan.seconds or 0.0) / rounds)
        runs = max(math.ceil(wanted_ms / expected_ms), math.ceil((plan.samples or 1) / rounds))
        self.runs = min(MAX_RUNS, runs)
        self.settling = self.runs >= SETTLING_RUNS
        self.expected_s = (self.runs + self.settling) * expected_ms / 1e3

    def visit(
        self, meter: Meter | None, gpu: Gpu | None, own: Iterable[int], *, again: bool = False
    ) -> list[float]:
        """Run it so many times under the clock, and note what the machine did meanwhile.

        Gives the times, ms. They make a round, or belong to the last one (`again`).
        """
        if meter is not None:
            meter.lap()
        before = MachineCounters.read()
        answer = self.worker.ask(
            "visit", timeout_s=self.timeout_s, runs=self.runs, settling=self.settling
        )
        after = MachineCounters.read()
        if meter is not None:
            self.joules.append(meter.lap())
        self.watch.add(before, after, answer["process_cpu_ms"] / 1e3)
        taken = [round(ms, 4) for ms in answer["wall_ms"]]
        if not again:
            self.rounds_ms.append([])
            self.cpu_ms.append([])
        self.rounds_ms[-1] += taken
        self.cpu_ms[-1] += answer["cpu_ms"]
        self.device_ms += answer["device_ms"]
        self.copy_ms += answer["copy_ms"]
        queued_ms = answer["queued_ms"]
        self.visits_told.append(answer["told"])
        self.visits_queued.append(queued_ms / answer["runs_ms"])
        self.ran["queued_taken_off"] = answer["taken_off"]
        self.runs_done += self.runs + self.settling
        if gpu is not None:
            self.watch.look_at(gpu, set(own))
        return taken

    def end_start(self) -> None:
        """Note how many rounds it had since the last start."""
        self.starts.append(len(self.rounds_ms) - sum(self.starts))

    def read_memory(self, gpu: Gpu | None) -> None:
        """Read memory after the first run: later ones find it kept in pieces that do not fit."""
        answer = self.worker.ask("memory", timeout_s=RUN_TIMEOUT_S)
        device = answer["device_bytes"]
        if gpu is not None:
            # What the driver counts includes the CUDA context, for every runtime alike.
            device = gpu.memory_by_process().get(self.worker.pid) or device
        self.memory = MemoryUse(answer["peak_rss_bytes"], answer["before_load_bytes"], device)


def worker_folder(folder: Path, place: int, start: int) -> Path:
    """Folder of one start's process."""
    return folder / f"{place:03d}-{start:03d}"

"""Rounds over one group of subjects: each alive in a process of its own, one runs at a time.

All are started anew at least `STARTS` times, for where a process's memory lies makes it faster or
slower by some per cent for as long as it lives. Starts are added until every ratio to the baseline
is known as well as the plan wants, or its time is spent. Importing, loading and warming up take
longer than a few rounds, so where rounds differ, those of a start go on for as long as that took,
for the subjects that they do not know well enough:
on a machine whose speed varies from one second to the next they say more than another start would.
A baseline that is quick enough is timed before and after each other subject: what lasts for a
second then disturbs both sides of a ratio.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from unifmir.benchmarks.measure.energy import energy_of, meter_for
from unifmir.benchmarks.measure.gpu import gpu_of
from unifmir.benchmarks.measure.model_spec import ModelSpec
from unifmir.benchmarks.measure.output_check import OutputCheck, OutputChecker
from unifmir.benchmarks.measure.prepared_files import PreparedFiles
from unifmir.benchmarks.measure.progress import Steps
from unifmir.benchmarks.measure.quality import QualityCache
from unifmir.benchmarks.measure.ratios import ratios
from unifmir.benchmarks.measure.results import Latency, Ratio, Row
from unifmir.benchmarks.measure.row_counts import counts_of
from unifmir.benchmarks.measure.row_trust import SubjectTimes, allowed, known, trust
from unifmir.benchmarks.measure.stability import MachineCounters, busiest_process, process_times
from unifmir.benchmarks.measure.statistics import Spread, latency
from unifmir.benchmarks.measure.timed_subject import TimedSubject, worker_folder
from unifmir.benchmarks.measure.worker_process import WorkerProcess
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.benchmarks.plan.groups import Candidate, Group
from unifmir.errors import BenchmarkError, UnifmirError

logger = logging.getLogger(__name__)

STARTS = 3
"""Least starts of each subject: fewer say next to nothing of how much they differ."""
BESIDE_S = 1.0
"""A baseline whose visit takes no longer is timed beside each other subject: the speed of a shared
machine varies within seconds, and two visits in a row are disturbed alike."""


def rounds_per_start(plan: BenchmarkPlan) -> int:
    """Least rounds after each start, so that the least starts make the rounds of the plan."""
    return math.ceil((plan.rounds or 1) / STARTS)


def least_steps(group: Group, plan: BenchmarkPlan) -> int:
    """Steps of a group whose subjects are started and timed no more often than they must be."""
    return STARTS * (1 + rounds_per_start(plan)) * len(group.candidates)


class GroupRun:
    """Measurement of one group of subjects.

    Parameters
    ----------
    group : Group
    plan : BenchmarkPlan
        Settled.
    prepared : PreparedFiles
    steps : Steps
        Told of each subject that is opened and of each visit; knows of `least_steps`.
    """

    def __init__(
        self, group: Group, plan: BenchmarkPlan, prepared: PreparedFiles, steps: Steps
    ) -> None:
        self.group = group
        self.plan = plan
        self.prepared = prepared
        self.steps = steps
        self.folder = prepared.folder / "workers"
        self._rounds = rounds_per_start(plan)
        self._rng = np.random.default_rng(plan.seed)
        self._gpu = gpu_of(plan.device)
        self._meter, self._no_meter = meter_for(plan.device)
        self._qualities = QualityCache(prepared.folder, plan.images)
        self._failed: dict[str, Row] = {}
        self._busiest = ""

    def rows(self) -> list[Row]:
        """A row for each subject, those that failed included, in the group's order."""
        shutil.rmtree(self.folder, ignore_errors=True)
        last_step = self.steps.done + least_steps(self.group, self.plan)
        subjects = [found for c in self.group.candidates if (found := self._made(c))]
        began, number, wanted = time.monotonic(), 0, subjects
        while wanted:
            if number >= STARTS:
                last_step += self._more_steps((1 + self._rounds) * len(wanted))
            started = time.monotonic()
            with ExitStack() as stack:
                last_step += self._start(wanted, number, stack)
            for one in subjects:
                # Of all alike: who is left out now may be wanted again, as others tell more.
                one.end_start()
            number += 1
            wanted = self._unsettled(subjects, number, 2 * time.monotonic() - began - started)
        self.steps.reach(last_step, f"{self.group.title}: measured")
        measured = {one.key: one for one in subjects}
        latencies = _latencies(subjects)
        base = self.group.baseline
        known_to = known(base, latencies)
        to_base = ratios(base, latencies) if base in latencies else {}
        return [
            self._failed.get(key) or self._row(measured[key], known_to, to_base)
            for key in (candidate.subject.key for candidate in self.group.candidates)
        ]

    def _made(self, candidate: Candidate) -> TimedSubject | None:
        """Make what the subject loads, or give None and keep a row that says why not."""
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
        except UnifmirError as error:
            logger.warning("%s: %s", subject.key, error)
            self._failed[subject.key] = Row(subject, {}, {}, error=str(error))
            return None
        return TimedSubject(candidate, spec, counts)

    def _spec(self, candidate: Candidate) -> ModelSpec:
        if candidate.file is not None:
            return ModelSpec(candidate.file.path, candidate.subject.precision)
        subject, model = candidate.subject, candidate.model
        if model is None:
            raise BenchmarkError(f"{subject.key} is neither of a model nor of a file")
        return self.prepared.spec(model, subject.runtime, subject.precision)

    def _more_steps(self, count: int) -> int:
        """Steps that nobody could know of before; their number."""
        self.steps.total += count
        return count

    def _start(self, wanted: Sequence[TimedSubject], number: int, stack: ExitStack) -> int:
        """Start subjects anew and time them for some rounds; memory and pictures the first time.

        Gives the steps of the rounds beyond the plan's least.
        """
        began = time.monotonic()
        for one in wanted:
            self._guarded(one, lambda one: self._open(one, number, stack))
        for one in wanted:
            if number == 0:
                self._guarded(one, lambda one: one.read_memory(self._gpu))
            self._guarded(one, lambda one: one.warm_up(self.plan, STARTS * self._rounds))
        took_s = time.monotonic() - began
        if number == 0:
            self._check_outputs(wanted)
        more = self._run_rounds(wanted, number, took_s)
        if number == 0:
            for one in wanted:
                # How good its pictures are, after the times and memory of this start were taken.
                self._guarded(one, self._judge)
        return more

    def _open(self, one: TimedSubject, number: int, stack: ExitStack) -> None:
        place = self.group.candidates.index(one.candidate)
        process = WorkerProcess(
            worker_folder(self.folder, place, number),
            self.plan.threads or 1,
            keep_memory=self.plan.keep_memory,
        )
        one.open(stack.enter_context(process), keeps_memory=self.plan.keep_memory)
        subject = one.candidate.subject
        self.steps(f"{subject.model} in {subject.runtime}: loaded")

    def _check_outputs(self, wanted: Sequence[TimedSubject]) -> None:
        """Compare each output with fp32 eager's on the same image."""
        checker = OutputChecker(self.folder, self.plan.threads or 1)
        for one in wanted:
            self._guarded(one, lambda one: checker.save_output(one.candidate, one.worker))
        for one in wanted:
            if not one.error:
                one.check = _checked(checker, one.candidate)

    def _run_rounds(self, wanted: Sequence[TimedSubject], number: int, most_s: float) -> int:
        """Every subject once a round, in an order that is drawn anew for each.

        As many rounds as the plan wants at least; more for `most_s` seconds at most, of those
        whose ratios this start does not know as well as the plan wants. Gives the steps of those
        beyond the plan's.
        """
        own = {one.worker.pid for one in wanted if not one.error}
        before, started = process_times(), MachineCounters.read()
        began, count, more, now = time.monotonic(), 0, 0, list(wanted)
        while count < self._rounds or (
            time.monotonic() - began < most_s and (now := self._unsure(now, count))
        ):
            count += 1
            if count > self._rounds:
                more += self._more_steps(len(now))
            self._run_round(now, own, f"{self.group.title}: start {number + 1}, round {count}")
        elapsed = MachineCounters.read().at_s - started.at_s
        self._busiest = busiest_process(before, process_times(), own, elapsed) or self._busiest
        return more

    def _run_round(self, wanted: Sequence[TimedSubject], own: set[int], name: str) -> None:
        """Every subject once, the baseline before and after each other one if it is quick."""

        def visit(one: TimedSubject, *, again: bool = False) -> list[float]:
            taken: list[float] = []
            self._guarded(
                one, lambda one: taken.extend(one.visit(self._meter, self._gpu, own, again=again))
            )
            if not again:
                subject = one.candidate.subject
                self.steps(f"{name}, {subject.model} in {subject.runtime} {subject.precision}")
            return taken

        order = [wanted[int(index)] for index in self._rng.permutation(len(wanted))]
        base = next((one for one in order if one.key == self.group.baseline), None)
        if base is None or base.error or base.expected_s > BESIDE_S:
            for one in order:
                visit(one)
            return
        before = visit(base)
        for one in order:
            if one is base:
                continue
            visit(one)
            after = visit(base, again=True)
            if not base.error:
                one.baseline_ms.append(before + after)
            before = after

    def _unsure(self, taken: Sequence[TimedSubject], count: int) -> list[TimedSubject]:
        """Subjects whose ratios the last `count` rounds, of one start, do not know well enough."""

        def of(one: TimedSubject) -> Latency:
            return latency(one.rounds_ms[-count:], (), baseline_ms=one.beside[-count:])

        good = [one for one in taken if not one.error]
        if count < 2:
            # A baseline alone is known: it is 1.
            return good if any(one.key != self.group.baseline for one in good) else []
        return self._worst(good, known(self.group.baseline, {one.key: of(one) for one in good}))

    def _unsettled(
        self, subjects: Sequence[TimedSubject], number: int, next_ends_s: float
    ) -> list[TimedSubject]:
        """The subjects to start once more: the baseline, and those not known well enough.

        `next_ends_s` is the time that will be spent when a start as long as the last one ends.
        """
        good = [one for one in subjects if not one.error]
        if number < STARTS:
            return good
        if next_ends_s > (self.plan.budget_s or 0.0):
            return []
        return self._worst(good, known(self.group.baseline, _latencies(good)))

    def _worst(
        self, good: Sequence[TimedSubject], found: Mapping[str, Spread]
    ) -> list[TimedSubject]:
        """The baseline and those known worse than their claims allow, or else than the target.

        Time that does not suffice for all goes to the rows that nobody could trust.
        """
        target = self.plan.target or 0.0
        wide = {key for key, one in found.items() if one.half_width > allowed(one, target)}
        wide = wide or {key for key, one in found.items() if one.half_width > target}
        return [one for one in good if wide and one.key in wide | {self.group.baseline}]

    def _judge(self, one: TimedSubject) -> None:
        one.quality = self._qualities.of(one.candidate, one.worker)

    def _guarded(self, one: TimedSubject, do: Callable[[TimedSubject], object]) -> None:
        """Do it unless the subject has failed; if it fails now, the others go on."""
        if one.error:
            return
        try:
            do(one)
        except UnifmirError as error:
            one.error = str(error)
            logger.warning("%s: %s", one.key, error)

    def _row(
        self, one: TimedSubject, known_to: Mapping[str, Spread], to_base: Mapping[str, Ratio]
    ) -> Row:
        subject = one.candidate.subject
        if one.error:
            return Row(subject, one.ran, one.counts, cold=one.cold_start, error=one.error)
        own = one.latency
        source = self._no_meter if self._meter is None else self._meter.source
        times = SubjectTimes(
            own,
            known_to[subject.key],
            subject.key in to_base,
            self.plan.target or 0.0,
            tuple(one.visits_told),
            subject.device,
            tuple(one.visits_queued),
            bool(one.ran.get("queued_taken_off")),
        )
        verdict = trust(times, one.fallbacks, one.check, one.watch, self._busiest)
        return Row(
            subject=subject,
            ran=one.ran,
            counts=one.counts,
            latency=own,
            ratio=to_base.get(subject.key),
            cold=one.cold_start,
            memory=one.memory,
            energy=energy_of(one.joules, source, one.megapixels),
            quality=one.quality,
            fresh=one.candidate.fresh,
            same_picture=one.check.figures if one.check and one.check.figures else None,
            problems=verdict.problems,
            word=verdict.word,
            remarks=verdict.remarks,
        )


def _latencies(subjects: Sequence[TimedSubject]) -> dict[str, Latency]:
    return {one.key: one.latency for one in subjects if not one.error}


def _checked(checker: OutputChecker, candidate: Candidate) -> OutputCheck | None:
    """A comparison that fails is no failure of the subject, but its times are of no known use."""
    try:
        return checker.check(candidate)
    except UnifmirError as error:
        return OutputCheck({}, (f"it could not be compared with fp32 eager: {error}",))

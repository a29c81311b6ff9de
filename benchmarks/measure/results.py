"""Results of a benchmark, as values and as one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, Literal, Self

from unifmir.atomic import write_text
from unifmir.benchmarks.plan.subject import Subject
from unifmir.errors import BenchmarkError, CheckpointError
from unifmir.json_values import Amount, Count, JsonValues, read_values
from unifmir.plain_text_values import read_json
from unifmir.tasks import TASKS

SCHEMA = 1

Word = Literal["", "moved", "differs", "clock", "wide", "near", "waits"]
"""Words for what is wrong with a row, the worst first: it ran elsewhere than asked; it is another
picture; its own clock is wrong; its interval is too wide for its claim; it misses the tolerance by
a hair; it waits more than it computes. With the last two the times are still good."""


@dataclass(frozen=True, slots=True)
class Latency(JsonValues):
    """Wall time end to end, from a NumPy array to a NumPy array. Milliseconds.

    Where a row's `ran` says `queued_taken_off`, without the time in which the process was ready to
    compute and others had its core.
    """

    rounds_ms: tuple[tuple[Amount, ...], ...]
    """Every sample, by round; in each round the compared subjects ran once in turn."""
    cpu_ms: tuple[Amount, ...]
    """CPU time of the process per run, by round: what a busy machine disturbs least."""
    median_ms: Amount
    """Geometric mean over the starts of the pseudomedian of their rounds' medians."""
    interval_ms: tuple[Amount, Amount]
    """95 % interval of that, over the starts."""
    p90_ms: Amount
    p99_ms: Amount
    minimum_ms: Amount
    variation: Amount
    """Standard deviation of the rounds' medians over their mean."""
    device_ms: Amount | None = None
    """Median time between events on the device."""
    copy_ms: Amount | None = None
    """Median time of the copies to and from the device."""
    starts: tuple[Count, ...] = ()
    """Rounds of each start of the table, in turn, 0 where this subject was not started; empty: all
    are of one."""
    baseline_ms: tuple[tuple[Amount, ...], ...] = ()
    """Samples of the baseline right before and right after the own, by round; empty where the
    baseline had one turn a round, as the others."""


@dataclass(frozen=True, slots=True)
class Ratio(JsonValues):
    """How many times as fast as the group's baseline: rounds are compared one by one."""

    baseline: str
    """Key of the baseline."""
    ratio: Amount
    """Baseline time / own time: by round, its pseudomedian in each start, their geometric mean."""
    interval: tuple[Amount, Amount]
    """95 % interval, over the starts of all ratios to this baseline."""
    cpu_ratio: Amount
    """Median over the rounds of baseline CPU time / own CPU time."""


@dataclass(frozen=True, slots=True)
class ColdStart(JsonValues):
    """Time from a fresh process to the first image. Milliseconds."""

    import_ms: Amount
    load_ms: Amount
    first_run_ms: Amount


@dataclass(frozen=True, slots=True)
class MemoryUse(JsonValues):
    """Memory of the worker process and the device, in bytes."""

    peak_rss_bytes: Count
    """Largest resident set of the process after its first run, its libraries included."""
    before_load_bytes: Count
    """Resident set after the imports, before the model was loaded."""
    peak_device_bytes: Count | None = None


@dataclass(frozen=True, slots=True)
class Energy(JsonValues):
    """Joules per megapixel, or why there is no figure."""

    joules_per_megapixel: Amount | None
    source: str
    """`nvml`, `rapl`, or the reason of the absence."""


@dataclass(frozen=True, slots=True)
class Row(JsonValues):
    """One subject and everything measured of it."""

    subject: Subject
    ran: Mapping[str, Any]
    """Facts of what really ran, told by the runtime: provider, threads, TF32, element type..."""
    counts: Mapping[str, Any]
    """`parameters`, `macs`, `flops`, `bops`, `traffic_bytes`, `weight_bytes`, `file_bytes`."""
    latency: Latency | None = None
    ratio: Ratio | None = None
    cold: ColdStart | None = None
    memory: MemoryUse | None = None
    energy: Energy | None = None
    quality: Mapping[str, Any] | None = None
    """Means of `unifmir.metrics.METRICS` in this row's precision, `images` and `dataset`."""
    fresh: bool = False
    """Whether the weights are a reference model's untrained ones, of which there is no quality."""
    same_picture: Mapping[str, Any] | None = None
    """Against fp32 eager on the timed input: `max_abs_over_std`, `psnr_db`."""
    problems: tuple[str, ...] = ()
    """Why the times cannot be trusted; such a row is shown, marked, and not ranked."""
    word: Word = ""
    """The word for what is wrong, for the table; empty if nothing is."""
    remarks: tuple[str, ...] = ()
    """Sentences that take nothing from the times: on who else used the machine..."""
    error: str = ""
    """Why there are no times at all."""

    @property
    def median_ms(self) -> float:
        """Median time; NaN where nothing was timed."""
        return nan if self.latency is None else self.latency.median_ms

    @property
    def ranked(self) -> bool:
        """Whether the times can be trusted."""
        return self.latency is not None and not self.problems

    @property
    def megapixels_per_s(self) -> float | None:
        """Input pixels per second at the median."""
        if self.latency is None:
            return None
        return self.subject.pixels / self.latency.median_ms / 1e3

    @property
    def gflops_per_s(self) -> float | None:
        """Counted arithmetic over the median time."""
        if self.latency is None or not self.counts.get("flops"):
            return None
        return float(self.counts["flops"]) / self.latency.median_ms / 1e6


@dataclass(frozen=True, slots=True)
class Peak(JsonValues):
    """Peak that the machine reached in the same run: the roof of the roofline plot."""

    device: str
    precision: str
    gflops_per_s: Amount
    """Matrix product of 2048 x 2048 x 2048, or on the CPU a convolution if that is faster."""
    gbytes_per_s: Amount
    """Copy of an array much larger than the caches, bytes read plus bytes written."""


@dataclass(frozen=True, slots=True)
class Results(JsonValues):
    """One benchmark."""

    command: str
    commit: str
    """Commit of the checkout, with `+` if it had changes; empty for an installed package."""
    created: str
    """UTC, ISO 8601."""
    machine: Mapping[str, Any]
    """`processor`, `cores`, `memory_bytes`, `system`, `gpu`, `driver`."""
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    """Rounds, seconds, threads, seed: what decides the samples."""
    peaks: tuple[Peak, ...] = ()
    rows: tuple[Row, ...] = ()
    complete: bool = True
    """False while an interrupted run can be resumed."""
    schema: int = SCHEMA

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gives; BenchmarkError if `data` is something else."""
        found = data.get("schema") if isinstance(data, Mapping) else None
        if found not in (None, SCHEMA):
            raise BenchmarkError(
                f"results of schema {found}, this unifmir reads {SCHEMA}: benchmark again"
            )
        try:
            results = read_values(cls, data)
        except CheckpointError as error:
            raise BenchmarkError(f"not results of `unifmir benchmark` ({error})") from error
        keys: set[str] = set()
        for number, row in enumerate(results.rows):
            problem = _contradiction(row)
            if problem is None and row.subject.key in keys:
                problem = f"{row.subject.key} once more; expected each row once"
            keys.add(row.subject.key)
            if problem:
                raise BenchmarkError(
                    f"not results of `unifmir benchmark` (Results.rows.{number}: {problem})"
                )
        return results

    def save(self, path: Path) -> None:
        """Write as JSON, all or nothing."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")


def _contradiction(row: Row) -> str | None:
    """Contradiction within a row; None if there is none."""
    if row.subject.task not in TASKS:
        return f"the task is {row.subject.task[:80]!r}; expected one of {', '.join(TASKS)}"
    rounds = row.latency.rounds_ms if row.latency else ()
    taken = [sample for samples in rounds for sample in samples]
    if row.latency and row.latency.starts and sum(row.latency.starts) != len(rounds):
        return f"starts are {list(row.latency.starts)}; expected as many rounds as {len(rounds)}"
    if row.latency and len(row.latency.starts) > 1 and sum(map(bool, row.latency.starts)) < 2:
        return f"starts are {list(row.latency.starts)}; expected rounds of two at least"
    beside = row.latency.baseline_ms if row.latency else ()
    if beside and len(beside) != len(rounds):
        return f"baseline_ms has {len(beside)} rounds; expected as many as rounds_ms, {len(rounds)}"
    if not all(samples and min(samples) > 0 for samples in beside):
        return "baseline_ms has a round without times above 0"
    if row.latency and taken and not min(taken) <= row.latency.median_ms <= max(taken):
        return (
            f"median_ms is {row.latency.median_ms:g}; expected {min(taken):g} to {max(taken):g}, "
            "as its samples"
        )
    return None


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises
    ------
    BenchmarkError
        It is missing or holds something else.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file; expected what `unifmir benchmark --out` wrote")
    try:
        return Results.from_dict(read_json(path))
    except (ValueError, BenchmarkError) as error:
        told = str(error).removeprefix(f"{path.name}: ")
        raise BenchmarkError(f"{path}: {told}") from error

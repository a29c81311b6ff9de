"""Whether a row's times can be trusted, and the word for what is wrong with it.

The interval of the ratio to the baseline decides, not how much single rounds vary: what disturbs a
machine disturbs both sides of a round. Who else used the machine is said and decides nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from unifmir.benchmarks.measure.output_check import OutputCheck
from unifmir.benchmarks.measure.ratios import ratio_spreads
from unifmir.benchmarks.measure.results import Latency, Word
from unifmir.benchmarks.measure.stability import MAX_FOREIGN, MachineWatch
from unifmir.benchmarks.measure.statistics import Spread, round_medians, spread

CLAIM = 0.25
"""Part of its distance from 1 that a ratio may be unsure of: who says five times as fast need not
know it to 3 %. Both as logarithms."""
WIDEST = 0.2
"""Half width that no claim allows to exceed: 20 %."""
TRUE_CLOCK = 0.5
"""Least part of a visit's time, without waits for a core, that the session's own clock tells."""
COMPUTING = 0.5
"""Least part of its wall time that a process computes or has no core, on the CPU."""

Finding = tuple[Word, str]
"""A word for the table, and the sentence that it stands for."""


@dataclass(frozen=True, slots=True)
class SubjectTimes:
    """Times of one subject and of its baseline."""

    own: Latency
    found: Spread
    """The ratio to the baseline; the time itself, in ms, where that failed."""
    is_ratio: bool
    target: float
    """Half width of the ratio's interval that was aimed at; 0.03 is 3 %."""
    visits_told: Sequence[float]
    """Part of each visit's time, without waits for a core, that the session's own clock tells."""
    device: str
    visits_queued: Sequence[float] = ()
    """Part of each visit's wall time that it was ready and had no core; 0 where nothing says so."""
    taken_off: bool = False
    """Whether the times are without it."""


@dataclass(frozen=True, slots=True)
class RowTrust:
    """Verdict on one row."""

    word: Word
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def known(baseline: str, latencies: Mapping[str, Latency]) -> dict[str, Spread]:
    """Ratios to the baseline as they are known, by key; times in ms where it has none."""
    times = {
        key: spread(round_medians(own.rounds_ms), own.starts) for key, own in latencies.items()
    }
    return times | ratio_spreads(baseline, latencies) if baseline in latencies else times


def allowed(found: Spread, target: float) -> float:
    """Half width that a ratio's claim allows, at least the target."""
    return max(target, min(WIDEST, CLAIM * abs(found.centre)))


def trust(
    times: SubjectTimes,
    fallbacks: Sequence[str],
    check: OutputCheck | None,
    watch: MachineWatch,
    busiest: str,
) -> RowTrust:
    """Judge one row.

    Parameters
    ----------
    times : SubjectTimes
    fallbacks : sequence of str
        What the session says of itself.
    check : OutputCheck or None
        None where there is no picture to compare with.
    watch : MachineWatch
    busiest : str
        The foreign process that took most; empty if none.
    """
    problems: list[Finding] = [("moved", text) for text in fallbacks]
    remarks: list[Finding] = []
    if check is not None:
        (remarks if check.by_a_hair else problems).extend(
            ("near" if check.by_a_hair else "differs", text) for text in check.problems
        )
    problems += _clock(times)
    problems += _width(times)
    remarks += _waits(times, watch)
    words = [word for word, _ in (*problems, *remarks)]
    told = [*(text for _, text in remarks), *_queued(times)]
    return RowTrust(
        word=words[0] if words else "",
        problems=tuple(text for _, text in problems),
        remarks=(*told, *watch.remarks(busiest)),
    )


def _width(times: SubjectTimes) -> Iterator[Finding]:
    found = times.found
    most = allowed(found, times.target)
    if found.half_width > most:
        starts = sum(count > 0 for count in times.own.starts)
        after = f"after {starts} starts" if starts > 1 else "within one start"
        what = f"{found.value:.3g} times as fast" if times.is_ratio else "its time"
        told = f"{what} is known to ±{found.half_width:.0%} {after}"
        yield "wide", f"{told}, allowed ±{most:.0%}: give it more time (--budget)"


def _clock(times: SubjectTimes) -> Iterator[Finding]:
    told = median(times.visits_told) if times.visits_told else 1.0
    if told < TRUE_CLOCK:
        least = f"expected {TRUE_CLOCK:.0%} at least"
        yield "clock", f"its own clock tells {told:.0%} of the time that its runs took, {least}"


def _waits(times: SubjectTimes, watch: MachineWatch) -> Iterator[Finding]:
    if times.device != "cpu" or not times.own.cpu_ms:
        return
    computed = median(times.own.cpu_ms) / times.own.median_ms
    others = watch.cores * (watch.foreign + watch.stolen)
    queued = median(times.visits_queued) if times.visits_queued else 0.0
    without_core = 0.0 if times.taken_off else queued or others
    if computed + without_core < COMPUTING:
        told = f"it computed for {computed:.0%} of its time and had no core for {without_core:.0%}"
        yield "waits", f"{told}: it waits for something else"


def _queued(times: SubjectTimes) -> Iterator[str]:
    queued = median(times.visits_queued) if times.visits_queued else 0.0
    if queued > MAX_FOREIGN:
        state = "which is taken off" if times.taken_off else "which is in its times"
        yield f"others had its core for {queued:.0%} of the wall time, {state}"

"""Which rows are trusted: by the interval of their ratio, by where they ran, by their picture."""

import math

import numpy as np
import pytest

from unifmir.benchmarks.measure import stability
from unifmir.benchmarks.measure.output_check import OutputCheck
from unifmir.benchmarks.measure.results import Latency
from unifmir.benchmarks.measure.row_trust import RowTrust, SubjectTimes, allowed, known, trust
from unifmir.benchmarks.measure.stability import MachineWatch
from unifmir.benchmarks.measure.statistics import Spread, latency

STARTS = [5, 5, 5]


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    # The real machine's clock is nobody's business here.
    monkeypatch.setattr(stability, "clock_mhz", lambda: None)


def timed(factors: list[float], ms: float = 10.0, computed: float = 1.0) -> Latency:
    """A latency of fifteen rounds in three starts, at these multiples of a time."""
    times = [ms * factor for factor in factors]
    return latency([[t] for t in times], [computed * t for t in times], starts=STARTS)


def judged(
    own: Latency,
    base: Latency | None,
    *,
    target: float = 0.03,
    told: float = 1.0,
    fallbacks: tuple[str, ...] = (),
    check: OutputCheck | None = None,
    watch: MachineWatch | None = None,
    queued: float = 0.0,
    taken_off: bool = False,
) -> RowTrust:
    """The verdict on a row of the CPU."""
    latencies = {"own": own} if base is None else {"own": own, "base": base}
    found = known("base", latencies)["own"]
    is_ratio = base is not None
    times = SubjectTimes(own, found, is_ratio, target, [told] * 15, "cpu", [queued], taken_off)
    return trust(times, fallbacks, check, watch or MachineWatch(2), "")


WILD = [1.0, 2.0, 1.4, 1.0, 3.0] * 3
"""A machine that is three times as slow at times."""


def test_rounds_that_vary_are_no_reason_while_the_ratio_is_known():
    found = judged(timed(WILD, 5.0), timed(WILD))
    assert found == RowTrust("", (), ())


def test_an_interval_too_wide_for_the_claim_is():
    shaky = [1.0] * 5 + [1.1] * 5 + [1.2] * 5
    found = judged(timed(shaky), timed([1.0] * 15))
    assert found.word == "wide"
    (told,) = found.problems
    assert told.startswith("0.912 times as fast is known to ±23% after 3 starts, allowed ±3%")


def test_who_is_five_times_as_fast_need_not_know_it_to_three_percent():
    five = Spread(math.log(5), 0.01, 2)
    assert allowed(five, 0.03) == pytest.approx(0.2)
    assert allowed(Spread(math.log(1.5), 0.01, 2), 0.03) == pytest.approx(math.log(1.5) / 4)
    assert allowed(Spread(math.log(1.02), 0.01, 2), 0.03) == 0.03
    shaky = [1.0] * 5 + [1.06] * 5 + [1.12] * 5
    assert judged(timed(shaky, 2.0), timed([1.0] * 15)).word == ""
    assert judged(timed(shaky, 9.0), timed([1.0] * 15)).word == "wide"


def test_without_a_baseline_the_time_itself_is_judged():
    assert judged(timed([1.0] * 15), None).word == ""
    assert judged(timed([1.0] * 5 + [1.1] * 5 + [1.2] * 5), None).problems[0].startswith("its time")


def test_a_busy_machine_is_said_and_takes_no_trust():
    watch = MachineWatch(2, elapsed_s=10.0, foreign_s=5.0)
    found = judged(timed([1.0] * 15), timed([1.0] * 15), watch=watch)
    assert (found.word, found.problems) == ("", ())
    assert found.remarks == ("other processes took 25% of the 2 cores, usual is up to 5%",)


def test_what_fell_back_is_not_trusted():
    found = judged(timed([1.0] * 15), timed([1.0] * 15), fallbacks=("CUDA did not load",))
    assert (found.word, found.problems) == ("moved", ("CUDA did not load",))


def test_another_picture_has_its_own_word_and_a_hair_costs_nothing():
    base = timed([1.0] * 15)
    check = OutputCheck({"psnr_db": 31.0}, ("not the same picture: 31 dB",))
    assert judged(base, base, check=check).word == "differs"
    assert judged(base, base, check=check).problems == check.problems
    hair = OutputCheck({"psnr_db": 110.0}, ("not the same picture: 1.1e-4",), by_a_hair=True)
    found = judged(base, base, check=hair)
    assert (found.word, found.problems, found.remarks) == ("near", (), hair.problems)


def test_a_clock_that_tells_less_than_passed_is_caught():
    found = judged(timed([1.0] * 15, 1.0), timed([1.0] * 15), told=0.1)
    assert found.word == "clock"
    assert "its own clock tells 10%" in found.problems[0]


def test_a_runtime_that_sleeps_has_the_word_for_it_and_its_time():
    sleepy = timed([1.0] * 15, 50.0, computed=0.1)
    found = judged(sleepy, timed([1.0] * 15))
    assert (found.word, found.problems) == ("waits", ())
    assert "it computed for 10% of its time and had no core for 0%" in found.remarks[0]
    # Who waits because others had the core does not sleep.
    busy = MachineWatch(1, elapsed_s=10.0, foreign_s=6.0)
    assert judged(sleepy, timed([1.0] * 15), watch=busy).word == ""
    # Where the system says how long it had no core, that is what counts.
    assert judged(sleepy, timed([1.0] * 15), watch=busy, queued=0.1).word == "waits"
    assert judged(sleepy, timed([1.0] * 15), queued=0.6).word == ""


def test_what_was_taken_off_is_said():
    base = timed([1.0] * 15)
    found = judged(base, base, queued=0.4, taken_off=True)
    assert found == RowTrust(
        "", (), ("others had its core for 40% of the wall time, which is taken off",)
    )
    assert judged(base, base, queued=0.4).remarks[0].endswith("which is in its times")
    # What sleeps for the rest of the time that is left does not hide behind it.
    sleepy = timed([1.0] * 15, 50.0, computed=0.1)
    assert judged(sleepy, base, queued=0.6, taken_off=True).word == "waits"


def test_the_worst_word_is_shown():
    check = OutputCheck({}, ("not the same picture",))
    found = judged(timed(WILD), timed([1.0] * 15), fallbacks=("elsewhere",), check=check)
    assert found.word == "moved"
    assert len(found.problems) == 3


def test_most_rows_are_trusted_though_every_visit_scatters_by_eight_percent():
    """Scatter of single visits as measured beside processes that had 77 % of the core.

    Starts lie elsewhere in memory by 1.5 %, and are added up to six, as the time of `--quick` is
    for while another process uses half of a core.
    """
    random = np.random.default_rng(0)
    trusted = []
    for faster in np.geomspace(0.1, 10, 80):
        sides: list[list[float]] = [[], []]
        for count in range(1, 7):
            for times, ms in zip(sides, (10.0, 10.0 / faster), strict=True):
                place = random.normal(0, 0.015)
                times.extend((ms * np.exp(place + random.normal(0, 0.08, 3))).tolist())
            base, own = (
                latency([[t] for t in times], times, starts=[3] * count) for times in sides
            )
            found = known("base", {"base": base, "own": own}) if count >= 3 else {}
            if found and found["own"].half_width <= 0.08:
                break
        trusted.append(judged(own, base, target=0.08).problems == ())
    assert sum(trusted) / len(trusted) >= 0.8

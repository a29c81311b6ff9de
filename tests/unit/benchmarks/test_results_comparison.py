"""Two results files: what changed, and what is only chance."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.benchmark_results import (
    MACHINE,
    around,
    latency,
    quality_of,
    realistic,
    results,
    row,
    subject,
)
from unifmir.benchmarks.measure import statistics
from unifmir.benchmarks.measure.ratios import ratios
from unifmir.benchmarks.measure.results import Latency, MemoryUse, Ratio, Results, Row
from unifmir.benchmarks.report.results_comparison import (
    ResultsComparison,
    compare,
    holm,
)
from unifmir.benchmarks.report.tables.comparison_table import comparison_text
from unifmir.errors import BenchmarkError

OTHER = {**MACHINE, "processor": "Another CPU"}
SWAPPED = {"faster": "slower", "slower": "faster"}


@st.composite
def runs(draw: st.DrawFn) -> Results:
    """One to four rows of ten to twenty rounds."""
    rounds = draw(st.integers(10, 20))
    rows = []
    for number in range(draw(st.integers(1, 4))):
        median = draw(st.floats(0.01, 1e5))
        noise = draw(st.floats(0, 0.1))
        seed = draw(st.integers(0, 2**32))
        timed = around(median, noise=noise, rounds=rounds, seed=seed)
        rows.append(row(subject(f"m{number}"), latency=timed))
    return results(*rows)


def scaled(result: Results, factor: float, *, noise: float = 0.0, seed: int = 1) -> Results:
    """Every time multiplied, and by a scatter of its own."""
    random = np.random.default_rng(seed)
    rows = []
    for given_row in result.rows:
        assert given_row.latency is not None
        rounds = np.array([samples[0] for samples in given_row.latency.rounds_ms])
        scatter = np.exp(random.normal(0, noise, len(rounds)))
        rows.append(replace(given_row, latency=latency(rounds * factor * scatter)))
    return replace(result, rows=tuple(rows))


@settings(max_examples=25, deadline=None)
@given(runs())
def test_a_file_compared_with_itself_has_no_change(result):
    comparison = compare(result, result)
    for pair in comparison.pairs:
        assert pair.verdict == "same"
        assert pair.changes == ()
    assert not comparison.regressions
    assert (comparison.only_before, comparison.only_after, comparison.remarks) == ((), (), ())


@settings(max_examples=25, deadline=None)
@given(runs(), st.floats(0.5, 2), st.integers(0, 2**32))
def test_swapping_the_files_inverts_the_comparison(result, factor, seed):
    other = scaled(result, factor, noise=0.02, seed=seed)
    there, back = compare(result, other), compare(other, result)
    for one, two in zip(there.pairs, back.pairs, strict=True):
        assert two.verdict == SWAPPED.get(one.verdict, one.verdict)
        assert one.ratio is not None
        assert two.ratio == pytest.approx(1 / one.ratio)
        assert one.interval is not None
        assert two.interval == pytest.approx([1 / one.interval[1], 1 / one.interval[0]])
        assert two.p_value == pytest.approx(one.p_value)


@settings(max_examples=25, deadline=None)
@given(runs(), st.integers(0, 2**32))
def test_twice_as_slow_is_a_regression_and_back_is_none(result, seed):
    slow = scaled(result, 2.0, noise=0.02, seed=seed)
    assert len(compare(result, slow, threshold=0.05).regressions) == len(result.rows)
    assert compare(slow, result, threshold=0.05).regressions == ()


@settings(max_examples=25, deadline=None)
@given(runs(), st.integers(0, 2**32))
def test_noise_of_one_percent_is_no_regression(result, seed):
    quiet = replace(result, rows=tuple(
        replace(one, latency=around(one.latency.median_ms, noise=0.01, seed=number))
        for number, one in enumerate(result.rows)
    ))  # fmt: skip
    assert compare(quiet, scaled(quiet, 1.0, noise=0.01, seed=seed)).regressions == ()


def one(**changes: Any) -> Results:
    """Results of one row."""
    return results(row(**changes))


def only(comparison: ResultsComparison):
    """The one pair of a comparison."""
    (pair,) = comparison.pairs
    return pair


def test_a_small_slow_down_is_significant_but_no_regression():
    before, after = one(latency=around(100, noise=0.002)), one(latency=around(103, noise=0.002))
    pair = only(compare(before, after, threshold=0.05))
    assert (pair.verdict, pair.regression) == ("slower", False)
    assert only(compare(before, after, threshold=0.02)).regression


@pytest.mark.parametrize("side", ["before", "after"])
def test_rows_that_cannot_be_trusted_are_not_compared(side):
    good, bad = one(), one(problems=("the machine was busy",), latency=around(500))
    pair = only(compare(bad, good) if side == "before" else compare(good, bad))
    assert (pair.verdict, pair.regression, pair.ratio) == ("not comparable", False, None)
    assert pair.reason == f"{side}: cannot be trusted: the machine was busy"


def test_a_row_that_fails_now_is_broken():
    comparison = compare(one(), one(latency=None, error="out of memory"))
    assert [pair.reason for pair in comparison.broken] == ["after: failed: out of memory"]
    assert comparison.regressions == ()
    assert "BROKEN" in comparison_text(comparison)
    assert compare(one(latency=None, error="x"), one()).broken == ()


def test_other_threads_are_not_compared():
    fewer = replace(one(latency=around(90)), settings={"threads": 1})
    assert only(compare(one(), fewer)).reason == "threads: 4 before, 1 after"
    inside = one(ran={"threads": 2}, latency=around(90))
    assert only(compare(one(), inside)).reason == "threads in the runtime: 4 before, 2 after"


def test_a_single_round_is_not_called_the_same():
    before, after = one(latency=around(100, rounds=3)), one(latency=around(200, rounds=3))
    # Three rounds of one start scatter by 1 %: twice as slow is more than that.
    assert only(compare(before, after)).verdict == "slower"
    single = only(compare(one(latency=latency([100.0])), after))
    assert single.verdict == "not comparable"
    assert single.reason.startswith("a single round")


def relative_run(own_ms: float, base_ms: float, *, machine: dict[str, Any], seed: int) -> Results:
    """A baseline and a row, on a machine."""
    base = row(subject("base"), latency=around(base_ms, seed=seed))
    key = base.subject.key
    own = row(latency=around(own_ms, seed=seed + 1), ratio=Ratio(key, 1.0, (1.0, 1.0), 1.0))
    base = replace(base, ratio=Ratio(key, 1.0, (1.0, 1.0), 1.0))
    return results(base, own, machine=machine)


@pytest.mark.parametrize("machine", [MACHINE, OTHER], ids=["same machine", "another machine"])
def test_ratios_to_the_baseline_are_compared_and_not_times(machine):
    before = relative_run(100, 200, machine=MACHINE, seed=1)
    # All is three times as slow there: no change of the row against the baseline.
    same = compare(before, relative_run(300, 600, machine=machine, seed=5))
    baseline, own = same.pairs
    assert (baseline.verdict, own.verdict) == ("same", "same")
    assert baseline.reason == "the baseline, by which the others are measured"
    assert own.before == pytest.approx(0.5, rel=0.02)
    assert own.relative
    assert same.relative == (machine is OTHER)
    worse = compare(before, relative_run(450, 600, machine=machine, seed=5))
    assert [pair.subject.model for pair in worse.regressions] == ["m"]


def test_on_different_machines_a_row_without_a_baseline_is_not_compared():
    pair = only(compare(one(), replace(one(latency=around(200)), machine=OTHER)))
    assert pair.reason == "different machines, and no baseline"


def test_a_baseline_that_cannot_be_trusted_compares_nothing():
    before = relative_run(100, 200, machine=MACHINE, seed=1)
    after = relative_run(100, 200, machine=MACHINE, seed=5)
    bad = replace(after, rows=(replace(after.rows[0], problems=("fell back",)), after.rows[1]))
    assert compare(before, bad).pairs[1].reason.startswith("a single round, or no baseline")


def test_an_updated_driver_is_said_and_compared():
    comparison = compare(one(), replace(one(), machine={**MACHINE, "system": "Linux 7"}))
    assert not comparison.relative
    assert comparison.remarks == ("system: Linux before, Linux 7 after",)


def test_other_changes_are_reported():
    def changed(psnr_db: float, memory: int, **counts: object) -> Row:
        quality = quality_of(psnr_db)
        return row(quality=quality, memory=MemoryUse(memory, 1), counts=counts)

    before = results(changed(31.0, 1000, parameters=100, flops=2e9))
    after = results(changed(30.5, 1200, parameters=110, flops=2e9, bops=5))
    found = {c.what: (c.before, c.after) for c in only(compare(before, after)).changes}
    assert found == {
        "parameters": (100, 110), "bops": (None, 5), "peak_rss_bytes": (1000, 1200),
        "fitted_psnr_db": (31.0, 30.5),
    }  # fmt: skip
    told = " ".join(comparison_text(compare(before, after)).split())
    assert "psnr_db 31 -> 30.5 (-0.50 dB)" in told
    assert "parameters 100 -> 110 (+10.0%)" in told


def test_another_provider_is_reported():
    after = one(ran={"provider": "CPU", "threads": 4, "tf32": False})
    assert [change.what for change in only(compare(one(), after)).changes] == ["provider"]


def test_how_a_warm_up_went_and_what_never_ran_are_no_changes():
    ran = {"provider": "CPU", "threads": 4}
    before = one(ran={**ran, "warm_up": {"runs": 3, "settled": False}})
    after = one(ran={**ran, "warm_up": {"runs": 5, "settled": True}})
    assert only(compare(before, after)).changes == ()
    assert only(compare(before, one(ran={}, latency=None, error="gone"))).changes == ()


def test_rows_of_one_file_are_listed():
    a, b, c = (row(subject(name)) for name in "abc")
    comparison = compare(results(a, b), results(b, c))
    assert comparison.only_before == (a.subject.key,)
    assert comparison.only_after == (c.subject.key,)
    assert f"only after\n  {c.subject.key}" in comparison_text(comparison)


TEXT = """\
after / before; below 1 is faster. Times are parts of the baseline's, or in ms
sr, image 1x512x512
model runtime  before  after         ratio [95 %]      p verdict
busy  ort fp32      -      -                    -      - not comparable [1]
slow  ort fp32 100 ms 200 ms 2.000 [2.000, 2.000] <0.001 REGRESSION
[1] after: cannot be trusted: busy

0 faster, 1 slower, 0 same, 1 not comparable; regressions past 0.05: 1"""


def test_a_comparison_reads_as_a_table_with_a_verdict():
    before = results(row(subject("busy")), row(subject("slow"), latency=latency([100.0] * 8)))
    after = results(
        row(subject("busy"), problems=("busy",), latency=around(90)),
        row(subject("slow"), latency=latency([200.0] * 8)),
    )
    assert comparison_text(compare(before, after)) == TEXT


def test_no_line_of_a_comparison_is_wider_than_the_terminal():
    name = "a-model-with-a-name-that-no-table-has-room-for.safetensors"
    old = "the machine was busy and so on; " * 5
    before = replace(results(row(subject(name), latency=latency([100.0] * 8))), machine=OTHER)
    after = results(row(subject(name), latency=latency([200.0] * 8), problems=(old,)))
    text = comparison_text(compare(before, after))
    # A key is one word: it is copied into other commands.
    assert max(map(len, text.splitlines())) <= 80
    assert max(map(len, comparison_text(compare(before, after), width=120).splitlines())) > 80
    narrow = comparison_text(compare(before, after), width=40).splitlines()
    wide = [line for line in narrow if len(line) > 40]
    # The lines of the table, whose numbers lose no digit.
    assert [line.split()[:2] for line in wide] == [["model", "runtime"], ["a-model…", "ort"]]


@pytest.mark.slow
def test_a_comparison_is_json():
    comparison = compare(realistic(), realistic(seed=5))
    document = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert len(document["rows"]) == len(realistic().rows)
    assert document["regressions"] == [pair.subject.key for pair in comparison.regressions]
    assert document["rows"][0]["key"] == realistic().rows[0].subject.key


def test_files_without_a_common_row_say_so():
    assert "no row is in both files" in comparison_text(compare(results(), one()))


@pytest.mark.parametrize("threshold", [-0.1, math.nan, math.inf])
def test_a_threshold_that_makes_no_sense_is_refused(threshold):
    with pytest.raises(BenchmarkError, match="expected a part of 0 or more"):
        compare(one(), one(), threshold=threshold)


def test_holm_multiplies_the_smallest_by_all_and_keeps_the_order():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.5})


def measured_run(seed: int, models: int = 20) -> Results:
    """A run of rows whose true ratios are the same in every run, with noise of every kind.

    The machine drifts by a quarter over the run and single rounds are half as slow again, for all
    subjects of a round; each start lies elsewhere in memory (1.5 %); each visit scatters (2 %).
    """
    random = np.random.default_rng(seed)
    starts, rounds = 3, 5
    drift = np.linspace(1, 1.25, starts * rounds) * random.choice([1, 1.5], starts * rounds)
    latencies: dict[str, Latency] = {}
    for number in range(models):
        place = np.repeat(np.exp(random.normal(0, 0.015, starts)), rounds)
        times = 10 * (1 + number) * drift * place * np.exp(random.normal(0, 0.02, starts * rounds))
        samples = [[ms] for ms in times.tolist()]
        timed = statistics.latency(samples, times.tolist(), starts=[rounds] * starts)
        latencies[f"m{number}"] = timed
    by_key = {subject(name).key: timed for name, timed in latencies.items()}
    to_base = ratios(subject("m0").key, by_key)
    return results(
        *(
            row(subject(name), latency=timed, ratio=to_base[subject(name).key])
            for name, timed in latencies.items()
        )
    )


@pytest.mark.slow  # forty simulated runs
def test_two_runs_on_one_machine_disagree_in_no_more_rows_than_they_may():
    """At the 95 % level: in at most 5 % of the rows, by the verdict and by the intervals."""
    pairs = [
        pair
        for number in range(20)
        for pair in compare(measured_run(2 * number), measured_run(2 * number + 1)).pairs
        if pair.interval is not None
    ]
    assert len(pairs) == 20 * 19
    assert sum(pair.verdict != "same" for pair in pairs) / len(pairs) <= 0.05
    missed = sum(not pair.interval[0] <= 1 <= pair.interval[1] for pair in pairs if pair.interval)
    assert missed / len(pairs) <= 0.05


def test_a_row_that_became_a_third_slower_is_found_in_such_runs():
    before, after = measured_run(1), measured_run(2)
    slowed = after.rows[7]
    assert slowed.latency is not None
    times = [samples[0] * 1.33 for samples in slowed.latency.rounds_ms]
    timed = statistics.latency([[ms] for ms in times], times, starts=slowed.latency.starts)
    worse = replace(slowed, latency=timed)
    rows = (*after.rows[:7], worse, *after.rows[8:])
    found = compare(before, replace(after, rows=rows))
    assert [pair.subject.model for pair in found.regressions] == ["m7"]


def test_a_row_known_too_little_for_its_claim_is_tested_all_the_same():
    wide = one(problems=("known to ±30%",), word="wide", latency=around(101, noise=0.3))
    assert only(compare(one(latency=around(100, noise=0.3)), wide)).verdict == "same"


def test_a_file_with_itself_is_the_same_in_every_row_whatever_is_wrong_with_it():
    bad = results(
        row(subject("busy"), problems=("it is another picture",), word="differs"),
        row(subject("broken"), latency=None, error="out of memory"),
        row(subject("once"), latency=latency([3.0])),
    )
    assert [pair.verdict for pair in compare(bad, bad).pairs] == ["same"] * 3

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
from unifmir.benchmarks.measure.results import MemoryUse, Ratio, Results, Row
from unifmir.benchmarks.report.results_comparison import (
    ResultsComparison,
    compare,
    holm,
    ratio_interval,
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
        assert pair.ratio == 1
        assert pair.interval is not None
        assert pair.interval[0] <= 1 <= pair.interval[1]
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
    fewer = replace(one(), settings={"threads": 1})
    assert only(compare(one(), fewer)).reason == "threads: 4 before, 1 after"
    inside = one(ran={"threads": 2})
    assert only(compare(one(), inside)).reason == "threads in the runtime: 4 before, 2 after"


def test_too_few_rounds_are_not_called_the_same():
    before, after = one(latency=around(100, rounds=3)), one(latency=around(200, rounds=3))
    pair = only(compare(before, after))
    assert pair.verdict == "not comparable"
    assert "3 and 3 rounds are too few" in pair.reason
    assert pair.ratio == pytest.approx(2)


def relative_run(own_ms: float, base_ms: float, *, machine: dict[str, Any], seed: int) -> Results:
    """A baseline and a row, on a machine."""
    base = row(subject("base"), latency=around(base_ms, seed=seed))
    key = base.subject.key
    own = row(latency=around(own_ms, seed=seed + 1), ratio=Ratio(key, 1.0, (1.0, 1.0), 1.0))
    base = replace(base, ratio=Ratio(key, 1.0, (1.0, 1.0), 1.0))
    return results(base, own, machine=machine)


def test_on_different_machines_only_ratios_to_the_baseline_are_compared():
    before = relative_run(100, 200, machine=MACHINE, seed=1)
    # All is three times as slow there: no change of the row against the baseline.
    same = compare(before, relative_run(300, 600, machine=OTHER, seed=5))
    assert same.relative
    assert "different machines" in same.remarks[0]
    baseline, own = same.pairs
    assert baseline.reason == "different machines, and it is the baseline itself"
    assert own.verdict == "same"
    assert own.before == pytest.approx(0.5, rel=0.02)
    worse = compare(before, relative_run(450, 600, machine=OTHER, seed=5))
    assert [pair.subject.model for pair in worse.regressions] == ["m"]
    assert "before/baseline" in comparison_text(worse)


def test_on_different_machines_a_row_without_a_baseline_is_not_compared():
    pair = only(compare(one(), replace(one(), machine=OTHER)))
    assert pair.reason == "different machines, and no baseline that can be trusted"


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
    assert "psnr_db 31 -> 30.5 (-0.50 dB)" in comparison_text(compare(before, after))
    assert "parameters 100 -> 110 (+10.0%)" in comparison_text(compare(before, after))


def test_another_provider_is_reported():
    after = one(ran={"provider": "CPU", "threads": 4, "tf32": False})
    assert [change.what for change in only(compare(one(), after)).changes] == ["provider"]


def test_rows_of_one_file_are_listed():
    a, b, c = (row(subject(name)) for name in "abc")
    comparison = compare(results(a, b), results(b, c))
    assert comparison.only_before == (a.subject.key,)
    assert comparison.only_after == (c.subject.key,)
    assert f"only after\n  {c.subject.key}" in comparison_text(comparison)


TEXT = """\
after / before; below 1 is faster
task  workload  shape      model  runtime      precision  device  before, ms  after, ms          ratio [95 %]       p  verdict
sr    image     1x512x512  busy   onnxruntime  fp32       cpu              -          -                     -       -  not comparable [1]
sr    image     1x512x512  slow   onnxruntime  fp32       cpu            100        200  2.000 [2.000, 2.000]  <0.001  slower: REGRESSION
[1] after: cannot be trusted: busy

0 faster, 1 slower, 0 same, 1 not comparable; regressions past 0.05: 1"""  # noqa: E501 - as it is printed


def test_a_comparison_reads_as_a_table_with_a_verdict():
    before = results(row(subject("busy")), row(subject("slow"), latency=latency([100.0] * 8)))
    after = results(
        row(subject("busy"), problems=("busy",)), row(subject("slow"), latency=latency([200.0] * 8))
    )
    assert comparison_text(compare(before, after)) == TEXT


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


def test_the_interval_of_the_ratio_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        before, after = np.exp(random.normal(0, 0.05, (2, 15)))
        low, high = ratio_interval(before, 1.2 * after)
        held += low <= 1.2 <= high
    # 95 % is promised; percentiles of medians of 15 rounds hold a little more or less.
    assert 180 <= held <= 200

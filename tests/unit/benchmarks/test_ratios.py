"""Ratios to a baseline, round against round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unifmir.benchmarks.measure.ratios import ratio_spreads, ratios
from unifmir.benchmarks.measure.results import Latency, Ratio
from unifmir.benchmarks.measure.statistics import latency
from unifmir.errors import BenchmarkError

times = st.floats(min_value=0.01, max_value=1e5, allow_nan=False)
rounds = st.lists(st.lists(times, min_size=1, max_size=4), min_size=2, max_size=12)


def of(samples: list[list[float]]) -> Latency:
    """The latency of samples by round, with one CPU time a round."""
    return latency(samples, [min(one) for one in samples])


def between(base: Latency, own: Latency) -> Ratio:
    """The ratio in a table of the two."""
    return ratios("base", {"base": base, "own": own})["own"]


def test_the_ratio_compares_round_against_round():
    # The machine slows down threefold in the middle, for both: the ratio does not see it.
    base = of([[10.0], [30.0], [10.0], [30.0], [10.0]])
    own = of([[5.0], [15.0], [5.0], [15.0], [5.0]])
    found = between(base, own)
    assert found.ratio == pytest.approx(2.0)
    assert found.interval == (found.ratio, found.ratio)
    assert found.cpu_ratio == 2.0
    assert found.baseline == "base"


def test_the_ratio_is_to_the_baseline_right_beside_where_it_was_timed_there():
    # The machine slows down threefold within the second round, while another subject runs.
    base = of([[10.0, 10.0, 10.0], [10.0, 30.0, 30.0]])
    beside = [[10.0, 10.0], [30.0, 30.0]]
    own = latency([[5.0], [15.0]], [5.0, 15.0], baseline_ms=beside)
    assert own.baseline_ms == ((10.0, 10.0), (30.0, 30.0))
    found = between(base, own)
    assert found.ratio == pytest.approx(2.0)
    assert found.interval == pytest.approx((2.0, 2.0))


def test_rounds_of_different_runs_are_not_compared():
    with pytest.raises(BenchmarkError, match="not taken in turn"):
        between(of([[1.0], [1.0], [1.0]]), of([[1.0], [1.0]]))


def test_a_baseline_that_was_started_more_often_is_compared_by_its_first_rounds():
    base = latency([[10.0], [20.0], [30.0], [99.0]], [1.0] * 4, starts=[1, 1, 1, 1])
    own = latency([[5.0], [10.0], [15.0]], [1.0] * 3, starts=[1, 1, 1])
    assert between(base, own).ratio == pytest.approx(2.0)
    with pytest.raises(BenchmarkError, match="not taken in turn"):
        between(own, base)


@given(rounds)
def test_a_subject_is_as_fast_as_itself(samples):
    found = between(of(samples), of(samples))
    assert found.ratio == found.cpu_ratio == 1.0
    assert found.interval == (1.0, 1.0)


@given(rounds, st.sampled_from([0.5, 4.0]), st.floats(min_value=0.1, max_value=10))
def test_a_round_that_is_slower_for_both_changes_no_ratio(samples, factor, slower):
    own = [[ms / factor for ms in one] for one in samples]
    calm = between(of(samples), of(own))
    first = ([ms * slower for ms in samples[0]], [ms * slower for ms in own[0]])
    busy = between(of([first[0], *samples[1:]]), of([first[1], *own[1:]]))
    assert busy.ratio == pytest.approx(calm.ratio)
    assert busy.interval == pytest.approx(calm.interval)


def test_a_baseline_that_took_more_rounds_of_a_start_is_compared_by_the_first_of_each():
    base = latency([[10.0], [20.0], [99.0], [30.0], [99.0]], [1.0] * 5, starts=[3, 2])
    own = latency([[5.0], [10.0], [15.0]], [1.0] * 3, starts=[2, 1])
    assert between(base, own).ratio == pytest.approx(2.0)


def test_the_baseline_is_once_as_fast_as_itself_whatever_the_others_do():
    base = latency([[10.0], [20.0]] * 3, [1.0] * 6, starts=[2] * 3)
    own = latency([[5.0], [10.0], [7.0], [11.0], [9.0], [20.0]], [1.0] * 6, starts=[2] * 3)
    found = ratio_spreads("base", {"base": base, "own": own})
    assert found["base"].interval == (1.0, 1.0)
    assert found["own"].half_width > 0


def test_a_subject_that_was_left_out_of_a_start_is_compared_in_the_others():
    base = latency([[10.0], [20.0], [99.0], [30.0]], [1.0] * 4, starts=[1, 1, 1, 1])
    own = latency([[5.0], [10.0], [15.0]], [1.0] * 3, starts=[1, 1, 0, 1])
    assert between(base, own).ratio == pytest.approx(2.0)
    assert between(base, own).interval == pytest.approx((2.0, 2.0))

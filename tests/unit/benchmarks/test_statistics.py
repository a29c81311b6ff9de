import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unifmir.benchmarks.measure.results import Latency
from unifmir.benchmarks.measure.statistics import (
    latency,
    power_law,
    ratio,
    round_medians,
    spread,
    variation,
)
from unifmir.errors import BenchmarkError

times = st.floats(min_value=0.01, max_value=1e5, allow_nan=False)
rounds = st.lists(st.lists(times, min_size=1, max_size=4), min_size=2, max_size=12)


def of(samples: list[list[float]]) -> Latency:
    """The latency of samples by round, with one CPU time a round."""
    return latency(samples, [min(one) for one in samples])


def test_known_samples_give_known_figures():
    found = latency([[1.0, 3.0, 2.0], [4.0, 4.0, 4.0], [3.0]], [1.5, 3.5, 2.5], device_ms=[2, 1, 3])
    assert found.median_ms == pytest.approx(24 ** (1 / 3))  # of 2, 4 and 3
    assert found.minimum_ms == 1.0
    assert found.variation == pytest.approx(1 / 3)
    everything = [1, 3, 2, 4, 4, 4, 3]
    assert found.p90_ms == pytest.approx(np.percentile(everything, 90))
    assert found.p99_ms == pytest.approx(np.percentile(everything, 99))
    assert found.rounds_ms == ((1.0, 3.0, 2.0), (4.0, 4.0, 4.0), (3.0,))
    assert found.cpu_ms == (1.5, 3.5, 2.5)
    assert found.device_ms == 2.0
    assert found.copy_ms is None


def test_equal_rounds_have_an_interval_of_no_width():
    found = spread([7.0] * 9, [3, 3, 3])
    assert found.interval == (found.value, found.value)
    assert found.value == pytest.approx(7.0)
    assert variation([7.0] * 9) == 0.0


def test_starts_are_the_units_and_not_their_rounds():
    """Known by hand: three starts at 1, 2 and 4 with rounds that agree."""
    found = spread([1.0] * 5 + [2.0] * 5 + [4.0] * 5, [5, 5, 5])
    assert found.value == pytest.approx(2.0)
    assert found.freedom == 2
    # The logarithms scatter by ln 2; 4.302653 is Student's t of two degrees of freedom.
    assert found.error == pytest.approx(math.log(2) / math.sqrt(3))
    assert found.half_width == pytest.approx(4.302653 * math.log(2) / math.sqrt(3), rel=1e-6)
    # As rounds of one start they would be known far better than they are.
    assert spread([1.0] * 5 + [2.0] * 5 + [4.0] * 5).half_width < 0.4 * found.half_width


def test_starts_that_agree_by_luck_are_known_no_better_than_their_rounds():
    """Rounds at 0.9, 1, 1.1 in every start: the starts' medians are all 1."""
    found = spread([0.9, 1.0, 1.1] * 3, [3, 3, 3])
    # Median absolute deviation of the logarithms: ln 1.1 = 0.0953.
    deviation = 1.4826 * math.log(1.1) * math.sqrt(3 / 2)
    assert found.error == pytest.approx(math.sqrt(math.pi / 2 * deviation**2 / 3 / 3))
    # Nine rounds about three medians: six degrees of freedom, of which a MAD has 37 %.
    assert found.freedom == pytest.approx(0.37 * 6)


def test_rounds_decide_where_their_interval_is_the_wider_one():
    """Starts that differ a little, with rounds that differ much more: the same six of each."""
    rounds = [0.7, 1.0, 1.4, 0.8, 1.25, 1.0]
    found = spread([scale * one for scale in (1.0, 1.01, 1.02) for one in rounds], [6, 6, 6])
    assert found.freedom == pytest.approx(0.37 * 15)
    apart = spread([scale * one for scale in (1.0, 2.0, 4.0) for one in rounds], [6, 6, 6])
    assert apart.freedom == 2


def test_one_round_has_no_interval():
    with pytest.raises(BenchmarkError, match="at least two starts"):
        spread([1.0])


def test_a_single_round_has_no_variation():
    assert variation([5.0]) == 0.0


@pytest.mark.parametrize(
    ("between", "within", "target"),
    [(0.01, 0.02, 0.03), (0.02, 0.02, 0.03), (0.03, 0.01, 0.08), (0.02, 0.1, 0.08)],
)
def test_the_interval_holds_the_truth_though_starts_end_when_it_is_narrow(between, within, target):
    """Starts differ, rounds of a start differ, and starts are added until the target is met."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        taken: list[float] = []
        while True:
            taken += np.exp(rng.normal(0, between) + rng.normal(0, within, 5)).tolist()
            starts = [5] * (len(taken) // 5)
            if len(starts) < 3:
                continue
            found = spread(taken, starts)
            if found.half_width <= target or len(starts) == 12:
                break
        held += found.interval[0] <= 1 <= found.interval[1]
    # Of 200 at 95 % one expects 190; three binomial deviations below that are 181.
    assert held >= 181


def test_the_ratio_compares_round_against_round():
    # The machine slows down threefold in the middle, for both: the ratio does not see it.
    base = of([[10.0], [30.0], [10.0], [30.0], [10.0]])
    own = of([[5.0], [15.0], [5.0], [15.0], [5.0]])
    found = ratio("base", base, own)
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
    found = ratio("base", base, own)
    assert found.ratio == pytest.approx(2.0)
    assert found.interval == pytest.approx((2.0, 2.0))


def test_rounds_of_different_runs_are_not_compared():
    with pytest.raises(BenchmarkError, match="not taken in turn"):
        ratio("base", of([[1.0], [1.0], [1.0]]), of([[1.0], [1.0]]))


def test_a_baseline_that_was_started_more_often_is_compared_by_its_first_rounds():
    base = latency([[10.0], [20.0], [30.0], [99.0]], [1.0] * 4, starts=[1, 1, 1, 1])
    own = latency([[5.0], [10.0], [15.0]], [1.0] * 3, starts=[1, 1, 1])
    assert ratio("base", base, own).ratio == pytest.approx(2.0)
    with pytest.raises(BenchmarkError, match="not taken in turn"):
        ratio("own", own, base)


@pytest.mark.parametrize("samples", [[], [[1.0], []]])
def test_a_round_without_samples_is_refused(samples):
    with pytest.raises(BenchmarkError, match="nothing was measured"):
        round_medians(samples)


@given(rounds, st.sampled_from([0.25, 2.0, 1024.0]))
def test_another_unit_of_time_scales_every_figure(samples, factor):
    # Powers of two: no rounding.
    before, after = of(samples), of([[ms * factor for ms in one] for one in samples])
    assert after.median_ms == pytest.approx(before.median_ms * factor)
    assert after.interval_ms == pytest.approx([ms * factor for ms in before.interval_ms])
    assert after.p99_ms == pytest.approx(before.p99_ms * factor)
    assert after.variation == pytest.approx(before.variation)


@given(rounds)
def test_the_median_lies_in_its_interval_and_the_percentiles_are_in_order(samples):
    found = of(samples)
    low, high = found.interval_ms
    assert low <= found.median_ms <= high
    assert found.minimum_ms <= found.median_ms * (1 + 1e-12)
    assert found.minimum_ms <= found.p90_ms <= found.p99_ms


@given(rounds, st.randoms(use_true_random=False))
def test_the_order_of_the_rounds_does_not_matter(samples, random):
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert of(shuffled).interval_ms == pytest.approx(of(samples).interval_ms)
    assert of(shuffled).median_ms == pytest.approx(of(samples).median_ms)


@given(rounds)
def test_a_subject_is_as_fast_as_itself(samples):
    found = ratio("base", of(samples), of(samples))
    assert found.ratio == found.cpu_ratio == 1.0
    assert found.interval == (1.0, 1.0)


@given(rounds, st.sampled_from([0.5, 4.0]), st.floats(min_value=0.1, max_value=10))
def test_a_round_that_is_slower_for_both_changes_no_ratio(samples, factor, slower):
    own = [[ms / factor for ms in one] for one in samples]
    calm = ratio("base", of(samples), of(own))
    first = ([ms * slower for ms in samples[0]], [ms * slower for ms in own[0]])
    busy = ratio("base", of([first[0], *samples[1:]]), of([first[1], *own[1:]]))
    assert busy.ratio == pytest.approx(calm.ratio)
    assert busy.interval == pytest.approx(calm.interval)


def test_the_exponent_of_a_power_law_is_found():
    pixels = [100.0, 200.0, 400.0, 800.0]
    found = power_law(pixels, [0.5 * p**1.25 for p in pixels])
    assert found.exponent == pytest.approx(1.25)
    assert found.factor == pytest.approx(0.5)
    assert found.interval == pytest.approx((1.25, 1.25), abs=1e-6)
    assert found.points == 4


def test_the_interval_of_the_exponent_holds_the_truth_under_noise():
    rng = np.random.default_rng(3)
    pixels = np.geomspace(1e4, 1e6, 12)
    noisy = pixels**1.1 * np.exp(rng.normal(0, 0.05, len(pixels)))
    low, high = power_law(pixels, noisy).interval
    assert low < 1.1 < high
    assert math.isclose((low + high) / 2, 1.1, abs_tol=0.1)


def test_two_sizes_have_no_exponent():
    with pytest.raises(BenchmarkError, match="at least 3 image sizes"):
        power_law([1.0, 2.0, 2.0], [1.0, 2.0, 2.0])

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unifmir.benchmarks.measure.results import Latency
from unifmir.benchmarks.measure.statistics import (
    latency,
    power_law,
    pseudomedian,
    round_medians,
    spread,
    spreads,
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
    """Rounds at 0.9, 1, 1/0.9 in every start: the starts' pseudomedians are all 1."""
    found = spread([0.9, 1.0, 1 / 0.9] * 3, [3, 3, 3])
    # The distances of two rounds of a start: ln 1/0.9 twice, and once twice of it.
    deviation = 1.0483 * math.log(1 / 0.9)
    assert found.error == pytest.approx(math.sqrt(math.pi / 3 * deviation**2 / 9))
    # Nine rounds about three starts: six degrees of freedom, of which that median has 86 %.
    assert found.freedom == pytest.approx(0.86 * 6)


def test_rounds_decide_where_their_interval_is_the_wider_one():
    """Starts that differ a little, with rounds that differ much more: the same six of each."""
    rounds = [0.7, 1.0, 1.4, 0.8, 1.25, 1.0]
    found = spread([scale * one for scale in (1.0, 1.01, 1.02) for one in rounds], [6, 6, 6])
    assert found.freedom == pytest.approx(0.86 * 15)
    apart = spread([scale * one for scale in (1.0, 2.0, 4.0) for one in rounds], [6, 6, 6])
    assert apart.freedom == 2


def test_the_pseudomedian_is_of_the_means_of_all_pairs():
    """Known by hand, and by R's wilcox.test(c(1, 2, 4), conf.int = TRUE): pairs 1 1.5 2 2.5 3 4."""
    assert pseudomedian([1.0, 2.0, 4.0]) == 2.25
    assert pseudomedian([5.0]) == 5.0
    assert pseudomedian([1.0, 2.0, 3.0, 4.0, 1e6]) == 3.0


def scattered(*scales: float) -> tuple[list[float], list[int]]:
    """Starts of two rounds at these multiples."""
    return [scale for scale in scales for _ in range(2)], [2] * len(scales)


def test_quantities_of_one_table_say_together_how_much_starts_scatter():
    """Logarithms -1, 0, 1 and -2, 0, 2, in units of a hundredth: variances 1 and 4."""
    little, more = scattered(*np.exp([-0.01, 0, 0.01])), scattered(*np.exp([-0.02, 0, 0.02]))
    found = spreads({"little": little, "more": more})
    assert spread(*little).error == pytest.approx(0.01 / math.sqrt(3))
    for one in found.values():
        assert one.error == pytest.approx(math.sqrt(2.5e-4 / 3))
        # Two and two degrees of freedom; of two variances that share a part less are independent.
        assert one.freedom == pytest.approx(4 / 1.25)


def test_one_that_scatters_more_than_chance_explains_speaks_for_itself():
    calm = {name: scattered(*np.exp([-0.01, 0, 0.01])) for name in "abcd"}
    wild = scattered(*np.exp([-0.5, 0, 0.5]))
    found = spreads({**calm, "wild": wild})
    assert found["wild"] == spread(*wild)
    assert found["wild"].half_width == pytest.approx(4.302653 * 0.5 / math.sqrt(3), rel=1e-6)


def test_rounds_of_single_starts_say_nothing_of_starts():
    one, other = [1.0, 1.1, 1.2], [1.0, 1.5, 2.0]
    found = spreads({"one": (one, ()), "other": (other, ())})
    assert found == {"one": spread(one), "other": spread(other)}


@pytest.mark.parametrize(
    ("subjects", "shared", "between", "unlike", "within", "target"),
    [
        (5, 0.03, 0.03, 0.5, 0.1, 0.08),
        (5, 0.0, 0.03, 0.8, 0.05, 0.08),
        (2, 0.03, 0.03, 0.5, 0.1, 0.08),
        (6, 0.01, 0.01, 0.5, 0.03, 0.03),
        (5, 0.0, 0.0, 0.0, 0.12, 0.08),
    ],
)
def test_intervals_of_a_table_hold_the_truth_though_it_ends_when_they_are_narrow(
    subjects, shared, between, unlike, within, target
):
    """The baseline's starts scatter, which all ratios share, and the subjects' by unlike amounts.

    Starts are added until all intervals are within the target, or there are six.
    """
    rng, held, tables, count = np.random.default_rng(2), 0, 100, 6
    for _ in range(tables):
        own = between * np.exp(rng.normal(0, unlike, (subjects, 1)))
        places = rng.normal(0, shared, 6) + own * rng.normal(0, 1, (subjects, 6))
        logs = places[:, :, None] + rng.normal(0, within, (subjects, 6, count))
        for starts in range(3, 7):
            found = spreads(
                {
                    str(place): (np.exp(one[:starts]).ravel(), [count] * starts)
                    for place, one in enumerate(logs)
                }
            )
            if all(one.half_width <= target for one in found.values()):
                break
        held += sum(one.interval[0] <= 1 <= one.interval[1] for one in found.values())
    # Rows of one table share the baseline: a binomial deviation of so many tables below 95 %.
    assert held / (tables * subjects) >= 0.95 - (0.95 * 0.05 / tables) ** 0.5


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

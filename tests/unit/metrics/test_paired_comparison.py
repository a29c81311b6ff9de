"""Paired comparison of two sets of scores: signs, intervals, and what cannot be said."""

import numpy as np
import pytest

from unifmir.metrics.paired_comparison import compare_scores, interval_of_mean


def scores(values) -> dict[str, dict[str, float]]:
    """Scores of one metric by image."""
    return {f"image {index}": {"psnr_db": float(value)} for index, value in enumerate(values)}


def test_a_difference_is_first_minus_second_over_the_shared_images():
    first, second = scores([30, 31, 35]), scores([28, 30])
    found = compare_scores(first, second)["psnr_db"]
    assert (found.images, found.mean) == (2, 1.5)


def test_a_gain_in_every_image_is_significant_from_six_on():
    # Two of the 2^6 signs are as extreme: p = 2 / 64.
    gains = np.array([0.5, 0.7, 1.1, 0.9, 1.3, 0.8])
    found = compare_scores(scores(30 + gains), scores(np.full(6, 30.0)))["psnr_db"]
    assert found.p == pytest.approx(2 / 64)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.mean < found.high
    fewer = compare_scores(scores(30 + gains[:5]), scores(np.full(5, 30.0)))["psnr_db"]
    assert fewer.p is None


def test_noise_alone_has_zero_in_its_interval():
    noise = np.random.default_rng(0).normal(size=40)
    found = compare_scores(scores(30 + noise), scores(30 - noise[::-1]))["psnr_db"]
    assert found.low is not None
    assert found.high is not None
    assert found.p is not None
    assert found.low < 0 < found.high
    assert found.p > 0.05


def test_nothing_is_said_of_equal_sets_or_of_none():
    same = scores([30, 31, 32, 33, 34, 35, 36])
    found = compare_scores(same, same)["psnr_db"]
    assert (found.mean, found.low, found.high, found.p) == (0, None, None, None)
    assert compare_scores(same, {}) == {}


def test_an_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(60):
        interval = interval_of_mean(list(rng.normal(3, 1, 25)))
        assert interval is not None
        inside += interval[0] <= 3 <= interval[1]
    # 95 % of 60 is 57; fewer than 50 has a chance below 1e-3.
    assert inside >= 50


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0], [1.0, float("inf")]])
def test_there_is_no_interval_of_what_does_not_vary(values):
    assert interval_of_mean(values) is None


def test_images_that_are_exact_in_both_sets_do_not_differ():
    first, second = scores([30, np.inf]), scores([28, np.inf])
    assert compare_scores(first, second)["psnr_db"].mean == 1.0
    better = compare_scores(scores([np.inf] * 7), scores(range(20, 27)))["psnr_db"]
    assert (better.mean, better.low, better.p) == (np.inf, None, 2 / 2**7)

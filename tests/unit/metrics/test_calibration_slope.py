"""A restoration that leaves out what it cannot know has a slope below 1 and a calibration of 1."""

import numpy as np
import pytest

from unifmir.metrics.calibration_slope import calibration_slope
from unifmir.metrics.intensity_slope import intensity_slope

KEPT = 400.0 / (400.0 + 100.0)
"""Share of a noisy pixel's deviation that is kept: truth of variance 400, noise of 100."""


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """The expected truth of each noisy pixel, and the truth; photons."""
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 20, (512, 512))
    noisy = truth + rng.normal(0, 10, truth.shape)
    return 100 + KEPT * (noisy - 100), truth


def test_the_mean_of_what_could_be_there_is_calibrated(pair):
    assert intensity_slope(*pair) == pytest.approx(KEPT, abs=0.005)
    assert calibration_slope(*pair) == pytest.approx(1.0, abs=0.005)


def test_a_factor_of_intensities_is_seen(pair):
    restored, truth = pair
    assert calibration_slope(1.25 * restored, truth) == pytest.approx(0.8, abs=0.005)


def test_an_unrestored_noisy_image_promises_too_much(pair):
    restored, truth = pair
    noisy = 100 + (restored - 100) / KEPT
    assert intensity_slope(noisy, truth) == pytest.approx(1.0, abs=0.005)
    assert calibration_slope(noisy, truth) == pytest.approx(KEPT, abs=0.005)

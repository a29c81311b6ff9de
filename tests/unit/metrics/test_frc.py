"""Fourier ring correlation: the closed form for white noise on a known spectrum, and its ends."""

import numpy as np
import pytest
from scipy import fft

from tests.helpers.line_images import NANOPYX, recorded_twice
from unifmir.metrics.frc import frc_resolution_px, ring_correlation

WIDTH = 0.12
"""Frequency at which the power of the structure has fallen to 1 / e, in cycles a pixel."""
NOISE = 0.1
"""Standard deviation of the noise, for a structure of power 1 at frequency 0."""


def structure(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Planes of random structure whose power falls as a Gaussian of the frequency."""
    frequency = np.hypot(fft.fftfreq(shape[-2])[:, None], fft.fftfreq(shape[-1]))
    filtered = fft.fft2(rng.normal(size=shape)) * np.exp(-((frequency / WIDTH) ** 2) / 2)
    planes: np.ndarray = fft.ifft2(filtered).real
    return planes


@pytest.mark.parametrize("shape", [(256, 256), (256, 384), (6, 128, 128)])
def test_noise_on_a_known_spectrum_has_the_correlation_of_the_closed_form(shape):
    rng = np.random.default_rng(0)
    truth = structure(rng, shape)
    frequencies, found = ring_correlation(truth + NOISE * rng.normal(size=shape), truth)
    power = np.exp(-((frequencies / WIDTH) ** 2))
    expected = np.sqrt(power / (power + NOISE**2))
    # A ring of radius r has pi r independent points, which the window's width, 1.5 along each axis,
    # makes fewer; planes add theirs.
    radii = frequencies * 2 * len(frequencies)
    points = np.pi * radii / 1.5**2 * (shape[0] if len(shape) == 3 else 1)
    deviation = (1 - expected**2) / np.sqrt(points)
    away = ((found - expected) / deviation)[5:]
    assert np.abs(away).max() < 4.5
    assert np.sqrt(np.square(away).mean()) < 1.5


def test_the_resolution_is_where_the_closed_form_falls_below_a_seventh():
    rng = np.random.default_rng(1)
    truth = structure(rng, (512, 512))
    noisy = truth + NOISE * rng.normal(size=truth.shape)
    # power / (power + noise) = 1 / 49
    expected = 1 / (WIDTH * np.sqrt(np.log(48 / NOISE**2)))
    assert frc_resolution_px(noisy, truth) == pytest.approx(expected, rel=0.05)


def test_units_do_not_count():
    rng = np.random.default_rng(2)
    truth = structure(rng, (128, 128))
    noisy = truth + NOISE * rng.normal(size=truth.shape)
    assert frc_resolution_px(7 * noisy + 100, truth) == pytest.approx(
        frc_resolution_px(noisy, truth), rel=1e-9
    )


def test_the_same_image_is_resolved_to_two_pixels_and_another_to_nothing():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(96, 64))
    assert frc_resolution_px(truth, truth) == 2
    assert frc_resolution_px(np.zeros_like(truth), truth) == 64


def test_a_blurred_image_is_resolved_less():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(128, 128))
    frequency = np.hypot(fft.fftfreq(128)[:, None], fft.fftfreq(128))
    resolved = [
        frc_resolution_px(fft.ifft2(fft.fft2(truth) * (frequency < limit)).real, truth)
        for limit in (0.4, 0.2, 0.1)
    ]
    # To within two rings, over which the values are smoothed.
    assert [1 / one for one in resolved] == pytest.approx([0.4, 0.2, 0.1], abs=2 / 128)


@pytest.mark.parametrize("seed", NANOPYX)
def test_the_resolution_is_within_4_percent_of_nanopyx(seed: int):
    blur_px, _, expected, *_ = NANOPYX[seed]
    # The same threshold; its window is another (Tukey), and rings are smoothed otherwise.
    assert frc_resolution_px(*recorded_twice(seed, blur_px)) == pytest.approx(expected, rel=0.04)

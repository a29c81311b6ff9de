"""Metrics of files against closed forms, and figures of the packages nanopyx and microssim."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.helpers.line_images import MICROSSIM, NANOPYX, lines, microssim_images, sharp_images
from unifmir.errors import ImageError
from unifmir.metrics import FILE_METRICS
from unifmir.metrics.decorrelation import decorrelation_px
from unifmir.metrics.fwhm import half_width, line_width_px
from unifmir.metrics.microssim import microssim
from unifmir.metrics.squirrel import resolution_scaled_error, squirrel

FWHM_OF_SIGMA = 2 * np.sqrt(2 * np.log(2))


@pytest.mark.parametrize("seed", NANOPYX)
def test_decorrelation_is_within_5_percent_of_nanopyx(seed: int):
    blur_px, expected, *_ = NANOPYX[seed]
    assert decorrelation_px(lines(seed, blur_px)[1]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("cut_off", [0.3, 0.5, 0.7])
def test_a_disc_of_frequencies_ends_where_it_ends(cut_off: float):
    rng = np.random.default_rng(0)
    frequencies = np.fft.fftfreq(256)
    inside = 2 * np.hypot(frequencies[:, None], frequencies) <= cut_off
    image = np.fft.ifft2(np.exp(2j * np.pi * rng.random(inside.shape)) * inside).real
    assert decorrelation_px(image) == pytest.approx(2 / cut_off, rel=0.01)


def test_what_holds_no_signal_has_no_resolution():
    assert decorrelation_px(np.full((40, 60), 3.0)) == 40


@pytest.mark.parametrize("seed", NANOPYX)
def test_squirrel_is_nanopyx(seed: int):
    blur_px, _, _, *expected = NANOPYX[seed]
    _, image = lines(seed, blur_px)
    for candidate, figures in zip(sharp_images(seed), expected, strict=True):
        found = squirrel(candidate, image)
        rse, rsp, mean = figures
        assert found.rse == pytest.approx(rse, rel=1e-3)
        assert found.rsp == pytest.approx(rsp, abs=2e-4)
        assert found.map.mean() == pytest.approx(mean, rel=1e-3)
        assert found.map.shape == image.shape


def test_squirrel_finds_the_blur_and_forgives_units():
    points, _ = lines(0, 1.0)
    restored = gaussian_filter(points, 1.0)
    image = 7 * gaussian_filter(restored, 2.0) + 100
    found = squirrel(restored, image)
    assert found.sigma_px == pytest.approx(2.0, abs=0.01)
    assert found.rsp == pytest.approx(1, abs=1e-5)
    assert found.rse < 1e-3 * np.ptp(image)
    assert resolution_scaled_error(restored, image) == pytest.approx(found.rse / np.ptp(image))


def test_a_coarser_reference_is_interpolated():
    points, _ = lines(0, 1.0)
    restored = gaussian_filter(points, 2.0)
    coarse = gaussian_filter(restored, 2.0).reshape(96, 2, 96, 2).mean(axis=(1, 3))
    found = squirrel(restored, coarse)
    assert found.rsp > 0.9999
    # Two pixels averaged blur by a standard deviation of a half.
    assert found.sigma_px == pytest.approx(np.sqrt(4 + 0.25), abs=0.05)
    with pytest.raises(ImageError, match="a whole number of times as many"):
        squirrel(restored[:191], coarse)


def test_a_constant_image_explains_nothing():
    reference = lines(0, 1.5)[1]
    found = squirrel(np.ones_like(reference), reference)
    assert found.rsp == 0
    assert found.rse == pytest.approx(reference.std())


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5])
def test_a_gaussian_profile_has_the_width_of_its_formula(sigma: float):
    x = np.arange(-80, 81) * 0.25
    profile = 5 + 3 * np.exp(-(x**2) / (2 * sigma**2))
    assert half_width(profile, 0.25) == pytest.approx(FWHM_OF_SIGMA * sigma, rel=2e-3)
    assert half_width(np.linspace(0, 1, 30)) is None


@pytest.mark.parametrize("degrees", [0, 20, 45, 90])
def test_lines_of_any_direction_have_the_width_of_their_formula(degrees: int):
    angle = np.radians(degrees)
    y, x = np.indices((96, 96)) - 48.0
    distance = y * np.cos(angle) + x * np.sin(angle)
    truth = np.exp(-(distance**2) / 2)
    for sigma in (1.2, 2.0, 3.0):
        restored = 100 + 50 * np.exp(-(distance**2) / (2 * sigma**2))
        found = line_width_px(restored, truth)
        assert found == pytest.approx(FWHM_OF_SIGMA * sigma, rel=0.01)


def test_an_image_without_lines_has_the_side_as_width():
    assert line_width_px(np.zeros((48, 64)), np.zeros((48, 64)) + np.eye(48, 64) * 1e-9) == 48


@pytest.mark.parametrize("seed", MICROSSIM)
def test_microssim_is_that_of_its_package(seed: int):
    pairs = microssim_images(seed)
    for (restored, truth), expected in zip(pairs, MICROSSIM[seed], strict=True):
        assert microssim(restored, truth) == pytest.approx(expected, abs=2e-6)
    sharp, truth = pairs[0]
    in_other_units = (sharp - 50) / 300 / 1000
    assert microssim(in_other_units, truth) == pytest.approx(MICROSSIM[seed][0], abs=2e-6)
    assert microssim(truth, truth) == pytest.approx(1)
    assert microssim(np.ones_like(truth), truth) == 0


def test_the_offset_is_that_of_the_line():
    truth = lines(0, 1.0)[1].astype(np.float64)
    low, span = float(truth.min()), float(np.ptp(truth))
    restored = low + 0.9 * (truth - low) + 0.2 * span
    assert FILE_METRICS["offset"].measure(restored, truth) == pytest.approx(0.2)
    assert FILE_METRICS["offset"].measure(truth, truth) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", FILE_METRICS)
def test_stacks_and_planes_are_measured_alike(name: str):
    truth = lines(0, 1.0)[1]
    restored = gaussian_filter(truth, 1.0)
    metric = FILE_METRICS[name]
    once = metric.measure(restored, truth)
    twice = metric.measure(np.stack([restored] * 2), np.stack([truth] * 2))
    # Percentiles of twice the pixels lie between other ranks.
    assert twice == pytest.approx(once, rel=1e-4, abs=1e-6)

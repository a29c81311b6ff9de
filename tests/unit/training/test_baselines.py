"""Simple methods that models are held against."""

import numpy as np
import pytest
import scipy.ndimage

from unifmir.simulate import generator, simulate_pair
from unifmir.tasks.isotropic import ISOTROPIC
from unifmir.training.baselines import deconvolve, enlarged, noise_of, non_local_means, sharpened


@pytest.fixture
def squares() -> np.ndarray:
    """Squares of 200 photons on 20, and an offset of 100."""
    image = np.full((64, 64), 120.0, np.float32)
    image[16:28, 16:28] = image[36:52, 30:50] = 300
    return image


def test_the_noise_of_a_plane_is_found_beside_its_structure(squares):
    rng = np.random.default_rng(0)
    noisy = squares + rng.normal(0, 7, squares.shape)
    assert noise_of(noisy) == pytest.approx(7, rel=0.1)
    assert noise_of(squares) == 0
    assert noise_of(squares[:1, :1]) == 0


def test_non_local_means_take_shot_noise_off_and_leave_edges(squares):
    rng = np.random.default_rng(1)
    noisy = (rng.poisson(squares - 100) + 100 + rng.normal(0, 1, squares.shape)).astype(np.float32)
    restored = non_local_means(np.stack([noisy, noisy]))
    assert restored.shape == (2, 64, 64)
    assert np.array_equal(restored[0], restored[1])
    before, after = (np.sqrt(np.mean((one - squares) ** 2)) for one in (noisy, restored[0]))
    smooth = scipy.ndimage.gaussian_filter(noisy, 1.0)
    assert after < before / 3
    assert after < np.sqrt(np.mean((smooth - squares) ** 2)) / 2
    # Photons are kept.
    assert restored.mean() == pytest.approx(squares.mean(), rel=0.005)


def test_an_image_without_noise_stays_as_it_is(squares):
    assert non_local_means(squares) == pytest.approx(squares, rel=1e-5)
    flat = np.full((16, 16), 5, np.float32)
    assert non_local_means(flat) == pytest.approx(flat)
    assert np.array_equal(deconvolve(flat, (2.0, 2.0), 5), flat)


def test_deconvolution_takes_off_the_blur_it_is_told(squares):
    blurred = scipy.ndimage.gaussian_filter(squares, 2.5, mode="mirror")
    found = deconvolve(blurred, (2.5, 2.5), 40)
    before, after = (np.mean((one - squares) ** 2) for one in (blurred, found))
    assert after < before / 2
    assert found.mean() == pytest.approx(squares.mean(), rel=0.01)


def test_methods_of_both_kinds_stand_beside_the_filters():
    scene = simulate_pair("sr", generator("sr", 7, "dev", 0), 24)
    found = enlarged(scene)
    named = ("non-local means, bicubic", "Richardson-Lucy", "non-local means, Richardson-Lucy")
    assert set(named) <= found.keys()
    assert {image.shape for image in found.values()} == {scene.target.shape}
    stack = simulate_pair(ISOTROPIC.name, generator(ISOTROPIC.name, 7, "dev", 0), 24)
    found = sharpened(stack)
    assert {"non-local means", *named[1:]} <= found.keys()
    assert {image.shape for image in found.values()} == {stack.target.shape}

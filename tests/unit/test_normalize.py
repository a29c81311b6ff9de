"""unifmir.normalize: the formulas, the way back, and what is refused."""

import numpy as np
import pytest

from unifmir.errors import ImageError
from unifmir.normalize import Scaling, normalize
from unifmir.tasks import TASKS
from unifmir.tasks.base import Normalization

CARE = TASKS["denoise"].normalization
MINMAX = TASKS["sr"].normalization


def noisy(dtype: type = np.uint16) -> np.ndarray:
    values = np.random.default_rng(3).gamma(2.0, 400.0, (5, 24, 31))
    image: np.ndarray = (values / values.max() * 250).astype(dtype)
    return image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_percentile_normalization_is_cares_formula(dtype: type) -> None:
    image = noisy(dtype)
    low, high = np.percentile(image.astype(np.float64), [2.0, 99.8])
    expected = (image.astype(np.float64) - low) / (high - low + 1e-20)
    scaled, scaling = normalize(image, CARE)
    assert scaled.dtype == np.float32
    assert np.abs(scaled - expected).max() < 2e-6
    assert scaling.low == pytest.approx(low, rel=1e-6)
    assert scaled.max() > 1, "not clipped: 0.2 % of the pixels are above 1"


def test_sr_is_min_max_and_its_output_is_clipped() -> None:
    image = noisy()
    scaled, scaling = normalize(image, MINMAX)
    assert scaled.min() == 0
    assert scaled.max() == 1
    back = scaling.invert(np.array([-0.5, 0.0, 1.0, 1.5], dtype=np.float32))
    assert back[[0, 1]].tolist() == [image.min()] * 2
    assert back[[2, 3]].tolist() == [image.max()] * 2


def test_light_field_is_left_to_the_network() -> None:
    image = noisy()
    scaled, scaling = normalize(image, TASKS["volume"].normalization)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, image)
    assert scaling == Scaling()
    output = np.linspace(-1, 2, 7, dtype=np.float32)
    assert np.array_equal(scaling.invert(output), output)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_constant_image_stays_finite_and_comes_back(task: str) -> None:
    image = np.full((4, 8, 8), 117, dtype=np.uint16)
    scaled, scaling = normalize(image, TASKS[task].normalization)
    assert np.isfinite(scaled).all()
    assert (scaling.invert(scaled) == 117).all()


def test_not_invertible_percentiles_leave_the_output_alone() -> None:
    _, scaling = normalize(noisy(), Normalization("percentile", 2, 99.8, invertible=False))
    assert scaling.invert(np.array([0.25])).tolist() == [0.25]


def test_negative_values_and_half_precision_are_taken() -> None:
    image = (noisy(np.float32) - 300).astype(np.float16)
    scaled, scaling = normalize(image, CARE)
    assert np.allclose(scaling.invert(scaled), image, atol=0.1)


def test_a_large_offset_does_not_cost_precision() -> None:
    image = noisy(np.float64) + 1e9
    scaled, _ = normalize(image, MINMAX)
    assert np.unique(scaled).size == np.unique(image).size


def test_the_image_itself_is_not_changed() -> None:
    image = noisy(np.float32)
    before = image.copy()
    scaled, scaling = normalize(image, TASKS["volume"].normalization)
    scaled += 1
    output = np.ones(3, dtype=np.float32)
    scaling.invert(output)[:] = 7
    assert np.array_equal(image, before)
    assert output.tolist() == [1, 1, 1]


def test_nan_and_infinity_are_counted() -> None:
    image = noisy(np.float32)
    image[0, 0, :3] = np.nan
    image[1, 1, 1] = -np.inf
    with pytest.raises(ImageError, match=r"3 pixels are NaN and 1 are infinite, of 3720; replace"):
        normalize(image, CARE)


def test_an_almost_empty_image_is_refused_instead_of_scaled_by_nothing() -> None:
    image = np.zeros((64, 64), dtype=np.float32)
    image[3, 3] = 50
    with pytest.raises(ImageError, match=r"percentiles 2 and 99.8 .* both 0.*Crop"):
        normalize(image, CARE)


@pytest.mark.parametrize("image", [np.zeros((0, 4)), np.zeros((2, 2), complex), np.array([["a"]])])
def test_empty_complex_and_text_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"empty|expected integers or real"):
        normalize(image, CARE)


def test_values_beyond_float32_are_refused() -> None:
    image = np.zeros((100, 100))
    image.flat[:9000] = np.linspace(0, 1, 9000)
    image[-1, -1] = 1e300
    with pytest.raises(ImageError, match="span too far"):
        normalize(image, CARE)


@pytest.mark.parametrize("task", TASKS)
def test_values_whose_results_float32_does_not_hold_are_refused(task: str) -> None:
    image = np.linspace(0, 1e300, 10_000).reshape(100, 100)
    with pytest.raises(ImageError, match=r"from 0 to 1e\+300 span too far for float32"):
        normalize(image, TASKS[task].normalization)
    with pytest.raises(ImageError, match=r"from -1e\+300 to 0 span too far for float32"):
        normalize(image - 1e300, TASKS[task].normalization)

"""Figures of a comparison against values worked out by hand, and the bars held to them."""

import json
from math import inf

import numpy as np
import pytest

from unifmir.compare import FP32, LOW_PRECISION, compare
from unifmir.errors import ImageError


@pytest.fixture
def image():
    return np.random.default_rng(0).random((2, 1, 16, 20)).astype(np.float32)


def test_equal_images_are_identical_and_pass_everything(image):
    result = compare(image, image.copy())
    assert result.identical
    assert result.finite
    assert (result.max_abs, result.max_abs_over_std, result.ppm) == (0, 0, 0)
    assert result.psnr_db == inf
    assert (result.slope, result.offset, result.total_ratio) == (1, 0, 1)
    assert FP32.failures(result) == LOW_PRECISION.failures(result) == []


def test_one_changed_element_is_found_and_measured(image):
    actual = image.copy()
    actual[1, 0, 3, 7] += 0.5
    result = compare(image, actual)
    assert result.where == (1, 0, 3, 7)
    assert result.max_abs == pytest.approx(0.5)
    assert result.max_abs_over_std == pytest.approx(0.5 / image.std(), rel=1e-6)
    assert result.ppm == pytest.approx(1e6 / image.size)


def test_psnr_is_that_of_the_expected_range():
    expected = np.array([[0.0, 10.0], [2.0, 4.0]])
    # Range 10, every element off by 0.1: 20 log10(10 / 0.1) = 40 dB.
    assert compare(expected, expected + [[0.1, -0.1], [0.1, -0.1]]).psnr_db == pytest.approx(40)


def test_line_and_total_tell_a_gain_from_a_shift():
    expected = np.array([0.0, 1.0, 2.0, 5.0])
    gain = compare(expected, 1.1 * expected)
    assert gain.slope == pytest.approx(1.1)
    assert gain.offset == pytest.approx(0, abs=1e-12)
    assert gain.offset_over_range == pytest.approx(0, abs=1e-12)
    assert gain.total_ratio == pytest.approx(1.1)
    shift = compare(expected, expected + 0.5)
    assert shift.slope == pytest.approx(1)
    assert shift.offset == pytest.approx(0.5)
    assert shift.offset_over_range == pytest.approx(0.1)
    assert shift.total_ratio == pytest.approx(1 + 4 * 0.5 / 8)


def test_offset_over_range_is_not_extrapolated_to_zero_far_from_the_image():
    expected = np.linspace(1000.0, 1010.0, 101)
    tilted = compare(expected, 1000 + 1.0005 * (expected - 1000))
    assert tilted.offset == pytest.approx(-0.5)
    assert tilted.offset_over_range == pytest.approx(0, abs=1e-9)
    assert LOW_PRECISION.failures(tilted) == []


@pytest.mark.parametrize(
    ("value", "error", "relative"), [(4.0, 0.02, 0.005), (-4.0, 0.02, 0.005), (0.0, 0.02, 0.02)]
)
def test_constant_image_is_held_against_its_magnitude(value, error, relative):
    expected = np.full((8, 8), value, dtype=np.float32)
    result = compare(expected, expected + np.float32(error))
    assert result.max_abs_over_std == pytest.approx(relative, rel=1e-4)
    assert result.slope == 1
    assert result.offset == pytest.approx(error, rel=1e-4)
    assert result.offset_over_range == pytest.approx(relative, rel=1e-4)
    assert result.total_ratio == pytest.approx(1 + relative, rel=1e-4)
    assert LOW_PRECISION.failures(result)


def test_rounding_noise_on_a_constant_image_is_not_taken_for_contrast():
    noise = np.random.default_rng(1).normal(size=(32, 32))
    expected = (1000 + 1e-5 * noise).astype(np.float32)
    result = compare(expected, np.full((32, 32), 1000, dtype=np.float32))
    assert result.max_abs_over_std < 1e-6
    assert FP32.failures(result) == LOW_PRECISION.failures(result) == []


def test_little_contrast_does_not_fail_on_the_slope_alone():
    # Contrast of 1e-3 of the mean, error a thousandth of the contrast.
    rng = np.random.default_rng(2)
    expected = 1000 + rng.random((64, 64))
    result = compare(expected, expected + 1e-4 * rng.normal(size=(64, 64)))
    assert abs(result.slope - 1) <= 1e-4 / expected.std()
    assert LOW_PRECISION.failures(result) == []


def test_total_of_a_signed_image_whose_sum_is_zero_is_defined():
    expected = np.array([-3.0, 3.0, -1.0, 1.0])
    assert compare(expected, expected + 0.1).total_ratio == pytest.approx(1 + 0.4 / 8)


def test_nan_is_reported_with_its_place_and_as_json(image):
    actual = image.copy()
    actual[0, 0, 2, 1] = np.nan
    result = compare(image, actual)
    assert not result.finite
    assert result.where == (0, 0, 2, 1)
    assert result.ppm == pytest.approx(1e6 / image.size)
    assert len(LOW_PRECISION.failures(result)) == len(FP32.failures(result)) == 1
    assert "[0, 0, 2, 1]" in FP32.failures(result)[0]
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["psnr_db"] is None
    assert data["finite"] is False


def test_identical_images_are_valid_json(image):
    data = json.loads(json.dumps(compare(image, image).to_dict(), allow_nan=False))
    assert data["psnr_db"] is None
    assert data["identical"] is True
    assert data["shape"] == [2, 1, 16, 20]


def test_failures_give_what_was_measured_and_what_is_allowed(image):
    text = " / ".join(LOW_PRECISION.failures(compare(image, 1.1 * image + 0.3)))
    for part in (
        "unfitted PSNR is 9.03 dB",
        "60 dB",
        "slope is 1.1",
        "offset over the range is 0.3",
        "+- 0.001",
    ):
        assert part in text
    (text,) = FP32.failures(compare(image, image * 1.01))
    assert "allowed 0.0001" in text


def test_tightened_bars_allow_that_share_of_each_difference():
    half = LOW_PRECISION.tightened(0.5)
    assert half.psnr_db == pytest.approx(66.02, abs=0.01)  # half of the rms difference
    assert (half.slope, half.offset_over_range, half.total_ratio) == (5e-4, 5e-4, 5e-4)
    assert half.max_abs_over_std is None
    assert half.name == "0.5 of low precision"
    assert FP32.tightened(0.5).max_abs_over_std == 5e-5


def test_fp32_bar_lies_between_rounding_and_a_real_error(image):
    assert FP32.failures(compare(image, image + np.float32(2e-6))) == []
    assert FP32.failures(compare(image, image + np.float32(1e-4)))


def test_shapes_must_agree(image):
    with pytest.raises(ImageError, match=r"expected \(2, 1, 16, 20\), found \(2, 1, 16, 19\)"):
        compare(image, image[..., :-1])


def test_empty_images_are_refused():
    with pytest.raises(ImageError, match="no elements"):
        compare(np.zeros((1, 0)), np.zeros((1, 0)))


def test_an_expected_image_with_inf_is_refused(image):
    broken = image.copy()
    broken[0, 0, 0, 0] = np.inf
    with pytest.raises(ImageError, match="1 NaN or Inf"):
        compare(broken, image)


def test_integer_images_are_compared_without_wrapping():
    result = compare(np.array([0, 200], dtype=np.uint8), np.array([5, 195], dtype=np.uint8))
    assert result.max_abs == 5

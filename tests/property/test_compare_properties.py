"""Laws that hold for every pair of images."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unifmir.compare import LOW_PRECISION, compare

SHAPES = array_shapes(min_dims=1, max_dims=4, max_side=6)
VALUES = st.floats(-1e6, 1e6, width=32)
IMAGES = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=VALUES))
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=VALUES), arrays(np.float32, shape, elements=VALUES)
    )
)
ANY_PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=VALUES),
        arrays(np.float32, shape, elements=st.floats(width=32)),
    )
)


@given(IMAGES)
def test_an_image_is_the_same_picture_as_itself(image):
    result = compare(image, image)
    assert result.identical
    assert result.slope == 1
    assert LOW_PRECISION.failures(result) == []


@given(ANY_PAIRS)
def test_every_comparison_is_json(pair):
    result = compare(*pair)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["finite"] == result.finite
    assert result.finite == bool(np.isfinite(pair[1]).all())


@given(PAIRS)
def test_the_place_named_holds_the_largest_difference(pair):
    expected, actual = (image.astype(np.float64) for image in pair)
    result = compare(*pair)
    assert abs(expected[result.where] - actual[result.where]) == result.max_abs
    assert result.max_abs == np.abs(expected - actual).max()


@given(PAIRS, st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**12]))
def test_figures_do_not_depend_on_the_unit_of_intensity(pair, unit):
    expected, actual = (image.astype(np.float64) for image in pair)
    if not expected.any():
        return  # with no scale of its own, the expected image is compared in absolute numbers
    first, second = compare(expected, actual), compare(expected * unit, actual * unit)
    assert second.psnr_db == pytest.approx(first.psnr_db, rel=1e-9, abs=1e-6)
    for name in ("max_abs_over_std", "slope", "offset_over_range", "total_ratio", "ppm"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-6, abs=1e-6)


@given(PAIRS)
def test_slope_differs_from_one_by_at_most_the_error_over_the_contrast(pair):
    expected, actual = (image.astype(np.float64) for image in pair)
    result = compare(expected, actual)
    if expected.std() > 1e-6 * np.abs(expected).max():
        error = np.sqrt(np.square(actual - expected).mean())
        assert abs(result.slope - 1) <= error / expected.std() * (1 + 1e-6) + 1e-12


@given(IMAGES, st.floats(1.002, 10))
def test_a_gain_is_never_accepted(image, gain):
    if np.ptp(image.astype(np.float64)) > 1e-3 * np.abs(image).max() > 0:
        assert LOW_PRECISION.failures(compare(image, image.astype(np.float64) * gain))

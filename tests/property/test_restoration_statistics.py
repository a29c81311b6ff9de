"""Percentiles of an image read in blocks are numpy's, whatever the numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.restoration_cases import CountingSource
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.normalize import Scaling, normalize
from unifmir.restoration import percentiles, resampling
from unifmir.restoration.percentiles import measure_range, normalize_part, statistics
from unifmir.restoration.resampling import StackView, block_boxes
from unifmir.tasks import TASKS


def outcome(attempt: Callable[[], tuple[np.ndarray, Scaling]]) -> tuple[Scaling | str, Any]:
    """The scaling, or what the refusal says; and the array."""
    try:
        array, scaling = attempt()
    except ImageError as error:
        return str(error), None
    return scaling, array


DTYPES = ["bool", "u1", "i1", "u2", "i2", "<u4", ">i4", "u8", "i8", "f2", "<f4", ">f4", "f8"]
PERCENTS = (0.0, 2.0, 37.5, 50.0, 99.8, 100.0)


def stack(array: np.ndarray) -> StackView:
    return StackView(ArraySource(array, "zyx"[-array.ndim :]), 0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_percentiles_equal_numpys(dtype, data):
    elements = hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
    array = data.draw(hnp.arrays(dtype, st.integers(1, 60), elements=elements))
    parts = np.array_split(array, data.draw(st.integers(1, min(4, array.size))))
    found = statistics(lambda: parts, PERCENTS)
    values = array.astype(np.result_type(array.dtype, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.percentile(values, PERCENTS)
    np.testing.assert_array_equal(np.array(found.percentiles), expected)
    assert (found.minimum, found.maximum) == (float(array.min()), float(array.max()))


@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "u2", "i4", "f2", "f4", "f8"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=12),
    ),
    task=st.sampled_from(["sr", "denoise", "projection"]),
)
@settings(deadline=None)
def test_a_scaling_is_that_of_normalize_and_so_are_the_refusals(array, task):
    normalization = TASKS[task].normalization
    with np.errstate(all="ignore"):
        expected, normalised = outcome(lambda: normalize(array, normalization))
        found, _ = outcome(lambda: (array, measure_range(stack(array), normalization).scaling))
        assert found == expected
        if isinstance(found, Scaling):
            np.testing.assert_array_equal(normalize_part(found, array), normalised)


def test_many_equal_values_and_few_others():
    values = np.concatenate([np.zeros(5000), np.full(7, 3.25), [-1e30, 1e-30]]).astype("f4")
    found = statistics(lambda: [values], (99.8, 99.9, 0.0))
    np.testing.assert_array_equal(found.percentiles, np.percentile(values, (99.8, 99.9, 0.0)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_pixels_are_counted_in_pieces_of_any_size(dtype, monkeypatch):
    image = np.random.default_rng(4).integers(0, 120, (50, 61)).astype(dtype)
    monkeypatch.setattr(percentiles, "PIECE_PX", 97)
    found = statistics(lambda: (image[:20], image[20:]), (0.0, 2.0, 50.0, 99.8, 100.0))
    assert found.percentiles == tuple(np.percentile(image, (0.0, 2.0, 50.0, 99.8, 100.0)))


def test_the_brightest_pixel_scales_a_light_field():
    normalization = TASKS["volume"].normalization
    assert measure_range(stack(np.array([[3, 9], [0, 1]], "u2")), normalization).scaling.span == 9
    assert measure_range(stack(np.zeros((2, 2), "u2")), normalization).scaling.span == 1


def test_an_image_is_gone_through_in_whole_chunks_and_small_blocks(monkeypatch):
    monkeypatch.setattr(resampling, "BLOCK_PIXELS", 1000)
    size, chunks = (5, 70, 90), (1, 16, 32)
    seen = np.zeros(size, dtype=int)
    for box in block_boxes(size, chunks):
        part = seen[tuple(slice(*interval) for interval in box)]
        part += 1
        assert part.size <= 1000
        assert all(start % chunk == 0 for (start, _), chunk in zip(box, chunks, strict=True))
    assert (seen == 1).all()


def test_a_large_image_is_read_in_blocks():
    source = CountingSource((1, 1, 1, 6000, 5000))
    measure_range(StackView(source, 0, 0), TASKS["denoise"].normalization)
    assert source.largest <= resampling.BLOCK_PIXELS

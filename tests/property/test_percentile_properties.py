"""The percentile that exported graphs compute, on any values that hypothesis thinks of."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unifmir.restoration.raw_interface import percentile

ROWS = st.tuples(st.integers(1, 3), st.integers(1, 700))
COUNTS = arrays.arrays(np.uint16, ROWS)
FLOATS = arrays.arrays(
    np.float32, ROWS, elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
)
PERCENTS = st.one_of(
    st.sampled_from([0.0, 0.1, 2.0, 50.0, 99.8, 99.99, 100.0]),
    st.floats(0, 100).map(lambda percent: round(percent, 3)),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(COUNTS, FLOATS), PERCENTS)
def test_a_percentile_is_numpys_to_the_rounding_of_float32(values: np.ndarray, percent: float):
    rows = values.astype(np.float32)
    found = percentile(torch.from_numpy(rows), percent).numpy()[:, 0]
    expected = np.percentile(rows.astype(np.float64), percent, axis=1)
    # Four roundings, none larger than half a unit in the last place of the largest value there is.
    bound = 2 * np.finfo(np.float32).eps * np.ptp(rows.astype(np.float64), axis=1)
    bound = bound + np.finfo(np.float32).eps * np.abs(rows).max(axis=1)
    assert (np.abs(found - expected) <= bound).all()


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.integers(0, 100))
def test_a_percentile_that_is_a_pixel_is_that_pixel(values: np.ndarray, percent: int):
    # 100 k + 1 values have each whole percentile at a rank.
    rows = np.resize(values, (len(values), 100 * (1 + values.shape[1] // 100) + 1))
    rows = rows.astype(np.float32)
    found = percentile(torch.from_numpy(rows), float(percent)).numpy()[:, 0]
    rank = percent * (rows.shape[1] - 1) // 100
    np.testing.assert_array_equal(found, np.sort(rows, axis=1)[:, rank])

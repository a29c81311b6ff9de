"""unifmir.normalize on any image hypothesis thinks of."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unifmir.errors import ImageError
from unifmir.normalize import normalize
from unifmir.tasks import TASKS

SHAPES = arrays.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=12)
INTEGERS = st.sampled_from([np.uint8, np.uint16, np.int16]).flatmap(
    lambda dtype: arrays.arrays(dtype, SHAPES)
)
FLOATS = arrays.arrays(
    np.float32, SHAPES, elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
)
IMAGES = st.one_of(INTEGERS, FLOATS)
PERCENTILE_TASKS = st.sampled_from([t for t in TASKS.values() if t.name != "volume"])


@settings(max_examples=150, deadline=None)
@given(IMAGES, PERCENTILE_TASKS)
def test_what_was_normalized_comes_back(image: np.ndarray, task: object) -> None:
    try:
        scaled, scaling = normalize(image, task.normalization)  # type: ignore[attr-defined]  # st.sampled_from
    except ImageError as error:
        assume("are both" not in str(error))
        raise
    # Three float32 roundings: subtraction, division, and the sum on the way back.
    largest = max(abs(scaling.low), float(np.abs(image.astype(np.float64)).max()), scaling.span)
    reach = max(1.0, float(np.abs(scaled).max()))
    bound = 4 * np.finfo(np.float32).eps * (largest + reach * scaling.span)
    assert np.abs(scaling.invert(scaled) - image.astype(np.float64)).max() <= bound


@settings(max_examples=100, deadline=None)
@given(IMAGES)
def test_sr_inputs_lie_between_zero_and_one(image: np.ndarray) -> None:
    scaled, _ = normalize(image, TASKS["sr"].normalization)
    assert scaled.min() >= 0
    assert scaled.max() <= 1


@settings(max_examples=100, deadline=None)
@given(INTEGERS, PERCENTILE_TASKS)
def test_the_order_of_intensities_is_kept(image: np.ndarray, task: object) -> None:
    try:
        scaled, _ = normalize(image, task.normalization)  # type: ignore[attr-defined]  # st.sampled_from
    except ImageError:
        assume(False)
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(scaled.flat[order]) >= 0).all()

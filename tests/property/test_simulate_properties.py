"""Properties that hold for every simulated scene, whatever its seed and size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unifmir.simulate import generator, lightfield, normalize_pair, simulate_pair
from unifmir.simulate.microscopes import SR_SCALE, STACK_PLANES, SURFACE_PLANES, VOLUME_PLANES
from unifmir.simulate.structures import STRUCTURES
from unifmir.tasks import TASKS

SIDES = {
    "sr": st.integers(16, 40),
    "denoise": st.integers(24, 40),
    "isotropic": st.integers(24, 34),
    "projection": st.integers(20, 34),
    "volume": st.integers(2, 4),
}
SHAPES = {
    "sr": lambda n: ((n, n), (SR_SCALE * n, SR_SCALE * n)),
    "denoise": lambda n: ((STACK_PLANES, n, n), (STACK_PLANES, n, n)),
    "isotropic": lambda n: ((n, n, n), (n, n, n)),
    "projection": lambda n: ((SURFACE_PLANES, n, n), (n, n)),
    "volume": lambda n: ((11 * n, 11 * n), (VOLUME_PLANES, 11 * n, 11 * n)),
}


@pytest.mark.parametrize("task", list(TASKS))
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_scene_has_its_shape_and_finite_values_in_range(task: str, data: st.DataObject) -> None:
    side = data.draw(SIDES[task], label="side")
    seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
    scene = simulate_pair(task, generator(task, seed, "train", 0), side)
    shapes = SHAPES[task](side)
    assert (scene.image.shape, scene.target.shape) == shapes
    assert scene.image.dtype == np.float32
    assert len(scene.image.shape) == len(TASKS[task].input_axes)
    assert len(scene.target.shape) == len(TASKS[task].output_axes)
    assert scene.image.min() >= 0
    assert scene.expected.shape == scene.image.shape
    assert scene.kind in STRUCTURES
    image, target = normalize_pair(scene, "own")
    assert (image.shape, target.shape) == shapes
    assert np.isfinite(image).all()
    assert np.isfinite(target).all()
    if task == "volume":
        assert image.min() >= -1
        assert image.max() == pytest.approx(1 / 0.55 - 1, abs=1e-5)
        assert -1 <= target.min() <= target.max() <= 1
    elif task == "sr":
        assert (image.min(), image.max()) == (0, 1)
        assert (target.min(), target.max()) == pytest.approx((0, 1), abs=1e-6)
    else:
        # Percentiles 2 and 99.8 lie at 0 and 1.
        assert (image <= 0).mean() == pytest.approx(0.02, abs=0.005)
        assert (image > 1).mean() == pytest.approx(0.002, abs=0.002)


@settings(max_examples=10, deadline=None)
@given(n=st.sampled_from([3, 5, 11]), height=st.integers(1, 5), width=st.integers(1, 5))
def test_views_and_raw_light_field_are_each_others_inverse(n: int, height: int, width: int) -> None:
    raw = np.arange(n * height * n * width, dtype=np.float32).reshape(n * height, n * width)
    assert np.array_equal(lightfield.interleave(lightfield.separate(raw, n)), raw)

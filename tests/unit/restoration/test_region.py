"""A part of a result that is restored alone is that part of the whole."""

import numpy as np
import pytest

from tests.helpers.restoration_cases import options_for, predictor_of, small
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.images.base import ImageInfo, Region
from unifmir.restoration.executor import RestorationProgress, restore_array
from unifmir.restoration.region import restore_region
from unifmir.restoration.restoration_options import Options


def parts(*intervals: tuple[int, int]) -> Region:
    t, c, z, y, x = (slice(*interval) for interval in intervals)
    return t, c, z, y, x


CASES = {
    # Region of the image, and the part of the result that lies in it.
    "sr": (
        (1, 48, 56),
        "zyx",
        parts((0, 1), (0, 1), (0, 1), (10, 31), (20, 50)),
        np.s_[:, 20:62, 40:100],
    ),
    "denoise": (
        (6, 40, 48),
        "zyx",
        parts((0, 1), (0, 1), (2, 3), (8, 30), (5, 44)),
        np.s_[2:3, 8:30, 5:44],
    ),
    "isotropic": (
        (5, 32, 40),
        "zyx",
        parts((0, 1), (0, 1), (1, 3), (8, 20), (0, 40)),
        np.s_[1:5, 8:20, :],
    ),
    "projection": (
        (4, 48, 56),
        "zyx",
        parts((0, 1), (0, 1), (1, 2), (10, 31), (20, 50)),
        np.s_[10:31, 20:50],
    ),
    "volume": (
        (27, 36),
        "yx",
        parts((0, 1), (0, 1), (0, 1), (9, 18), (0, 18)),
        np.s_[:, 9:18, 0:18],
    ),
}


def image_of(task: str) -> np.ndarray:
    shape, *_ = CASES[task]
    return np.random.default_rng(2).poisson(40, shape).astype(np.uint16)


@pytest.mark.parametrize("task", CASES)
@pytest.mark.parametrize("tile", [None, 24])
def test_a_part_is_that_part_of_the_whole(task, tile):
    _, axes, region, part = CASES[task]
    image, predictor = image_of(task), predictor_of(small(task))
    more = {"z_factor": 2.0} if task == "isotropic" else {}
    options = options_for(task, tile=tile, **more)
    whole = restore_array(image, predictor, axes=axes, options=options)
    found = restore_region(ArraySource(image, axes), region, predictor, options)
    expected = whole[part]
    assert found.values.size == expected.size
    scale = np.abs(whole).max()
    np.testing.assert_allclose(
        found.values.reshape(expected.shape) / scale, expected / scale, atol=2e-6
    )


def test_a_part_lies_where_it_lies_in_the_image():
    info = ImageInfo(name="a", axes="zyx", pixel_size_um=(0.2, 0.2), z_step_um=1.0)
    source = ArraySource(image_of("sr"), "zyx", info)
    told: list[RestorationProgress] = []
    region = parts((0, 1), (0, 1), (0, 1), (10, 31), (20, 50))
    found = restore_region(
        source, region, predictor_of(small("sr")), Options(), on_progress=told.append
    )
    # Pixel 0 of a result of twice the sampling lies a quarter of a pixel before that of the image.
    assert found.sampling == ((1.0, 0.0), (0.5, 9.75), (0.5, 19.75))
    assert found.info.pixel_size_um == (0.1, 0.1)
    assert found.info.origin[1:] == pytest.approx((0.0, 1.95, 3.95))
    assert [one.tiles_done for one in told] == [0, 1]
    assert told[-1].pixels_done == told[-1].pixels == 21 * 30


def test_time_points_and_channels_are_chosen_with_their_own_scaling():
    image = np.random.default_rng(3).poisson(40, (3, 2, 32, 32)).astype(np.float32)
    image[2, 1] = image[2, 1] * 7 + 100
    predictor = predictor_of(small("sr"))
    whole = restore_array(image, predictor, axes="tcyx")
    region = parts((2, 3), (1, 2), (0, 1), (0, 16), (0, 32))
    found = restore_region(ArraySource(image, "tcyx"), region, predictor)
    expected = whole[2, 1, :32, :]
    np.testing.assert_allclose(found.values[0, 0, 0], expected, rtol=1e-5)


def test_a_region_outside_the_image_is_refused():
    source = ArraySource(image_of("sr"), "zyx")
    region = parts((0, 1), (0, 1), (0, 1), (10, 60), (20, 50))
    with pytest.raises(ImageError, match="does not lie in the image"):
        restore_region(source, region, predictor_of(small("sr")))

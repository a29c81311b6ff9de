"""Other samplings: computed where they are read, and the same whichever tile asks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import (
    SMALL,
    options_for,
    picture,
    predictor_of,
    restore_officially,
    seam_over_range,
    small,
)
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.images.base import ImageInfo
from unifmir.model import image_interface
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.geometry import whole_box
from unifmir.restoration.resampling import (
    Resampled,
    StackView,
    interpolated_planes,
    scaled,
    scaled_length,
)
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import plan_restoration


def view(image: np.ndarray) -> StackView:
    return StackView(ArraySource(image, "zyx"), 0, 0)


def waves(rows: int, columns: int, step: float = 1.0) -> np.ndarray:
    """A smooth picture, at pixel centres `step` apart."""
    y = ((np.arange(rows) + 0.5) * step)[:, None]
    x = ((np.arange(columns) + 0.5) * step)[None, :]
    return (100 + 40 * np.sin(y / 9) * np.cos(x / 7)).astype(np.float32)


@given(
    before=st.integers(1, 60),
    factor=st.floats(0.2, 3),
    start=st.floats(0, 1),
    part=st.floats(0, 1),
)
@settings(deadline=None)
def test_a_part_is_the_part_of_the_whole(before, factor, start, part):
    axis = scaled(before, scaled_length(before, factor))
    if axis is None:
        return
    image = Resampled(view(picture((1, before, 3))), (None, axis, None))
    first = round(start * (axis.after - 1))
    last = first + 1 + round(part * (axis.after - first - 1))
    np.testing.assert_array_equal(
        image.read(((0, 1), (first, last), (0, 3))),
        image.read(whole_box(image.size))[:, first:last],
    )


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 2.0])
def test_a_smooth_picture_keeps_its_place_and_values(factor):
    rows, columns = 80, 90
    there = scaled_length(rows, factor), scaled_length(columns, factor)
    axes = (None, scaled(rows, there[0]), scaled(columns, there[1]))
    found = Resampled(view(waves(rows, columns)[None]), axes).read(whole_box((1, *there)))[0]
    expected = waves(*there, step=rows / there[0])
    inner = (slice(6, -6), slice(6, -6))
    assert np.abs(found - expected)[inner].max() < 0.6


def test_what_a_coarser_sampling_cannot_carry_is_averaged():
    stripes = np.tile(np.array([0, 200], np.float32), 40)[None, None, :]
    axes = (None, None, scaled(80, 40))
    found = Resampled(view(stripes), axes).read(whole_box((1, 1, 40)))
    np.testing.assert_allclose(found[0, 0, 4:-4], 100, atol=1)


def test_a_constant_stays_constant_at_every_sampling():
    image = np.full((1, 17, 23), 5, np.uint16)
    axes = (None, scaled(17, 40), scaled(23, 9))
    found = Resampled(view(image), axes).read(whole_box((1, 40, 9)))
    np.testing.assert_allclose(found, np.full(found.shape, 5.0), rtol=1e-6)


def test_planes_are_interpolated_as_scipy_does_and_the_first_stays():
    image = picture((5, 4, 6)).astype(np.float32)
    axis = interpolated_planes(5, 2.5)
    assert axis is not None
    found = Resampled(view(image), (axis, None, None)).read(whole_box((axis.after, 4, 6)))
    z, y, x = np.mgrid[:11, :4, :6].astype(float)
    expected = ndimage.map_coordinates(image, [z / 2.5, y, x], order=1)
    assert axis.after == 11
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("info", "factor"), [((0.1, 0.3), None), ((None, None), 3.0)])
def test_a_stack_is_brought_to_isotropic_sampling_first(info, factor):
    network, image = small("isotropic"), picture((6, 20, 24))
    restored = restore_array(
        image,
        predictor_of(network),
        options=Options(z_factor=factor, intensity="percentile"),
        pixel_size_um=info[0],
        z_step_um=info[1],
    )
    axis = interpolated_planes(6, 3.0)
    assert restored.shape == (16, 20, 24)
    # By hand, with the percentiles of the stack as it was taken.
    stretched = Resampled(view(image), (axis, None, None)).read(whole_box((16, 20, 24)))
    plan = plan_restoration(ArraySource(image, "zyx"), predictor_of(network), Options(z_factor=3.0))
    scaling = plan.scalings[0][0]
    scaled_stack = ((stretched - scaling.low) / scaling.span).astype(np.float32)
    with torch.inference_mode():
        expected = image_interface(network)(torch.from_numpy(scaled_stack)[None, None]).numpy()
    assert seam_over_range(scaling.invert(expected[0, 0]), restored) <= 1e-4


@pytest.mark.parametrize(
    ("info", "factor", "planes", "step", "unitless"),
    [
        # The spacing that the interpolation made: pixels are cubes, or what was asked for.
        (ImageInfo("a", "zyx", (0.1, 0.1), 0.4), None, 21, 0.1, None),
        (ImageInfo("a", "zyx", (0.1, 0.1), 0.4), 2.0, 11, 0.2, None),
        (ImageInfo("a", "zyx", (0.1, 0.1)), 4.0, 21, 0.1, None),
        (ImageInfo("a", "zyx", (0.1, 0.1)), 1.0, 6, 0.1, None),
        (ImageInfo("a", "zyx", unitless=(None, 0.4, 0.1, 0.1)), None, 21, None, 0.1),
        (ImageInfo("a", "zyx", unitless=(None, None, 0.1, 0.1)), 2.0, 11, None, 0.1),
        (ImageInfo("a", "zyx"), 2.0, 11, None, None),
    ],
)
def test_isotropic_says_the_spacing_it_made(info, factor, planes, step, unitless):
    source = ArraySource(picture((6, 20, 24)), "zyx", info)
    plan = plan_restoration(source, predictor_of(small("isotropic")), Options(z_factor=factor))
    assert plan.out_shape == (1, 1, planes, 20, 24)
    made = (plan.out_info.z_step_um, plan.out_info.unitless[1])
    assert made == (
        step if step is None else pytest.approx(step),
        unitless if unitless is None else pytest.approx(unitless),
    )


@pytest.mark.parametrize(
    "info",
    [
        ImageInfo("stack.tif", "zyx"),
        ImageInfo("stack.tif", "zyx", (0.1, 0.1)),
        ImageInfo("stack.tif", "zyx", z_step_um=0.4),
        ImageInfo("stack.tif", "zyx", (0.1, 0.1), unitless=(None, 0.4, None, None)),
    ],
)
def test_isotropic_without_a_known_z_step_is_refused(info):
    source = ArraySource(picture((6, 20, 24)), "zyx", info)
    with pytest.raises(ImageError, match=r"stack\.tif does not say how far apart .*--z-factor"):
        plan_restoration(source, predictor_of(small("isotropic")))


def test_the_first_pixel_of_a_finer_image_lies_before_that_of_the_coarse_one():
    info = ImageInfo("a", "zyx", (0.1, 0.1), 0.4, origin=(None, 2.0, 10.0, 20.0))
    source = ArraySource(picture((6, 20, 24)), "zyx", info)
    # Half a pixel has its centre a quarter of a pixel before that of the whole one.
    finer = plan_restoration(source, predictor_of(small("sr"))).out_info
    assert finer.origin == pytest.approx((None, 2.0, 9.975, 19.975))
    cubes = plan_restoration(source, predictor_of(small("isotropic"))).out_info
    assert cubes.origin == (None, 2.0, 10.0, 20.0)
    assert plan_restoration(source, predictor_of(small("denoise"))).out_info.origin == info.origin


def passes(task: str) -> Predictor:
    """Gives back what it reads, magnified as the network would."""
    config = SMALL.single(task)

    def run(image: np.ndarray) -> np.ndarray:
        middle = image[:, image.shape[1] // 2][:, None]
        return middle.repeat(config.scale, 2).repeat(config.scale, 3)

    return Predictor(run, config)


@pytest.mark.parametrize("options", [Options(correct_sampling=True), Options(pixel_size_um=0.13)])
@pytest.mark.parametrize("task", ["sr", "denoise"])
def test_resampling_there_and_back_keeps_a_smooth_picture(task, options):
    image = waves(64, 72)[None]
    restored = restore_array(image, passes(task), options=options, pixel_size_um=0.1)
    expected = restore_array(image, passes(task))
    assert restored.shape == expected.shape
    assert np.abs(restored - expected)[:, 8:-8, 8:-8].max() < 0.05 * np.ptp(expected)


@pytest.mark.parametrize("options", [{"correct_sampling": True}, {"pixel_size_um": 0.08}])
@pytest.mark.parametrize("task", few_quick(["sr", "denoise", "isotropic"], ["sr"]))
def test_resampled_restorations_have_no_seams_either(task, options):
    image = picture((10, 60, 20) if task == "isotropic" else (2, 90, 70))
    predictor = predictor_of(small(task))
    whole, tiles = options_for(task, **options), options_for(task, tile=24, **options)
    one = restore_array(image, predictor, options=whole, pixel_size_um=0.1)
    tiled = restore_array(image, predictor, options=tiles, pixel_size_um=0.1)
    assert seam_over_range(one, tiled) <= 1e-4


def test_the_correction_is_the_mean_of_both_samplings():
    network, image = small("denoise"), waves(32, 40)[None]
    predictor = predictor_of(network)
    plan = plan_restoration(ArraySource(image, "zyx"), predictor, Options(correct_sampling=True))
    assert [level.size for level in plan.levels] == [(1, 32, 40), (1, 16, 20)]
    both = restore_officially(image, predictor, options=Options(correct_sampling=True))
    half = Resampled(view(image), (None, scaled(32, 16), scaled(40, 20))).read(
        whole_box((1, 16, 20))
    )
    # Both are restored with the scaling of the image as it was taken.
    scaling = plan.scalings[0][0]
    inputs = [((i - scaling.low) / scaling.span).astype(np.float32) for i in (image, half)]
    with torch.inference_mode():
        first, second = (
            image_interface(network)(torch.from_numpy(i)[None, None])[0, 0].numpy() for i in inputs
        )
    second = Resampled(view(second), (None, scaled(16, 32), scaled(20, 40))).read(
        whole_box((1, 32, 40))
    )
    assert seam_over_range(scaling.invert((first + second) / 2), both) <= 1e-5


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        ("sr", Options(pixel_size_um=0.1), "does not say its pixel size"),
        ("volume", Options(correct_sampling=True), "light field cannot be resampled"),
        ("denoise", Options(z_factor=2.0), "z_factor is for isotropic"),
    ],
)
def test_a_sampling_that_cannot_be_is_refused(task, options, reason):
    image = picture((9, 9) if task == "volume" else (2, 9, 9))
    with pytest.raises(ImageError, match=reason):
        restore_array(image, predictor_of(small(task)), options=options)


def test_pixels_that_are_not_square_are_refused():
    info = ImageInfo("x", "zyx", (0.1, 0.2))
    with pytest.raises(ImageError, match="square"):
        plan_restoration(
            ArraySource(picture((1, 9, 9)), info.axes, info),
            predictor_of(small("sr")),
            Options(pixel_size_um=0.1),
        )

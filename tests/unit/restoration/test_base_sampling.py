"""Lenses and planes of images are brought to what a network reads."""

import numpy as np
import pytest

from tests.helpers.restoration_cases import picture, predictor_of, small
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.images.base import ImageInfo
from unifmir.restoration.executor import restore_array
from unifmir.restoration.geometry import whole_box
from unifmir.restoration.lens_grid import lens_axis, lens_centres
from unifmir.restoration.resampling import Resampled, StackView
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import plan_restoration


def to_centre(size: tuple[int, int], pitch: float, first: tuple[float, float]) -> np.ndarray:
    """Distance of each pixel from the centre of its lens."""
    rows, columns = (
        (np.arange(length) - centre + pitch / 2) % pitch - pitch / 2
        for length, centre in zip(size, first, strict=True)
    )
    distance: np.ndarray = np.hypot(rows[:, None], columns[None, :])
    return distance


def light_field(
    size: tuple[int, int], pitch: float, first: tuple[float, float], seed: int = 0
) -> np.ndarray:
    """Round bright lenses with their centres at `first` plus multiples of the pitch.

    Each lens is as bright as what lies under it: slopes, spots and dark parts.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    distance = to_centre(size, pitch, first)
    lens = 1 / (1 + np.exp((distance - 0.42 * pitch) * 2))
    sample = 200 + 3 * y + x
    for _ in range(20):
        cy, cx, width = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(10, 60)
        sample += 3000 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    photons: np.ndarray = rng.poisson(lens * sample + 100)
    return photons.astype(np.uint16)


def centres_found(image: np.ndarray, pixels: int) -> np.ndarray:
    """Distance of each lens's centre of light from the middle of its pixels, along y and x.

    The light of a lens is weighted evenly: each is divided by the slope of the lenses around it.
    """
    lenses = image.shape[0] // pixels, image.shape[1] // pixels
    cut = image.astype(float).reshape(lenses[0], pixels, lenses[1], pixels)
    cut = np.maximum(cut - np.percentile(cut, 1), 0)
    at = np.arange(pixels) - (pixels - 1) / 2
    light = cut.sum(axis=(1, 3))
    down = (cut.sum(axis=3) * at[None, :, None]).sum(axis=1) / light
    across = (cut.sum(axis=1) * at).sum(axis=2) / light
    return np.array([down, across])


@pytest.mark.parametrize("pitch", [15.4, 13.0, 9.7])
@pytest.mark.parametrize("first", [(7.2, 7.2), (3.3, 11.9), (0.4, 14.8)])
def test_every_lens_comes_to_lie_on_its_pixels(pitch: float, first: tuple[float, float]) -> None:
    pixels, size = 11, (330, 300)
    image = light_field(size, pitch, first)
    view = StackView(ArraySource(image, "yx"), 0, 0)
    found = lens_centres(view, pitch)
    for here, true in zip(found, first, strict=True):
        off = (here - true + pitch / 2) % pitch - pitch / 2
        assert abs(off) < 0.1 * pitch / pixels
    axes = [lens_axis(n, pitch, c, pixels) for n, c in zip(size, found, strict=True)]
    # The centre of the light of lenses of an even sample, which the sampling was not fitted to.
    even = StackView(ArraySource(evenly_lit(size, pitch, first), "yx"), 0, 0)
    rectified = Resampled(even, (None, axes[0], axes[1]))
    values = rectified.read(whole_box(rectified.size))[0]
    assert all(length % pixels == 0 for length in values.shape)
    assert all(
        length // pixels in (int(n / pitch), int(n / pitch) - 1)
        for length, n in zip(values.shape, size, strict=True)
    )
    assert np.abs(centres_found(values, pixels)).max() < 0.1


def evenly_lit(size: tuple[int, int], pitch: float, first: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    to_lens = [
        (at - c + pitch / 2) % pitch - pitch / 2 for at, c in zip((y, x), first, strict=True)
    ]
    lens: np.ndarray = np.exp(-(np.hypot(*to_lens) ** 2) / (2 * (0.15 * pitch) ** 2))
    return (1000 * lens).astype(np.float32)


def test_lenses_at_the_networks_pitch_stay_where_they_are() -> None:
    axis = lens_axis(44, 11.0, 5.0, 11)
    assert (axis.before, axis.after, axis.step, axis.offset) == (44, 44, 1.0, 0.0)


def test_a_light_field_of_another_pitch_is_restored() -> None:
    network = small("volume")  # 3 x 3 views
    image = light_field((60, 68), 4.2, (1.6, 1.6))
    info = ImageInfo("lf.tif", "yx", (0.3, 0.3))
    plan = plan_restoration(
        ArraySource(image, "yx", info), predictor_of(network), Options(lens_pitch=4.2)
    )
    assert plan.out_shape == (1, 1, 3, 14 * 3, 16 * 3)
    assert plan.out_info.pixel_size_um == pytest.approx((0.42, 0.42))
    known = Options(lens_pitch=4.2, lens_centre=(1.6 + 4.2, 1.6))
    told = plan_restoration(ArraySource(image, "yx", info), predictor_of(network), known)
    for axis, other in zip(plan.base[1:], told.base[1:], strict=True):
        assert axis is not None
        assert other is not None
        assert other.after == axis.after
        assert other.offset == pytest.approx(axis.offset, abs=0.1)
    restored = restore_array(image, predictor_of(network), options=Options(lens_pitch=4.2))
    by_hand = Resampled(StackView(ArraySource(image, "yx"), 0, 0), plan.base)
    rectified = by_hand.read(whole_box(by_hand.size))[0]
    expected = restore_array(rectified, predictor_of(network))
    # The brightest pixel, which intensities are divided by, is that of the image as it was taken.
    assert np.corrcoef(restored.ravel(), expected.ravel())[0, 1] > 0.999


def test_lenses_that_are_not_there_are_not_guessed() -> None:
    even = np.random.default_rng(0).normal(1000, 10, (300, 300))
    with pytest.raises(ImageError, match=r"no lenses are seen at 15\.4 pixels a lens"):
        restore_array(even, predictor_of(small("volume")), options=Options(lens_pitch=15.4))
    with pytest.raises(ImageError, match="hold no two lenses"):
        restore_array(even[:20], predictor_of(small("volume")), options=Options(lens_pitch=15.4))
    with pytest.raises(ImageError, match="lens pitch is for raw light fields, not for sr"):
        restore_array(even, predictor_of(small("sr")), options=Options(lens_pitch=15.4))


def surface(planes: int, share: float) -> np.ndarray:
    """A stack of noise that is bright in the plane at a share of the depth, between planes too."""
    depth = share * (planes - 1)
    weight = np.maximum(0, 1 - np.abs(np.arange(planes) - depth) / 1.5)
    texture = np.random.default_rng(1).gamma(2, 200, (24, 20))
    stack: np.ndarray = weight[:, None, None] * texture + 50
    return stack


@pytest.mark.parametrize("planes", [3, 7, 9, 30])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_a_surface_keeps_its_share_of_the_depth(planes: int, share: float) -> None:
    network = small("projection")  # 4 planes
    source = ArraySource(surface(planes, share), "zyx")
    plan = plan_restoration(source, predictor_of(network), Options())
    resampled = Resampled(StackView(source, 0, 0), plan.base)
    stack = resampled.read(whole_box(resampled.size))
    assert stack.shape == (4, 24, 20)
    # Linear interpolation, averaged where planes become fewer, keeps the place of the light but
    # for what the ends of the stack cut off.
    light = (stack - stack.min()).sum(axis=(1, 2))
    assert abs(int(light.argmax()) - share * 3) <= 0.76
    assert restore_array(surface(planes, share), predictor_of(network)).shape == (24, 20)


@pytest.mark.parametrize(("share", "first"), [(0.0, 0), (0.5, 3), (7 / 9, 5), (1.0, 6)])
def test_a_stack_is_cropped_around_its_surface(share: float, first: int) -> None:
    network, image = small("projection"), surface(10, share)
    source = ArraySource(image, "zyx")
    plan = plan_restoration(source, predictor_of(network), Options(planes="crop"))
    axis = plan.base[0]
    assert axis is not None
    assert abs(axis.offset - first) <= (0 if share in (0.0, 0.5, 1.0) else 1)
    cropped = Resampled(StackView(source, 0, 0), plan.base)
    start = int(axis.offset)
    values = cropped.read(whole_box(cropped.size))
    np.testing.assert_allclose(values, image[start : start + 4], rtol=1e-6)


def test_too_few_planes_are_told_what_to_do() -> None:
    predictor = predictor_of(small("projection"))
    with pytest.raises(ImageError, match="array has 3 planes, too few to crop the 4"):
        restore_array(surface(3, 0.5), predictor, options=Options(planes="crop"))
    with pytest.raises(ImageError, match="array is a single plane; this model projects 4"):
        restore_array(picture((24, 20)), predictor)
    with pytest.raises(ImageError, match="planes is 'all', expected resample or crop"):
        Options(planes="all")  # type: ignore[arg-type]  # what a user may give

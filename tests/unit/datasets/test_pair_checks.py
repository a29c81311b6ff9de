"""How a pair lies: a shift is measured, and told where more than the whole image speaks for it."""

import numpy as np
import pytest

from tests.helpers.lab_folders import noisy, structure
from unifmir.datasets import pair_checks
from unifmir.datasets.pair_checks import check_sampling, shift_between
from unifmir.datasets.pair_image import PairImage
from unifmir.errors import ImageError
from unifmir.images import ArraySource
from unifmir.images.base import ImageInfo

SIDE = 40
INSIDE = (slice(12, 12 + SIDE),) * 2


def shift(image: np.ndarray, truth: np.ndarray) -> tuple[float, float] | None:
    low, high = (PairImage(ArraySource(plane, "yx"), "yx") for plane in (image, truth))
    return shift_between(low, high, truth.shape[0] // image.shape[0])


@pytest.mark.parametrize("seed", [1, 4, 6])
def test_noise_beside_noise_lies_nowhere(seed: int, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(seed)
    image, truth = (rng.poisson(50, (SIDE, SIDE)).astype(np.uint16) for _ in range(2))
    assert shift(image, truth) is None
    monkeypatch.setattr(pair_checks, "AGREEING_HALVES", 0)
    found = shift(image, truth)
    assert found is not None
    assert max(map(abs, found)) > 2, "as far as the whole image tells"


@pytest.mark.parametrize("by", [(0, 0), (0, 5), (3, -5), (-7, 2)])
def test_a_shift_of_something_is_found(by: tuple[int, int]):
    rng = np.random.default_rng(0)
    truth = structure(rng, (64, 64))
    image = noisy(rng, truth)[INSIDE]
    assert shift(image, np.roll(truth, by, (0, 1))[INSIDE]) == pytest.approx(by, abs=0.3)


def test_a_shift_is_found_though_two_quarters_hold_something():
    rng = np.random.default_rng(2)
    truth = structure(rng, (64, 64))
    truth[:, 32:] = 500  # the lower and the upper half are half empty, the right one is even
    image = noisy(rng, truth)[INSIDE]
    found = shift(image, np.roll(truth, 4, 0)[INSIDE])
    assert found == pytest.approx((4, 0), abs=0.5)


def test_a_shift_is_told_in_pixels_of_the_truth():
    rng = np.random.default_rng(0)
    truth = structure(rng, (128, 128))
    image = noisy(rng, truth.reshape(64, 2, 64, 2).mean((1, 3)))[INSIDE]
    moved = np.roll(truth, (6, -8), (0, 1))[24 : 24 + 2 * SIDE, 24 : 24 + 2 * SIDE]
    assert shift(image, moved) == pytest.approx((6, -8), abs=0.5)


def test_the_halves_are_the_upper_lower_left_and_right_one():
    plane = np.arange(5 * 4).reshape(5, 4)
    found = [plane[half].tolist() for half in pair_checks._halves(plane.shape)]
    assert found == [
        plane[:2].tolist(),
        plane[2:].tolist(),
        plane[:, :2].tolist(),
        plane[:, 2:].tolist(),
    ]


class TestSampling:
    def image(self, step: float | None, pixel: float | None, axes: str = "zyx") -> PairImage:
        values = np.zeros((4, 8, 8)[-len(axes) :], np.float32)
        info = ImageInfo("image", axes, pixel_size_um=(pixel, pixel), z_step_um=step)
        return PairImage(ArraySource(values, axes, info), axes)

    def test_planes_of_other_distances_are_refused(self):
        with pytest.raises(ImageError, match=r"distances of planes .*: 0.3 um .* and 1.5 um"):
            check_sampling(self.image(0.3, 0.1), self.image(1.5, 0.1), 1, isotropic=False)

    @pytest.mark.parametrize("other", [0.3, 0.303, None])
    def test_planes_as_far_apart_are_kept_and_so_is_what_is_not_said(self, other: float | None):
        for one, two in ((0.3, other), (other, 0.3)):
            check_sampling(self.image(one, 0.1), self.image(two, 0.1), 1, isotropic=False)

    def test_the_planes_of_a_stack_are_not_compared_with_those_of_a_projection(self):
        check_sampling(self.image(0.3, 0.1), self.image(1.5, 0.1, "yx"), 1, isotropic=False)

    @pytest.mark.parametrize("with_truth", [True, False])
    def test_coarse_planes_are_refused_where_sampling_has_to_be_isotropic(self, with_truth: bool):
        image = self.image(2.0, 0.1)
        truth = self.image(2.0, 0.1) if with_truth else None
        check_sampling(image, truth, 1, isotropic=False)
        with pytest.raises(ImageError, match=r"2 um apart and its pixels 0.1 um along y"):
            check_sampling(image, truth, 1, isotropic=True)

    def test_a_whole_number_of_interpolated_planes_is_near_enough(self):
        # 24 planes of 0.35 um are 64 of 0.13125 where the pixels are 0.13.
        image = self.image(24 * 0.35 / 64, 0.13)
        check_sampling(image, image, 1, isotropic=True)
        with pytest.raises(ImageError, match="isotropic sampling"):
            check_sampling(self.image(0.14, 0.13), None, 1, isotropic=True)

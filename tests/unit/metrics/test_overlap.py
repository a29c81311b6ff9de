"""Overlap of objects against closed forms, and segmentation by a classifier of pixels."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unifmir.errors import ImageError
from unifmir.metrics.overlap import (
    average_precision,
    dice,
    intersection_over_union,
    objects_of,
)
from unifmir.metrics.pixel_classifier import (
    LabelledImage,
    PixelClassifier,
    segmentation_scores,
)
from unifmir.metrics.scores import Score


def squares(*corners: tuple[int, int, int]) -> np.ndarray:
    """Squares on 40 x 40 pixels by their upper left corner and their side, numbered from 1."""
    labels = np.zeros((40, 40), np.int64)
    for number, (y, x, side) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = number
    return labels


class TestOverlap:
    def test_of_a_square_moved_by_half_is_a_third(self) -> None:
        one, other = squares((0, 0, 10)), squares((5, 0, 10))
        assert intersection_over_union(one, other) == 50 / 150
        assert dice(one, other) == 100 / 200

    def test_numbers_of_objects_do_not_matter(self) -> None:
        one = squares((0, 0, 8), (20, 20, 8))
        assert intersection_over_union(one, 7 * one) == dice(one, 7 * one) == 1
        assert average_precision(one, 7 * one) == 1

    def test_of_nothing_and_nothing_is_all_and_of_nothing_and_something_none(self) -> None:
        for metric in (intersection_over_union, dice, average_precision):
            assert metric(squares(), squares()) == 1
            assert metric(squares((0, 0, 5)), squares()) == 0
            assert metric(squares(), squares((0, 0, 5))) == 0

    def test_objects_are_matched_beyond_half_of_their_union(self) -> None:
        labelled = squares((0, 0, 10), (20, 0, 10), (0, 20, 10))
        # 80 of 120, 70 of 130, and none of the third; one is spurious.
        found = squares((2, 0, 10), (23, 0, 10), (30, 30, 5))
        assert average_precision(found, labelled) == 2 / (2 + 1 + 1)
        # 60 of 140 is less than half.
        assert average_precision(squares((4, 0, 10)), squares((0, 0, 10))) == 0
        # 60 of 120, two of three: half is not beyond it.
        half = np.zeros((40, 40), np.int64)
        half[:10, :5] = 1
        assert average_precision(half, squares((0, 0, 10))) == 0

    def test_planes_are_matched_one_by_one(self) -> None:
        labelled = np.stack([squares((0, 0, 10)), squares((20, 20, 10))])
        found = np.stack([squares((0, 0, 10)), squares()])
        assert average_precision(found, labelled) == 1 / 2
        assert average_precision(found[::-1], labelled) == 0 / 2

    def test_pixels_that_touch_by_a_corner_are_one_object(self) -> None:
        foreground = np.zeros((2, 6, 6), bool)
        foreground[0, 0, 0] = foreground[0, 1, 1] = foreground[0, 5, 5] = foreground[1, 3] = True
        assert objects_of(foreground).max(axis=(1, 2)).tolist() == [2, 1]


def spotted(seed: int, noise: float = 0.02) -> LabelledImage:
    """Discs and their labels, on a background that rises to three times their brightness."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.int64)
    for number, (row, column) in enumerate(np.ndindex(3, 3), 1):
        cy, cx = np.array([row, column]) * 21 + 10 + rng.integers(-2, 3, 2)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= 36] = number
    image = gaussian_filter((labels > 0).astype(float), 1) + 3 * x / 64
    return LabelledImage(image + noise * rng.normal(size=image.shape), labels)


@pytest.fixture(scope="module")
def scores() -> list[dict[str, Score]]:
    """Of sharp images in other units than their truths, and of blurred ones."""
    images = {str(seed): spotted(seed) for seed in range(2)}
    sharp = {name: 30 * one.truth + 7 for name, one in images.items()}
    blurred = {name: gaussian_filter(one.truth, 6) for name, one in images.items()}
    return segmentation_scores(images, sharp, blurred)


class TestPixelClassifier:
    def test_finds_objects_that_no_threshold_finds(self, scores: list[dict[str, Score]]) -> None:
        image = spotted(0)
        best = max(
            dice((image.truth > level).astype(np.int64), image.labels)
            for level in np.linspace(0, 4, 41)
        )
        assert best < 0.75
        assert all(score["dice"] > 0.93 for score in scores[0].values())
        assert all(score["ap50"] == 1 for score in scores[0].values())

    def test_dice_and_iou_are_one_fact(self, scores: list[dict[str, Score]]) -> None:
        for score in (*scores[0].values(), *scores[1].values()):
            assert score["dice"] == pytest.approx(2 * score["iou"] / (1 + score["iou"]))

    def test_blurred_objects_are_found_less_well(self, scores: list[dict[str, Score]]) -> None:
        sharp, blurred = ([one["iou"] for one in scores[n].values()] for n in (0, 1))
        assert max(blurred) < min(sharp) - 0.1

    def test_one_image_is_too_few(self) -> None:
        with pytest.raises(ImageError, match="two labelled images at least"):
            segmentation_scores({"a": spotted(0)}, {})

    @pytest.mark.parametrize(("labels", "missing"), [(0, "objects"), (1, "background")])
    def test_labels_of_one_kind_are_refused(self, labels: int, missing: str) -> None:
        image = spotted(0)
        with pytest.raises(ImageError, match=f"no {missing}"):
            PixelClassifier([LabelledImage(image.truth, np.full_like(image.labels, labels))])

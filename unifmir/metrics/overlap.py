"""Overlap of a segmentation and labelled objects: IoU, Dice, and objects that are matched."""

import numpy as np
from jaxtyping import Bool, Integer, Shaped
from skimage.measure import label

from unifmir.errors import ImageError
from unifmir.metrics.base import Metric

MATCHED_FROM = 0.5
"""IoU above which two objects are one: then no object has two partners."""

LARGEST = 2**53
"""Labels up to here are whole numbers in every pixel type."""

Objects = Integer[np.ndarray, "*axes"]
"""Plane or planes: 0 is background, each object has a number of its own."""
Foreground = Bool[np.ndarray, "*axes"]


def whole_numbers(name: str, values: Shaped[np.ndarray, "*axes"]) -> Objects:
    """Values as labels from 0 to `LARGEST`, no unit; `name` is told where they are none.

    Raises
    ------
    ImageError
        They are below 0, above `LARGEST`, no whole numbers, or no real numbers.
    """
    real = values.dtype.kind in "biuf" and np.isfinite(values).all()
    fits = real and values.min() >= 0 and values.max() <= LARGEST
    if not fits or (values != np.floor(values)).any():
        raise ImageError(
            f"{name} has values that are no labels: expected 0 for background and a whole number "
            "for each object"
        )
    return values.astype(np.int64)


def intersection_over_union(found: Objects, labelled: Objects) -> float:
    """IoU of the foregrounds, 0 to 1; 1 where neither has any."""
    one, other = found > 0, labelled > 0
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def dice(found: Objects, labelled: Objects) -> float:
    """Twice the shared foreground over the sum of both, 0 to 1; 1 where neither has any."""
    one, other = found > 0, labelled > 0
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def average_precision(found: Objects, labelled: Objects) -> float:
    """Matched objects over matched, missed and spurious ones, 0 to 1; 1 where there are none.

    Parameters
    ----------
    found, labelled : array, (y, x) or (planes, y, x), integers, of one shape
        Planes are matched one by one.

    Notes
    -----
    TP / (TP + FP + FN) at an IoU of 0.5, as Weigert & Schmidt (StarDist) and the Data Science Bowl
    2018 count it.
    """
    matched = objects = 0
    shape = (-1, *labelled.shape[-2:])
    for one, other in zip(found.reshape(shape), labelled.reshape(shape), strict=True):
        same, first, second = _counted(one, other)
        matched, objects = matched + same, objects + first + second
    return matched / (objects - matched) if objects else 1.0


def _counted(found: Objects, labelled: Objects) -> tuple[int, int, int]:
    """Matched objects of a plane, all that were found, and all that are labelled."""
    areas = [
        dict(zip(*np.unique(plane[plane > 0], return_counts=True), strict=True))
        for plane in (found, labelled)
    ]
    both = (found > 0) & (labelled > 0)
    pairs, shared = np.unique(np.stack([found[both], labelled[both]]), axis=1, return_counts=True)
    matched = sum(
        int(common > MATCHED_FROM * (areas[0][one] + areas[1][other] - common))
        for one, other, common in zip(*pairs, shared, strict=True)
    )
    return matched, len(areas[0]), len(areas[1])


def objects_of(foreground: Foreground) -> Objects:
    """Objects of a foreground, plane by plane: pixels that touch, also by their corners."""
    planes = [label(plane) for plane in foreground.reshape(-1, *foreground.shape[-2:])]
    found: Objects = np.stack(planes).reshape(foreground.shape)
    return found


OVERLAPS = {
    "iou": Metric(intersection_over_union, "IoU of the segmentation", 4, short="IoU"),
    "dice": Metric(dice, "Dice of the segmentation", 4, short="Dice"),
    "ap50": Metric(average_precision, "AP of objects at IoU 0.5", 4, short="AP 0.5"),
}
"""Metrics of a segmentation and labelled objects, in place of an image and its truth."""

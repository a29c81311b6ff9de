"""A restored image, the truth and their difference side by side, as a picture for people."""

import numpy as np
from jaxtyping import Float, UInt8

from unifmir.metrics.base import RestoredImage
from unifmir.metrics.squirrel import squirrel

CONTRAST = (0.5, 99.8)
"""Percentiles of the truth that become black and white, in both images."""
LONGEST = 1024
"""Pixels of a side; of longer ones every second, third... is shown."""
_GAP = 8
_Plane = Float[np.ndarray, "y x"]


def error_picture(restored: RestoredImage, truth: RestoredImage) -> UInt8[np.ndarray, "rows cols"]:
    """Restored image, truth, and restored minus truth; of a stack the middle plane.

    Parameters
    ----------
    restored, truth : array, (y, x) or (z, y, x), of one shape
        Intensities in the same units.

    Returns
    -------
    array, uint8
        In the difference grey is none, white half of the contrast too much, black too little.
    """
    one, other, step = _planes(restored, truth)
    one, other = one[::step, ::step], other[::step, ::step]
    low, high = np.percentile(other, CONTRAST)
    span = (high - low) or 1.0
    gap = np.ones((len(other), _GAP))
    parts = [(one - low) / span, gap, (other - low) / span, gap, (one - other) / span + 0.5]
    picture: np.ndarray = np.round(255 * np.clip(np.concatenate(parts, axis=1), 0, 1))
    return picture.astype(np.uint8)


def error_maps(restored: RestoredImage, truth: RestoredImage) -> UInt8[np.ndarray, "rows cols"]:
    """The error picture, and to its right the error map of SQUIRREL; of a stack the middle plane.

    Parameters
    ----------
    restored, truth : array, (y, x) or (z, y, x), of one shape
        Intensities in the same units.

    Returns
    -------
    array, uint8
        In the map black is none, and white a quarter of the contrast once scale, offset and blur
        are forgiven.
    """
    one, other, step = _planes(restored, truth)
    low, high = np.percentile(other[::step, ::step], CONTRAST)
    error = squirrel(one, other).map[::step, ::step] / ((high - low) / 4 or 1.0)
    panel = np.round(255 * np.clip(error, 0, 1)).astype(np.uint8)
    gap = np.full((len(panel), _GAP), 255, np.uint8)
    return np.concatenate([error_picture(restored, truth), gap, panel], axis=1)


def _planes(restored: RestoredImage, truth: RestoredImage) -> tuple[_Plane, _Plane, int]:
    """The planes that are shown, and of how many pixels along y and x one is."""
    middle = truth.shape[0] // 2
    one, other = (image if image.ndim == 2 else image[middle] for image in (restored, truth))
    return one, other, -(-max(truth.shape[-2:]) // LONGEST)

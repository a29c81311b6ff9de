"""Width of bright lines at half of their height, measured across them where the truth has some.

Lines are where the truth, smoothed, bends most in one direction (its Hessian matrix, Steger, IEEE
PAMI 1998); profiles are taken in that direction.
"""

import numpy as np
from jaxtyping import Float64
from scipy.ndimage import gaussian_filter, map_coordinates

from unifmir.metrics.base import Metric, RestoredImage

SCALE_PX = 1.5
"""Standard deviation of the Gaussian that the truth is smoothed by to find its lines."""
REACH_PX = 12
"""Pixels on each side of a line that a profile goes."""
STEP_PX = 0.25
PROFILES = 200
"""Profiles of a plane, at most: the strongest lines'."""
LEAST_CONTRAST = 0.1
"""Height of a profile's middle above its ends, of the truth's range, from which on it is a line."""

Profile = Float64[np.ndarray, " samples"]
Plane = Float64[np.ndarray, "y x"]
Points = Float64[np.ndarray, " points"]


def half_width(profile: Profile, step: float = 1.0) -> float | None:
    """Full width at half maximum of a profile around its middle sample.

    Parameters
    ----------
    profile : array, float64
        Samples of any real values, `step` apart, of a peak in the middle third; the base is the
        mean of the lowest value on each side of it.
    step : float
        Distance of two samples.

    Returns
    -------
    float or None
        In the units of `step`, linear between samples; None where it does not fall to half of its
        height on both sides.
    """
    third = len(profile) // 3
    at = third + int(np.argmax(profile[third : len(profile) - third]))
    base = (float(profile[: at + 1].min()) + float(profile[at:].min())) / 2
    half = (float(profile[at]) + base) / 2
    ends = []
    for side in (profile[at::-1], profile[at:]):
        below = np.flatnonzero(side <= half)
        if not len(below) or below[0] == 0:
            return None
        last = int(below[0])
        ends.append(last - 1 + float((side[last - 1] - half) / (side[last - 1] - side[last])))
    return sum(ends) * step


def line_width_px(restored: RestoredImage, truth: RestoredImage) -> float:
    """Median width of the restored image's lines, in pixels, where the truth has its strongest.

    The shorter side of the image where there is none, or none falls to half of its height: nothing
    is as wide as that.
    """
    found: list[float] = []
    for plane, true in zip(
        restored.reshape(-1, *restored.shape[-2:]),
        truth.reshape(-1, *truth.shape[-2:]),
        strict=True,
    ):
        found += _widths(plane.astype(np.float64), true.astype(np.float64))
    return float(np.median(found)) if found else float(min(truth.shape[-2:]))


def _widths(plane: Plane, truth: Plane) -> list[float]:
    rows, columns, angle = _lines(truth)
    offsets = np.arange(-REACH_PX, REACH_PX + STEP_PX / 2, STEP_PX)
    places = np.stack(
        [
            rows[:, None] + offsets * np.cos(angle)[:, None],
            columns[:, None] + offsets * np.sin(angle)[:, None],
        ]
    )
    # Cubic: linear between pixels would widen a line of 2.8 by 0.1.
    true, seen = (map_coordinates(one, places, order=3, mode="nearest") for one in (truth, plane))
    contrast = true[:, len(offsets) // 2] - (true[:, 0] + true[:, -1]) / 2
    lines = seen[contrast >= LEAST_CONTRAST * float(np.ptp(truth))]
    widths = (half_width(line, STEP_PX) for line in lines)
    return [width for width in widths if width is not None]


def _lines(truth: Plane) -> tuple[Points, Points, Points]:
    """Rows and columns of points on the strongest lines, and the angle across each, radians."""
    across = [gaussian_filter(truth, SCALE_PX, order=order) for order in ((2, 0), (1, 1), (0, 2))]
    yy, xy, xx = across
    strength = np.hypot((yy - xx) / 2, xy) - (yy + xx) / 2
    margin = REACH_PX
    strength[:margin] = strength[-margin:] = 0
    strength[:, :margin] = strength[:, -margin:] = 0
    angle = np.arctan2(2 * xy, yy - xx) / 2 + np.pi / 2
    # The direction of the most negative bend: of the two it is the one that makes the sum least.
    bend = yy * np.cos(angle) ** 2 + 2 * xy * np.sin(angle) * np.cos(angle)
    bend += xx * np.sin(angle) ** 2
    angle = np.where(bend > (yy + xx) / 2, angle + np.pi / 2, angle)
    smooth = gaussian_filter(truth, SCALE_PX)
    grid = np.indices(truth.shape).astype(np.float64)
    step = np.stack([np.cos(angle), np.sin(angle)])
    sides = [map_coordinates(smooth, grid + sign * step, order=1) for sign in (-1, 1)]
    ridge = (smooth >= sides[0]) & (smooth >= sides[1]) & (strength > 0)
    candidates = np.flatnonzero(ridge)
    best = candidates[np.argsort(-strength.ravel()[candidates], kind="stable")[:PROFILES]]
    rows, columns = (part.astype(np.float64) for part in np.unravel_index(best, truth.shape))
    return rows, columns, angle.ravel()[best]


FWHM = Metric(line_width_px, "FWHM of lines", decimals=2, unit="px", short="FWHM")

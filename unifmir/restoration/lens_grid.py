"""Light fields whose lenses lie at another pitch than the network's, brought to its grid.

The bright centres of the lenses are found by the phase of the image's component at one cycle a
lens, along each axis: of a function of that period whose largest values are at the centres, the
phase is that of the centres. The image is then resampled so that each lens has the pixels that the
network reads, its centre on the middle one, from the first whole lens to the last.
"""

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from unifmir.errors import ImageError
from unifmir.restoration.resampling import Axis, StackView

_FAINTEST = 0.005
"""Share of the lenses' component in the mean intensity from which on they count as seen."""
_CUT_PX = 0.25
"""A lens at the edge that lacks less of its pixels is whole: its place is known no better."""


def lens_centres(image: StackView, pitch: float) -> tuple[float, float]:
    """Find the row and column of a lens's centre, the smallest ones that are not negative.

    Parameters
    ----------
    image : StackView
        A raw light field, one plane.
    pitch : float
        Pixels a lens.

    Raises
    ------
    ImageError
        No lenses of this pitch are seen.
    """
    rows, columns = _sums(image)
    return _centre(rows, pitch), _centre(columns, pitch)


def lens_axis(length: int, pitch: float, centre: float, pixels: int) -> Axis:
    """Sampling of one axis at which each lens has `pixels` pixels.

    Parameters
    ----------
    length : int
        Pixels of the raw axis.
    pitch : float
        Of the lenses, in raw pixels.
    centre : float
        Of any lens, in raw pixels.
    pixels : int
        That a lens has afterwards.

    Raises
    ------
    ImageError
        The axis holds no whole lens.
    """
    # Edges of the image are half a pixel outside the centres of its pixels.
    first = ceil((pitch / 2 - 0.5 - _CUT_PX - centre) / pitch)
    last = floor((length - 0.5 + _CUT_PX - pitch / 2 - centre) / pitch)
    if last < first:
        raise ImageError(f"{length} pixels hold no whole lens of {pitch:g} pixels")
    step = pitch / pixels
    start = centre + first * pitch - (pixels - 1) / 2 * step
    return Axis(length, (last - first + 1) * pixels, step, start)


def _sums(image: StackView) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of all columns, and of all rows."""
    _, height, width = image.size
    rows, columns = np.zeros(height), np.zeros(width)
    band = max(1, 2**22 // width)
    for top in range(0, height, band):
        bottom = min(height, top + band)
        block = image.read(((0, 1), (top, bottom), (0, width)))[0].astype(np.float64)
        rows[top:bottom] = block.sum(axis=1)
        columns += block.sum(axis=0)
    return rows, columns


def _centre(sums: NDArray[np.float64], pitch: float) -> float:
    lenses = floor(len(sums) / pitch)
    if lenses < 2:
        raise ImageError(f"{len(sums)} pixels hold no two lenses of {pitch:g} pixels")
    # Whole lenses, their edges faded: else the image's own slope is taken for lenses.
    used = sums[: round(lenses * pitch)]
    at = np.arange(len(used))
    window = np.sin(np.pi * (at + 0.5) / len(used)) ** 2
    level = float((used * window).sum() / window.sum())
    component = complex(((used - level) * window * np.exp(-2j * np.pi * at / pitch)).sum())
    if not np.isfinite(level) or abs(component) <= _FAINTEST * abs(level) * window.sum():
        raise ImageError(
            f"no lenses are seen at {pitch:g} pixels a lens: check the pitch, on an image of an "
            "even sample for example"
        )
    return float(-np.angle(component) / (2 * np.pi) * pitch) % pitch

"""Checks of a pair before anything is learned from it: numbers, sizes, and how its images lie."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from jaxtyping import Float32, Float64
from skimage.registration import phase_cross_correlation
from skimage.transform import resize

from unifmir.datasets.dataset_manifest import ScalingRecord
from unifmir.datasets.pair_image import PairImage
from unifmir.errors import ImageError
from unifmir.images.base import times
from unifmir.normalize import check_real, scaling_between
from unifmir.restoration.percentiles import statistics
from unifmir.tasks.base import Normalization

SATURATED_VALUES = frozenset({1.0, *(2.0**bits - 1 for bits in range(8, 33))})
"""Largest values of cameras and of pictures that were scaled to 1."""
PIXEL_SIZE_TOLERANCE = 0.02
"""Difference of pixel sizes that rounding in a file explains."""
ISOTROPIC_TOLERANCE = 0.05
"""Difference of z step and pixel size that a whole number of interpolated planes explains."""
LEAST_SIDE = 16
"""Pixels along y and x from which on a shift is measured."""
MOST_SIDE = 512
MOST_PLANES = 8
SUBPIXEL = 10
"""Parts of a pixel to which a shift is measured."""
PASSES = 3
"""Measurements, each of what the one before left."""
LEAST_GAIN = 0.02
"""Correlation that a shift must gain to be believed: where noise decides, there is no peak."""
AGREEING_HALVES = 2
"""Halves of an image, of the upper, lower, left and right one, that must lie as the whole does."""
AGREEMENT_PX = 2.0
"""Distance along an axis, in the truth's pixels, within which a half lies as the whole does:
docs/training.md has how many shifts are found so, and how many that are none."""

Plane = Float32[np.ndarray, "y x"]
Shift = Float64[np.ndarray, "2"]
"""Along y and x, pixels."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Measured intensities of an image."""

    minimum: float
    maximum: float
    mean: float
    scalings: tuple[ScalingRecord, ...]


def measure_numbers(
    image: PairImage, normalization: Normalization, *, normalised: bool, most_saturated: float
) -> Numbers:
    """Measure all frames of an image, and refuse what nothing can be learned from.

    Parameters
    ----------
    image : PairImage
    normalization : Normalization
        The task's, for the scalings of the frames.
    normalised : bool
        Whether the file says that it holds normalised images, which are taken as they are.
    most_saturated : float
        Share of the pixels that may lie at the largest value of a camera.

    Raises
    ------
    ImageError
        It is constant, holds NaN or infinity, is saturated, or cannot be scaled.
    """
    check_real(image.source.dtype)
    low, high, total, count, at_high = np.inf, -np.inf, 0.0, 0, 0
    scalings = []
    for frame in range(image.frames):
        for block in image.blocks(frame):
            values = block.astype(np.result_type(block.dtype, np.float32), copy=False)
            bad = values.size - int(np.count_nonzero(np.isfinite(values)))
            if bad:
                raise ImageError(f"{bad} of its pixels are NaN or infinite")
            largest = float(values.max())
            if largest >= high:
                # Blocks before this one held no pixel as bright.
                at_high = at_high if largest == high else 0
                at_high += int(np.count_nonzero(values == largest))
            low, high = min(low, float(values.min())), max(high, largest)
            total += float(values.sum(dtype=np.float64))
            count += values.size
        if not normalised:
            scalings.append(_scaling(image, frame, normalization))
    if low == high:
        raise ImageError(f"it is constant: all pixels are {low:g}")
    if high in SATURATED_VALUES and at_high > most_saturated * count:
        raise ImageError(
            f"{100 * at_high / count:.1f} % of its pixels are saturated, at {high:g}; allowed are "
            f"{100 * most_saturated:g} % (--max-saturated)"
        )
    if normalised and not (low > -100 and high < 1000):
        raise ImageError(
            f"its values run from {low:g} to {high:g}, expected normalised ones, as csbdeep's "
            "training files hold them"
        )
    return Numbers(low, high, total / count, tuple(scalings))


def _scaling(image: PairImage, frame: int, rule: Normalization) -> ScalingRecord:
    if rule.inside:
        largest = statistics(lambda: image.blocks(frame), ()).maximum
        return ScalingRecord(0.0, largest if largest > 0 else 1.0)
    percents = (rule.low_percent, rule.high_percent)
    found = statistics(lambda: image.blocks(frame), percents)
    extremes = (found.minimum, found.maximum)
    if found.minimum == found.maximum:
        raise ImageError(
            f"it is constant: all pixels {f'of frame {frame} ' * (image.frames > 1)}are "
            f"{found.minimum:g}"
        )
    low, high = found.percentiles
    scaling = scaling_between(low, high, extremes, rule)
    return ScalingRecord(scaling.low, scaling.span)


def magnification_of(image: PairImage, truth: PairImage) -> int:
    """How much more finely a truth is sampled, from the shapes.

    Raises
    ------
    ImageError
        The shapes do not fit each other.
    """
    (z, y, x), (deep, high, wide) = image.shape, truth.shape
    factor = high // y
    both_deep = "z" in image.axes and "z" in truth.axes
    fits = (
        image.frames == truth.frames
        and factor >= 1
        and (high, wide) == (factor * y, factor * x)
        and (not both_deep or z == deep)
    )
    if fits:
        return factor
    frames = f", {image.frames} and {truth.frames} frames" * (image.frames != truth.frames)
    raise ImageError(
        f"the shapes do not fit: the input has {times(image.shape)} pixels (z, y, x), the truth "
        f"{times(truth.shape)}{frames}; expected the same planes, and the truth to be a whole "
        "number of times as high and as wide"
    )


def check_sampling(
    image: PairImage, truth: PairImage | None, magnification: int, *, isotropic: bool
) -> None:
    """Refuse a pair whose files say distances of pixels that do not go with its shapes or task.

    Distances that a file does not say are not looked at.

    Parameters
    ----------
    image : PairImage
    truth : PairImage, optional
    magnification : int
        Pixels of the truth for each of the input's, along y and x.
    isotropic : bool
        Whether the planes of the input have to be as far apart as its pixels.

    Raises
    ------
    ImageError
        Naming the axis, and what each file says.
    """
    rows, columns = image.source.info.pixel_size_um
    distance = image.source.info.z_step_um if "z" in image.axes else None
    if truth is not None:
        fine = truth.source.info.pixel_size_um
        for axis, coarse, other in zip(("y", "x"), (rows, columns), fine, strict=True):
            if _apart(coarse, other and other * magnification, PIXEL_SIZE_TOLERANCE):
                raise ImageError(
                    f"the pixel sizes along {axis} do not fit: {coarse:g} um of the input and "
                    f"{other:g} um of the truth, which has {magnification} times as many pixels; "
                    "correct them (Fiji: Image > Properties), or check the pair"
                )
        planes = truth.source.info.z_step_um if "z" in truth.axes else None
        if _apart(distance, planes, PIXEL_SIZE_TOLERANCE):
            raise ImageError(
                f"the distances of planes do not fit: {distance:g} um in the input and {planes:g} "
                "um in the truth, which has as many planes; correct them (Fiji: Image > "
                "Properties), or check the pair"
            )
    for axis, size in (("y", rows), ("x", columns)):
        if isotropic and _apart(distance, size, ISOTROPIC_TOLERANCE):
            raise ImageError(
                f"its planes are {distance:g} um apart and its pixels {size:g} um along {axis}: "
                "expected isotropic sampling. Interpolate it along z first (Fiji: Image > Scale), "
                "or correct what the file says (Image > Properties)"
            )


def _apart(one: float | None, other: float | None, tolerance: float) -> bool:
    """Whether two distances are known and differ by more than a share of the first."""
    return one is not None and other is not None and abs(one - other) > tolerance * one


def shift_between(
    image: PairImage, truth: PairImage, magnification: int
) -> tuple[float, float] | None:
    """How far the truth lies from where the input has the same, by cross-correlation.

    Measured on the middle of the first frame: the mean of some planes, or the maximum along z
    where the truth has no planes.

    Returns
    -------
    (float, float) or None
        Along y and x, in the truth's pixels, to a tenth. None: the images do not tell, as they are
        too small, or their halves seem to lie otherwise than the whole.
    """
    if min(image.shape[1:]) < LEAST_SIDE:
        return None
    deep = "z" in truth.axes
    small, large = _middle(image, 1, deep), _middle(truth, magnification, deep)
    first = resize(small, large.shape, order=1) if magnification > 1 else small
    found = _shift_onto(first, large)
    if found is None:
        return None
    reference, moved = _prepared(first), _prepared(_shifted(large, found))
    gain = _correlation(reference, moved) - _correlation(reference, _prepared(large))
    if gain < LEAST_GAIN:
        return 0.0, 0.0
    # What has no structure, or the same everywhere, correlates best somewhere too.
    halves = (_shift_onto(first[half], large[half]) for half in _halves(first.shape))
    if sum(half is not None and _agrees(half, found) for half in halves) < AGREEING_HALVES:
        return None
    y, x = (round(-float(one), 1) + 0.0 for one in found)
    return y, x


def _shift_onto(first: Plane, second: Plane) -> Shift | None:
    """Shift that brings a plane onto another, by cross-correlation; None: one of them is even."""
    reference, total = _prepared(first), np.zeros(2)
    # Planes that fade towards their edges pull the peak towards the middle: the rest is measured.
    for _ in range(PASSES):
        candidate = _prepared(_shifted(second, total))
        if not (reference.any() and candidate.any()):
            return None
        found, *_ = phase_cross_correlation(
            reference, candidate, upsample_factor=SUBPIXEL, normalization=None
        )
        total = total + found
    return total


def _agrees(half: Shift, whole: Shift) -> bool:
    """Whether a half lies as the whole does, and not rather as if nothing was shifted."""
    apart, moved = float(np.abs(half - whole).max()), float(np.abs(half).max())
    return apart <= AGREEMENT_PX and apart < moved


def _shifted(plane: Plane, by: Shift) -> Plane:
    moved: Plane = scipy.ndimage.shift(plane, by, order=1, mode="nearest")
    return moved


def _halves(shape: tuple[int, ...]) -> tuple[tuple[slice, slice], ...]:
    """Upper, lower, left and right half of a plane."""
    y, x = (length // 2 for length in shape)
    every = slice(None)
    return (
        (slice(y), every), (slice(y, None), every), (every, slice(x)), (every, slice(x, None))
    )  # fmt: skip


def _middle(image: PairImage, magnification: int, deep: bool) -> Plane:
    z, y, x = image.shape
    side = MOST_SIDE // 2 * magnification
    rows, columns = (
        slice(max(0, length // 2 - side), min(length, length // 2 + side)) for length in (y, x)
    )
    planes = slice(0, z)
    if deep:
        planes = slice(max(0, z // 2 - MOST_PLANES // 2), min(z, z // 2 + MOST_PLANES // 2 + 1))
    found = image.read(0, (planes, rows, columns)).astype(np.float64)
    found = found.mean(axis=0) if deep else found.max(axis=0)
    low, high = float(found.min()), float(found.max())
    # Squares of large intensities would not fit.
    plane: Plane = ((found - low) / (high - low or 1.0)).astype(np.float32)
    return plane


def _prepared(plane: Plane) -> Plane:
    """A plane without noise, without its mean, and fading towards its edges."""
    smooth = scipy.ndimage.gaussian_filter(plane, 1.5)
    smooth = smooth - scipy.ndimage.gaussian_filter(plane, 12.0)
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in plane.shape))
    # A few bright spots must not decide where the rest lies.
    limit = float(np.percentile(np.abs(smooth), 99.5))
    result: Plane = (np.clip(smooth, -limit, limit) * window).astype(np.float32)
    return result


def _correlation(first: Plane, second: Plane) -> float:
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0

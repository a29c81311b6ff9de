"""Whether two images are the same picture: figures, and the bars they are held to.

All figures are relative to the expected image, because outputs differ in scale from task to task:
a super-resolved output may have a standard deviation of 0.06, where an absolute tolerance of 1e-3
would let an error of 2 % pass.
"""

from dataclasses import dataclass, replace
from math import inf, log10, nan

import numpy as np
from jaxtyping import Float64, Shaped

from unifmir.errors import ImageError
from unifmir.json_values import JsonOutput

RealImage = Shaped[np.ndarray, "..."]
"""Image of any shape and real dtype. Shapes that differ are refused with a message."""
CONSTANT = 1e-6
"""An image whose standard deviation is below this part of its largest magnitude is constant:
8 times the resolution of float32 (1.2e-7), so what varies is rounding and not picture."""


@dataclass(frozen=True, slots=True)
class Comparison(JsonOutput):
    """How an actual image differs from the expected one.

    Where the actual image holds NaN or Inf, `max_abs` and `max_abs_over_std` are inf, `psnr_db` is
    -inf, the line and the ratio are nan, and `where` is the first such element. In JSON these
    figures are None; `psnr_db` None with `identical` true means no difference.
    """

    shape: tuple[int, ...]
    identical: bool
    """Equal in every element."""
    finite: bool
    """No NaN and no Inf in the actual image."""
    max_abs: float
    """Largest absolute difference."""
    max_abs_over_std: float
    """Largest absolute difference over the expected image's standard deviation. A constant image
    has none: its magnitude stands in, and 1 where it is zero everywhere."""
    where: tuple[int, ...]
    """Index of the largest difference."""
    ppm: float
    """Elements per million that differ by more than `ppm_over_std`."""
    ppm_over_std: float
    """The difference that counts for `ppm`, over the standard deviation."""
    psnr_db: float
    """Peak signal-to-noise ratio for the expected image's range, max - min; inf if identical."""
    slope: float
    """Slope of the least-squares line actual = slope * expected + offset; 1 for a constant
    image."""
    offset: float
    """Offset of that line: actual at expected = 0, which may lie far outside the image's values."""
    offset_over_range: float
    """Shift of that line at the expected image's darkest value, over its range. It is
    offset / range for an image that starts at 0, and stays meaningful for one far from 0."""
    total_ratio: float
    """Sum of the actual over the sum of the expected intensities, computed as
    1 + (difference of the sums) / (sum of the expected magnitudes): the same for images that are
    not negative, and defined for signed images whose sum is near zero."""


def compare(expected: RealImage, actual: RealImage, *, tolerance: float = 1e-3) -> Comparison:
    """Compare two images.

    Parameters
    ----------
    expected, actual : ndarray, same shape, real dtype
        Intensities in any unit, compared in float64.
    tolerance : float
        Difference, over the standard deviation of `expected`, beyond which an element counts
        for `ppm`. 1e-3 is the default of BioImage.IO's test.

    Raises
    ------
    ImageError
        Shapes differ, nothing to compare, or NaN or Inf in `expected`.

    Notes
    -----
    By the inequality of Cauchy and Schwarz |slope - 1| is at most the rms difference over the
    standard deviation of `expected`: an image with little contrast makes the slope uncertain only
    where the difference is as large as the contrast, and then PSNR fails too. Below `CONSTANT`
    there is no contrast, the slope is set to 1 and the offset carries the whole shift.
    """
    _check(expected, actual)
    wanted = np.asarray(expected, dtype=np.float64)
    got = np.asarray(actual, dtype=np.float64)
    magnitude = float(np.abs(wanted).max())
    std = float(wanted.std())
    constant = std <= CONSTANT * magnitude
    scale = (magnitude or 1.0) if constant else std
    invalid = ~np.isfinite(got)
    if invalid.any():
        first = np.unravel_index(int(invalid.argmax()), got.shape)
        with np.errstate(invalid="ignore"):
            beyond = ~(np.abs(got - wanted) <= tolerance * scale)
        return Comparison(
            shape=wanted.shape,
            identical=False,
            finite=False,
            max_abs=inf,
            max_abs_over_std=inf,
            where=tuple(int(i) for i in first),
            ppm=float(beyond.mean() * 1e6),
            ppm_over_std=tolerance,
            psnr_db=-inf,
            slope=nan,
            offset=nan,
            offset_over_range=nan,
            total_ratio=nan,
        )
    difference = got - wanted
    distance = np.abs(difference)
    place = np.unravel_index(int(distance.argmax()), distance.shape)
    span = scale if constant else float(wanted.max() - wanted.min())
    noise = float(np.square(difference).mean())
    slope, offset, shift = _line(wanted, difference, constant)
    magnitudes = float(np.abs(wanted).sum()) or float(wanted.size)
    return Comparison(
        shape=wanted.shape,
        identical=bool((got == wanted).all()),
        finite=True,
        max_abs=float(distance.max()),
        max_abs_over_std=float(distance.max()) / scale,
        where=tuple(int(i) for i in place),
        ppm=float((distance > tolerance * scale).mean() * 1e6),
        ppm_over_std=tolerance,
        psnr_db=20 * log10(span) - 10 * log10(noise) if noise > 0 else inf,
        slope=slope,
        offset=offset,
        offset_over_range=shift / span,
        total_ratio=1 + float(difference.sum()) / magnitudes,
    )


def _check(expected: RealImage, actual: RealImage) -> None:
    if expected.shape != actual.shape:
        raise ImageError(
            f"the images to compare differ in shape: expected {tuple(expected.shape)}, found "
            f"{tuple(actual.shape)}. Crop or re-run with the same input size."
        )
    if expected.size == 0:
        raise ImageError(f"images of shape {tuple(expected.shape)} have no elements to compare")
    if bad := int(np.count_nonzero(~np.isfinite(expected))):
        raise ImageError(
            f"the expected image holds {bad} NaN or Inf elements of {expected.size}, so nothing "
            "can be held against it. Check the model in fp32 on this input first."
        )


def _line(
    wanted: Float64[np.ndarray, "*axes"], difference: Float64[np.ndarray, "*axes"], constant: bool
) -> tuple[float, float, float]:
    """Slope, offset, and shift of the line at the darkest value.

    Fitted to the difference, not to the actual image: slope - 1 then comes out without the
    rounding of numbers near 1.
    """
    mean, bias = float(wanted.mean()), float(difference.mean())
    if constant:
        return 1.0, bias, bias
    centred = wanted - mean
    tilt = float((centred * difference).mean() / np.square(centred).mean())
    return 1 + tilt, bias - tilt * mean, bias + tilt * (float(wanted.min()) - mean)


@dataclass(frozen=True, slots=True)
class Tolerance(JsonOutput):
    """Bars that a comparison is held to. None: that figure is not held to anything."""

    name: str
    reason: str
    max_abs_over_std: float | None = None
    """Largest difference allowed."""
    psnr_db: float | None = None
    """Smallest PSNR allowed."""
    slope: float | None = None
    """Largest |slope - 1| allowed."""
    offset_over_range: float | None = None
    """Largest |offset_over_range| allowed."""
    total_ratio: float | None = None
    """Largest |total_ratio - 1| allowed."""

    def tightened(self, share: float) -> "Tolerance":
        """The bars for differences of `share` times those that are allowed, in (0, 1]."""

        def scaled(bar: float | None) -> float | None:
            return None if bar is None else share * bar

        return replace(
            self,
            name=f"{share:g} of {self.name}",
            max_abs_over_std=scaled(self.max_abs_over_std),
            psnr_db=None if self.psnr_db is None else self.psnr_db - 20 * log10(share),
            slope=scaled(self.slope),
            offset_over_range=scaled(self.offset_over_range),
            total_ratio=scaled(self.total_ratio),
        )

    def used(self, comparison: Comparison) -> float:
        """Largest difference over what is allowed: above 1 where a bar is missed, inf for NaN."""
        c = comparison
        if not c.finite:
            return inf
        shares = [] if self.psnr_db is None else [10 ** ((self.psnr_db - c.psnr_db) / 20)]
        for bar, difference in (
            (self.max_abs_over_std, c.max_abs_over_std),
            (self.slope, abs(c.slope - 1)),
            (self.offset_over_range, abs(c.offset_over_range)),
            (self.total_ratio, abs(c.total_ratio - 1)),
        ):
            if bar is not None:
                shares.append(difference / bar)
        return max(shares, default=0.0)

    def failures(self, comparison: Comparison) -> list[str]:
        """One sentence for each figure that misses its bar; empty if all hold."""
        if not comparison.finite:
            return [f"the actual image holds NaN or Inf, first at {list(comparison.where)}"]
        c, found = comparison, []
        if self.max_abs_over_std is not None and not c.max_abs_over_std <= self.max_abs_over_std:
            found.append(
                f"largest difference is {c.max_abs_over_std:.3g} of the standard deviation "
                f"at {list(c.where)}, allowed {self.max_abs_over_std:g}"
            )
        if self.psnr_db is not None and not c.psnr_db >= self.psnr_db:
            found.append(
                f"unfitted PSNR is {c.psnr_db:.2f} dB, at least {self.psnr_db:g} dB is needed"
            )
        for name, allowed, value, ideal in (
            ("intensity slope", self.slope, c.slope, 1.0),
            ("intensity offset over the range", self.offset_over_range, c.offset_over_range, 0.0),
            ("ratio of total intensities", self.total_ratio, c.total_ratio, 1.0),
        ):
            if allowed is not None and not abs(value - ideal) <= allowed:
                found.append(f"{name} is {value:.6g}, allowed {ideal:g} +- {allowed:g}")
        return found


FP32 = Tolerance(
    name="fp32",
    reason="The same arithmetic in another order: runtimes differ by up to about 6e-6 of the "
    "standard deviation on these networks, a wrong mask or padding by far more than 1e-4.",
    max_abs_over_std=1e-4,
)
LOW_PRECISION = Tolerance(
    name="low precision",
    reason="60 dB is an rms error of a thousandth of the image's range, below the noise of any "
    "camera image; slope, offset and total within 1e-3 keep intensities quantitative.",
    psnr_db=60.0,
    slope=1e-3,
    offset_over_range=1e-3,
    total_ratio=1e-3,
)


def tolerance_of(precision: str) -> Tolerance:
    """The bars of what has its weights in, or computes in, an element type."""
    return FP32 if precision == "fp32" else LOW_PRECISION


def may_be_rounding(comparison: Comparison, tolerance: Tolerance) -> bool:
    """Whether a picture misses the bar of fp32 by so little that the expected one may be at fault.

    Arithmetic in fp32 is off by as much itself where a network makes bright spots of dark images.
    The network in fp64 tells: `beside_fp64`.
    """
    missed = tolerance is FP32 and tolerance.failures(comparison)
    return bool(missed) and not LOW_PRECISION.failures(comparison)


def beside_fp64(own: Comparison) -> Tolerance:
    """The bar of fp32 for pictures that are held against fp64: no farther off than fp32 itself is.

    Parameters
    ----------
    own : Comparison
        Of what the network makes in fp32 with what it makes in fp64.
    """
    bar = FP32.max_abs_over_std or 0.0
    return replace(FP32, max_abs_over_std=max(bar, own.max_abs_over_std))

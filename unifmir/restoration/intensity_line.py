"""Line from restored to raw intensities: a regression, with errors that blocks of pixels give."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from unifmir.normalize import Scaling

BLOCK_PX = 32
"""Side of the blocks whose sums are kept: wider than what correlates neighbouring pixels."""
MIN_CORRELATION = 0.1
"""A fit below it is called poor. Noise lowers it: a dim stack of few photons, well restored, has
0.27."""
MAX_RELATIVE_ERROR = 0.1
"""Error of the slope over the slope: a fit above it is called poor."""
LEAST_VARIANCE = 1e-12
"""Variance, in the network's units, below which a result is constant."""

BlockSums = Float64[np.ndarray, "6 blocks"]
"""Number, sums of x, y, x squared, x y and y squared; x restored, y raw, as the network sees them.

Columns are blocks of pixels."""


@dataclass(frozen=True, slots=True)
class IntensityLine:
    """Raw intensity = slope * restored intensity + offset, in the image's own intensities.

    Restored is what `percentile` would write. The regression takes the noise as part of the raw
    image alone, so it biases neither the slope nor the total.
    """

    slope: float
    offset: float
    slope_error: float | None
    """Standard error, by a jackknife over blocks of 32 x 32 pixels; None: there are not two."""
    offset_error: float | None
    correlation: float | None
    """Correlation of the raw and the restored pixels; None where either is constant."""
    pixels: int
    """Recorded pixels that it was fitted to."""

    def shift(self, scaling: Scaling) -> float:
        """The offset in the network's units, of the image that `scaling` scales."""
        return (self.offset - scaling.low * (1 - self.slope)) / scaling.span

    def poorness(self) -> str | None:
        """A sentence on what is wrong with the fit; None: nothing, or there is nothing to fit."""
        if self.correlation is None:
            return None
        error = self.slope_error or 0.0
        if self.correlation >= MIN_CORRELATION and error <= MAX_RELATIVE_ERROR * self.slope:
            return None
        return (
            f"the raw and the restored image correlate by {self.correlation:.2f}, and the line "
            f"between them has a slope of {self.slope:.3g} +- {error:.1g}: intensities are not to "
            "be trusted. Look at the result; the model may not be for such images"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the line."""
        return asdict(self)


def block_sums(
    restored: Shaped[np.ndarray, "z y x"], raw: Shaped[np.ndarray, "z y x"]
) -> BlockSums:
    """Sums of a part of an image, restored and raw, both as the network sees intensities."""
    x, y = restored.astype(np.float64), raw.astype(np.float64)
    rows, columns = (np.arange(0, length, BLOCK_PX) for length in x.shape[1:])
    parts = (np.ones_like(x), x, y, x * x, x * y, y * y)
    return np.stack(
        [np.add.reduceat(np.add.reduceat(p, rows, 1), columns, 2).ravel() for p in parts]
    )


def fit_line(sums: Sequence[BlockSums], scaling: Scaling) -> IntensityLine:
    """The line through all blocks, in the intensities of the image that `scaling` scales.

    Parameters
    ----------
    sums : sequence of arrays, at least one

    Notes
    -----
    Where the result is constant, or falls where the raw image rises, the slope is 1 and the offset
    keeps the total.
    """
    blocks = np.concatenate(list(sums), axis=1)
    total = blocks.sum(axis=1)
    (slope,), (offset,) = _lines(total[:, None])
    slope_error = offset_error = None
    count = blocks.shape[1]
    if count > 1:
        slopes, offsets = _lines(total[:, None] - blocks)
        spread = sqrt((count - 1) / count)
        there = offsets * scaling.span + scaling.low * (1 - slopes)
        slope_error, offset_error = (
            spread * float(np.sqrt(np.square(v - v.mean()).sum())) for v in (slopes, there)
        )
    return IntensityLine(
        slope=float(slope),
        offset=float(offset * scaling.span + scaling.low * (1 - slope)),
        slope_error=slope_error,
        offset_error=offset_error,
        correlation=_correlation(total),
        pixels=int(total[0]),
    )


def _lines(
    sums: Float64[np.ndarray, "6 fits"],
) -> tuple[Float64[np.ndarray, " fits"], Float64[np.ndarray, " fits"]]:
    """Slopes and offsets in the network's units."""
    count, x, y, xx, xy, _ = sums
    x, y = x / count, y / count
    variance, covariance = xx / count - x * x, xy / count - x * y
    fits = (variance > LEAST_VARIANCE) & (covariance > 0)
    slope = np.where(fits, covariance / np.where(fits, variance, 1.0), 1.0)
    return slope, y - slope * x


def _correlation(total: Float64[np.ndarray, "6"]) -> float | None:
    count, x, y, xx, xy, yy = (float(value) for value in total)
    x, y = x / count, y / count
    variances = xx / count - x * x, yy / count - y * y
    if min(variances) <= LEAST_VARIANCE:
        return None
    return (xy / count - x * y) / sqrt(variances[0] * variances[1])

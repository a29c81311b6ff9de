"""SQUIRREL: where a restored image cannot have given the image that a microscope recorded.

The restored image is scaled, shifted and blurred by a Gaussian until it is as like the reference as
it can be; what then differs is error (Culley et al., Nature Methods 2018). RSE is the root of the
mean squared difference, RSP the correlation of the two.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.ndimage import gaussian_filter, zoom
from scipy.optimize import minimize_scalar

from unifmir.errors import ImageError
from unifmir.metrics.base import Metric, RestoredImage

WIDEST = 0.05
"""Standard deviation of the blur that is looked for, at most, as a part of the shorter side."""
_TRIED = 12
"""Blurs that are tried before the best is refined."""


@dataclass(frozen=True, slots=True)
class ErrorMap:
    """Error of a restored image that is blurred until it is most like its reference."""

    map: Float32[np.ndarray, "*axes"]
    """Absolute difference, in the reference's units, at the restored image's sampling."""
    rse: float
    """Root of the mean squared difference, in the reference's units."""
    rsp: float
    """Pearson's correlation of the reference and the blurred image; 0 where either is constant."""
    sigma_px: float
    """Standard deviation of the Gaussian blur, in pixels of the restored image."""


def squirrel(restored: RestoredImage, reference: Float[np.ndarray, "*coarse"]) -> ErrorMap:
    """Hold a restored image against the image of lower resolution that it should explain.

    Parameters
    ----------
    restored, reference : array, (y, x) or (planes, y, x)
        In any units. The restored image has a whole number of times as many pixels along y and x;
        the reference is then interpolated to them.

    Raises
    ------
    ImageError
        The shapes do not fit.
    """
    first, second = (image.reshape(-1, *image.shape[-2:]) for image in (restored, reference))
    factor = first.shape[-1] // second.shape[-1]
    wanted = (len(second), *(factor * length for length in second.shape[-2:]))
    if factor < 1 or first.shape != wanted:
        raise ImageError(
            f"the restored image has {restored.shape} pixels and its reference {reference.shape}: "
            "expected a whole number of times as many along y and x"
        )
    truth = second.astype(np.float64)
    if factor > 1:
        truth = zoom(truth, (1, factor, factor), order=3, grid_mode=True, mode="nearest")
    given = first.astype(np.float64)
    widest = max(1.0, WIDEST * min(truth.shape[-2:]))
    tried = np.linspace(0, 1, _TRIED) ** 2 * widest
    errors = [float((_difference(given, truth, sigma)[0] ** 2).mean()) for sigma in tried]
    at = int(np.argmin(errors))
    low, high = tried[max(0, at - 1)], tried[min(_TRIED - 1, at + 1)]
    found = minimize_scalar(
        lambda sigma: float((_difference(given, truth, sigma)[0] ** 2).mean()),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-3},
    )
    sigma = float(found.x) if found.fun < errors[at] else float(tried[at])
    difference, blurred = _difference(given, truth, sigma)
    varies = blurred.std() > 0 and truth.std() > 0
    return ErrorMap(
        np.abs(difference).astype(np.float32).reshape(restored.shape),
        float(np.sqrt((difference**2).mean())),
        float(np.corrcoef(blurred.ravel(), truth.ravel())[0, 1]) if varies else 0.0,
        sigma,
    )


def _difference(
    restored: Float64[np.ndarray, "z y x"], truth: Float64[np.ndarray, "z y x"], sigma: float
) -> tuple[Float64[np.ndarray, "z y x"], Float64[np.ndarray, "z y x"]]:
    """Reference minus the blurred image on its line, and the blurred image."""
    blurred = gaussian_filter(restored, (0, sigma, sigma)) if sigma > 0 else restored
    x, y = blurred - blurred.mean(), truth - truth.mean()
    variance = float((x * x).mean())
    slope = float((x * y).mean()) / variance if variance > 0 else 0.0
    return y - slope * x, blurred


def resolution_scaled_error(restored: RestoredImage, reference: RestoredImage) -> float:
    """RSE over the range of the reference, at least 0; any units."""
    return squirrel(restored, reference).rse / float(np.ptp(reference))


def resolution_scaled_pearson(restored: RestoredImage, reference: RestoredImage) -> float:
    """RSP, in [-1, 1]; any units."""
    return squirrel(restored, reference).rsp


RSE = Metric(resolution_scaled_error, "fitted RSE (SQUIRREL), over the range", 5, short="RSE")
RSP = Metric(resolution_scaled_pearson, "RSP (SQUIRREL)", 4, short="RSP")

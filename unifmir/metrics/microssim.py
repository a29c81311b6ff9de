"""MicroSSIM: structural similarity for images of which most is background.

Background is taken off both images, both are divided by the truth's brightest pixel, and the
restored one by the factor for which they are most alike (Ashesh, Deschamps & Jug, "MicroSSIM",
arXiv:2408.08747): plain SSIM is near 1 wherever a bright truth has much that is dark.
"""

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize_scalar
from skimage.metrics import structural_similarity

from unifmir.metrics.base import Metric, RestoredImage

BACKGROUND_PERCENT = 3
"""Percentile that is background, as published."""
LARGEST_FACTOR = 10.0
"""Factor up to which the best is sought: both images were given the same mean above background."""

Planes = Float64[np.ndarray, "planes y x"]


def microssim(restored: RestoredImage, truth: RestoredImage) -> float:
    """MicroSSIM of two images in any units, at most 1; the factor is that of this pair.

    Parameters
    ----------
    restored, truth : array, (y, x) or (planes, y, x), of one shape
        At least 11 pixels along y and x. Planes share background, range and factor.

    Notes
    -----
    As the package microssim 0.0.5 has it: the factor maximises the SSIM of square windows of 7
    pixels, and the figure is that of Gaussian windows of 1.5 pixels.
    """
    other, given = (_above_background(image) for image in (truth, restored))
    brightest = float(other.max())
    if brightest <= 0 or given.max() == given.min():
        return 0.0
    other, given = other / brightest, given / brightest
    # Units are forgiven: the factor is sought from where the two have one mean.
    start = float(other.mean() / given.mean()) if given.mean() > 0 else 1.0
    given = given * start
    found = minimize_scalar(
        lambda factor: -_mean_ssim(other, given * factor, gaussian=False),
        bounds=(0, LARGEST_FACTOR),
        method="bounded",
    )
    return _mean_ssim(other, given * float(found.x), gaussian=True)


def _above_background(image: RestoredImage) -> Planes:
    values = image.reshape(-1, *image.shape[-2:]).astype(np.float64)
    above: Planes = values - np.percentile(values, BACKGROUND_PERCENT)
    return above


def _mean_ssim(truth: Planes, restored: Planes, *, gaussian: bool) -> float:
    span = float(np.ptp(truth))
    return float(
        np.mean(
            [
                structural_similarity(
                    one, other, data_range=span, gaussian_weights=gaussian, sigma=1.5
                )
                for one, other in zip(truth, restored, strict=True)
            ]
        )
    )


MICROSSIM = Metric(microssim, "fitted MicroSSIM", decimals=4, short="MicroSSIM")

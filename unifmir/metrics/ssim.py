"""Structural similarity with Gaussian windows (Wang et al., IEEE TIP 2004)."""

from skimage.metrics import structural_similarity

from unifmir.errors import ImageError
from unifmir.metrics.base import Metric, RestoredImage, fitted, span_of

WINDOW_PX = 11
"""Side of a Gaussian window of 1.5 pixels, cut at 3.5 of them as published."""


def ssim(restored: RestoredImage, truth: RestoredImage) -> float:
    """Structural similarity, at most 1, of two images in the same units; mean over planes.

    Raises
    ------
    ImageError
        They are smaller than a window.
    """
    if min(truth.shape[-2:]) < WINDOW_PX:
        raise ImageError(
            f"{truth.shape[-1]} x {truth.shape[-2]} pixels are too few to be measured: expected at "
            f"least {WINDOW_PX} along y and x"
        )
    return float(
        structural_similarity(
            truth,
            restored,
            data_range=span_of(truth),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=0 if truth.ndim == 3 else None,
        )
    )


UNFITTED_SSIM = Metric(ssim, "unfitted SSIM", decimals=4)
SSIM = fitted(UNFITTED_SSIM)

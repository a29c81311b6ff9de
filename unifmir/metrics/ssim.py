"""Structural similarity with Gaussian windows (Wang et al., IEEE TIP 2004)."""

from skimage.metrics import structural_similarity

from unifmir.metrics.base import Metric, RestoredImage, fitted, span_of


def ssim(restored: RestoredImage, truth: RestoredImage) -> float:
    """Structural similarity, at most 1, of two images in the same units; mean over planes."""
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

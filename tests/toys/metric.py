"""A metric: how far the mean of a restored image is from that of the truth."""

from unifmir.metrics.base import Metric, RestoredImage


def mean_error(restored: RestoredImage, truth: RestoredImage) -> float:
    """Difference of the mean intensities of two images in the same units."""
    return float(restored.mean() - truth.mean())


MEAN_ERROR = Metric(mean_error, "mean error", decimals=2)

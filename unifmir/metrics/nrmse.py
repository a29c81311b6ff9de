"""Root of the mean squared error over the range of the truth."""

from skimage.metrics import normalized_root_mse

from unifmir.metrics.base import Metric, RestoredImage, fitted


def nrmse(restored: RestoredImage, truth: RestoredImage) -> float:
    """Normalised root mean squared error, at least 0, of two images in the same units."""
    return float(normalized_root_mse(truth, restored, normalization="min-max"))


UNFITTED_NRMSE = Metric(nrmse, "unfitted NRMSE", decimals=5)
NRMSE = fitted(UNFITTED_NRMSE)

"""Peak signal-to-noise ratio, its peak the range of the truth."""

from skimage.metrics import peak_signal_noise_ratio

from unifmir.metrics.base import Metric, RestoredImage, fitted, span_of


def psnr_db(restored: RestoredImage, truth: RestoredImage) -> float:
    """Peak signal-to-noise ratio in dB of two images in the same units."""
    return float(peak_signal_noise_ratio(truth, restored, data_range=span_of(truth)))


UNFITTED_PSNR = Metric(psnr_db, "unfitted PSNR", decimals=3, unit="dB")
PSNR = fitted(UNFITTED_PSNR)

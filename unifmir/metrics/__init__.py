"""Metrics of a restored image against the truth: one file each, a row after the fit and one before.

Names without `unfitted` are of the figures after the fit, as result files have them.
"""

from unifmir.metrics.base import Metric
from unifmir.registry import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    [
        ("psnr_db", "unifmir.metrics.psnr:PSNR"),
        ("psnr_unfitted_db", "unifmir.metrics.psnr:UNFITTED_PSNR"),
        ("ssim", "unifmir.metrics.ssim:SSIM"),
        ("ssim_unfitted", "unifmir.metrics.ssim:UNFITTED_SSIM"),
        ("nrmse", "unifmir.metrics.nrmse:NRMSE"),
        ("nrmse_unfitted", "unifmir.metrics.nrmse:UNFITTED_NRMSE"),
        ("slope", "unifmir.metrics.intensity_slope:SLOPE"),
        ("calibration", "unifmir.metrics.calibration_slope:CALIBRATION"),
    ],
)
FILE_METRICS: Registry[Metric] = Registry(
    "metric of image files",
    [
        ("offset", "unifmir.metrics.intensity_slope:OFFSET"),
        ("microssim", "unifmir.metrics.microssim:MICROSSIM"),
        ("frc_px", "unifmir.metrics.frc:FRC"),
        ("decorrelation_px", "unifmir.metrics.decorrelation:DECORRELATION"),
        ("fwhm_px", "unifmir.metrics.fwhm:FWHM"),
        ("rse", "unifmir.metrics.squirrel:RSE"),
        ("rsp", "unifmir.metrics.squirrel:RSP"),
    ],
)
"""Metrics of image files and datasets alone: most held-out scenes are too small for them."""

"""Metrics of a restored image against the truth: one file and one row each."""

from unifmir.metrics.base import Metric
from unifmir.registry import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    [
        ("psnr_db", "unifmir.metrics.psnr:PSNR"),
        ("ssim", "unifmir.metrics.ssim:SSIM"),
        ("nrmse", "unifmir.metrics.nrmse:NRMSE"),
        ("slope", "unifmir.metrics.intensity_slope:SLOPE"),
    ],
)

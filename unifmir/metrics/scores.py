"""Every metric of a restored image against the truth, and means over images."""

from collections.abc import Mapping, Sequence

import numpy as np

from unifmir.metrics import METRICS
from unifmir.metrics.base import Metric, RestoredImage

RANKED_BY = "psnr_db"
"""Metric by which the best simple method is chosen."""
Score = Mapping[str, float]
"""Figure of each metric by its name; means where there are several images."""


def score(
    candidate: RestoredImage, truth: RestoredImage, metrics: Mapping[str, Metric] = METRICS
) -> Score:
    """Compare an image with the truth, both in photons, by every metric."""
    fitted = fitted_to(candidate, truth)
    return {
        name: metric.measure(fitted if metric.fitted else candidate, truth)
        for name, metric in metrics.items()
    }


def fitted_to(candidate: RestoredImage, truth: RestoredImage) -> RestoredImage:
    """The image after the scale and offset that fit the truth best (least squares)."""
    x, y = candidate.astype(np.float64), truth.astype(np.float64)
    variance = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance > 0 else 0.0
    fitted: np.ndarray = (slope * (x - x.mean()) + y.mean()).astype(truth.dtype)
    return fitted


def mean_score(rows: Sequence[Score]) -> Score:
    """The mean of each figure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def best_by(scores: Mapping[str, Score]) -> str:
    """Name of the candidate with the highest figure of `RANKED_BY`."""
    return max(scores, key=lambda name: scores[name][RANKED_BY])

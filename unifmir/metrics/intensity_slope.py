"""Slope of the line from the truth to the restored image: 1 keeps intensities."""

from unifmir.compare import compare
from unifmir.metrics.base import Metric, RestoredImage


def intensity_slope(restored: RestoredImage, truth: RestoredImage) -> float:
    """Slope of restored over true intensities, both in photons, before any fit."""
    return compare(truth, restored).slope


SLOPE = Metric(intensity_slope, "intensity slope", decimals=4, short="slope")

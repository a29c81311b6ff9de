"""The line from the truth to the restored image: slope 1 and offset 0 keep intensities."""

from unifmir.compare import compare
from unifmir.metrics.base import Metric, RestoredImage


def intensity_slope(restored: RestoredImage, truth: RestoredImage) -> float:
    """Slope of restored over true intensities, both in photons, before any fit."""
    return compare(truth, restored).slope


SLOPE = Metric(intensity_slope, "intensity slope", decimals=4, short="slope")


def intensity_offset(restored: RestoredImage, truth: RestoredImage) -> float:
    """Offset of the line at the truth's smallest intensity, over its range, before any fit."""
    return compare(truth, restored).offset_over_range


OFFSET = Metric(intensity_offset, "intensity offset over the range", decimals=4, short="offset")

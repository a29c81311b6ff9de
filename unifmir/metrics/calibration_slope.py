"""The line from the restored image to the truth: what a restored intensity stands for on average.

The slope of restored over true intensities falls below 1 for every restoration that leaves out
what it cannot know, the mean over all that could have been there included, whose slope is the share
of the truth's variance that it explains. The slope of true over restored intensities is 1 for that
mean: as many photons as an intensity says are there on average. It is called calibration slope
where predictions are judged (Cox 1958; Van Calster et al. 2019).
"""

from unifmir.compare import compare
from unifmir.metrics.base import Metric, RestoredImage


def calibration_slope(restored: RestoredImage, truth: RestoredImage) -> float:
    """Slope of true over restored intensities, both in photons, before any fit."""
    return compare(restored, truth).slope


CALIBRATION = Metric(calibration_slope, "calibration slope", decimals=4, short="calibration")

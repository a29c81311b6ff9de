"""Stacks with another number of planes than the network projects.

`resample`: planes are interpolated linearly, the first and last stay where they are, so that a
surface keeps its share of the depth. `crop`: as many planes as the network reads are taken around
the surface, at their own distance: those next to each other whose intensities vary most, as planes
in focus do.
"""

import logging

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.base import Source
from unifmir.restoration.resampling import Axis, StackView
from unifmir.restoration.restoration_options import PlaneChoice

logger = logging.getLogger(__name__)


def plane_axis(source: Source, wanted: int, choice: PlaneChoice) -> Axis | None:
    """Sampling along z with as many planes as wanted; None where there are so many.

    Raises
    ------
    ImageError
        The image is a single plane, or has too few to be cropped.
    """
    planes, name = source.shape[2], source.info.name
    if planes == wanted:
        return None
    if planes == 1:
        raise ImageError(
            f"{name} is a single plane; this model projects {wanted} planes. If its frames are "
            "planes, say so (--axes zyx)"
        )
    if choice == "resample":
        return Axis(planes, wanted, (planes - 1) / max(1, wanted - 1), 0.0, "linear")
    if planes < wanted:
        raise ImageError(
            f"{name} has {planes} planes, too few to crop the {wanted} that this model projects: "
            "let them be interpolated (--planes resample)"
        )
    return Axis(planes, wanted, 1.0, float(_around_surface(source, wanted)), "linear")


def tell_planes(source: Source, axis: Axis | None) -> None:
    """Warn of what `plane_axis` does to a stack."""
    planes, name = source.shape[2], source.info.name
    if axis is None:
        return
    if axis.step != 1.0:
        logger.warning(
            "%s: its %d planes are interpolated to the %d that this model projects",
            name,
            planes,
            axis.after,
        )
        return
    first = int(axis.offset)
    logger.warning(
        "%s: planes %d to %d of its %d are projected", name, first, first + axis.after - 1, planes
    )


def _around_surface(source: Source, wanted: int) -> int:
    """First of the planes whose intensities vary most, over all time points and channels."""
    t, c, planes, height, width = source.shape
    band = max(1, 2**22 // width)
    total = np.zeros(planes)
    for time, channel in np.ndindex(t, c):
        view = StackView(source, time, channel)
        for z in range(planes):
            mean = square = 0.0
            for top in range(0, height, band):
                rows = (top, min(height, top + band))
                block = view.read(((z, z + 1), rows, (0, width))).astype(np.float64)
                mean += float(block.sum())
                square += float((block**2).sum())
            total[z] += square / (height * width) - (mean / (height * width)) ** 2
    varied = total - total.min()
    best = int(np.convolve(varied, np.ones(wanted), "valid").argmax())
    there = varied[best : best + wanted]
    if not there.any():
        return (planes - wanted) // 2
    # Several windows may hold all of it: that with the surface in its middle is taken.
    middle = best + float((there * np.arange(wanted)).sum() / there.sum())
    return min(max(0, round(middle - (wanted - 1) / 2)), planes - wanted)

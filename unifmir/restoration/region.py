"""A part of a result, as it is in the whole: looked at before all of it is restored.

The plan is that of the whole image, so its percentiles, intensities and tiles are, too; the network
runs on what the part depends on.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, floor, prod

import numpy as np

from unifmir.images.base import (
    ImageInfo,
    Region,
    Sampling,
    Source,
    check_region,
    region_shape,
)
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import RestorationProgress, restore_tile, tell_notes
from unifmir.restoration.intensities import with_lines
from unifmir.restoration.lazy_image import TileLimit
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan, Tile, plan_restoration

_EDGE = 1e-6
"""Pixels by which a position may lie outside for want of digits."""


@dataclass(frozen=True, slots=True)
class RestoredRegion:
    """A part of an image's result."""

    values: FloatImage
    """(T, C, Z, Y, X), in the source's intensities."""
    region: Region
    """Place of it in the whole result."""
    plan: RestorationPlan
    """Plan of the whole image."""
    tiles: int
    """Tiles of it that the part lies in."""
    seconds: float

    @property
    def info(self) -> ImageInfo:
        """Metadata of the part as an image: its first pixel lies where it lies in the whole.

        Where the image does not say its place, that is from its first pixel on.
        """
        info = self.plan.out_info
        sizes = (info.z_step_um, *info.pixel_size_um)
        t, *places = info.origin
        for axis, (step, offset) in enumerate(self.plan.result_sampling):
            if places[axis] is None and "zyx"[axis] in info.axes:
                places[axis] = offset / step * (sizes[axis] or info.unitless[axis + 1] or 1.0)
        z, y, x = ((1.0, float(part.start)) for part in self.region[2:])
        placed = replace(
            info,
            origin=(t, places[0], places[1], places[2]),
            channels=info.channels[self.region[1]],
        )
        return placed.resampled(z=z, y=y, x=x)

    @property
    def sampling(self) -> tuple[Sampling, Sampling, Sampling]:
        """Step and offset of its pixels along z, y and x, in pixels of the image."""
        z, y, x = (
            (step, offset + step * part.start)
            for (step, offset), part in zip(self.plan.result_sampling, self.region[2:], strict=True)
        )
        return z, y, x


def restore_region(
    source: Source,
    region: Region,
    predictor: Predictor,
    options: Options | None = None,
    *,
    on_progress: Callable[[RestorationProgress], None] | None = None,
) -> RestoredRegion:
    """Restore the part of a result that lies in a region of the image.

    Where intensities come back by a line (`matched`, `local`) what the line is fitted to is
    restored, too: all of a small image.

    Parameters
    ----------
    region : Region
        Of the image (t, c, z, y, x). A task that reads all planes, or makes them, takes and gives
        all of them.
    on_progress : callable, optional
        Called before the first tile and after each.

    Returns
    -------
    RestoredRegion
        What `restore` gives there, but for rounding.

    Raises
    ------
    ImageError
        The region does not lie in the image, or the image does not fit the task.
    TooLittleMemoryError
        The smallest part does not fit the memory.
    """
    check_region(region, source.shape)
    plan = plan_restoration(source, predictor, options)
    limit, began = TileLimit(), time.monotonic()
    plan = with_lines(plan, source, predictor, limit)
    tell_notes(plan)
    wanted = result_region(plan, region)
    values = np.empty(region_shape(wanted), dtype=np.float32)
    parts = list(_parts(plan, wanted))
    pixels, whole = prod(region_shape(region)), prod(values.shape)
    done = 0
    for count in range(len(parts) + 1):
        if on_progress is not None:
            on_progress(
                RestorationProgress(
                    tiles=len(parts),
                    tiles_done=count,
                    pixels=pixels,
                    pixels_done=round(pixels * done / whole),
                    pixels_resumed=0,
                    seconds=time.monotonic() - began,
                )
            )
        if count < len(parts):
            part = parts[count]
            values[_inside(part.write, wanted)] = restore_tile(plan, part, source, predictor, limit)
            done += prod(region_shape(part.write))
    return RestoredRegion(values, wanted, plan, len(parts), time.monotonic() - began)


def result_region(plan: RestorationPlan, region: Region) -> Region:
    """The part of the result whose pixels lie in a region of the image; at least one pixel."""
    z, y, x = (
        _interval(part, sampling, length, out)
        for part, sampling, length, out in zip(
            region[2:], plan.result_sampling, plan.shape[2:], plan.out_shape[2:], strict=True
        )
    )
    if plan.geometry.planes is not None:  # made of all planes, or of none
        z = slice(0, plan.out_shape[2])
    return region[0], region[1], z, y, x


def _interval(part: slice, sampling: Sampling, length: int, out: int) -> slice:
    if (part.start, part.stop) == (0, length):
        return slice(0, out)
    step, offset = sampling
    first = ceil((part.start - 0.5 - offset) / step - _EDGE)
    last = floor((part.stop - 0.5 - offset) / step - _EDGE)
    first = min(max(0, first), out - 1)
    return slice(first, min(max(first, last) + 1, out))


def _parts(plan: RestorationPlan, wanted: Region) -> Iterator[Tile]:
    """The tiles of a plan, cut to a region of the result."""
    for tile in plan.tiles:
        cut = [
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(tile.write, wanted, strict=True)
        ]
        if all(part.start < part.stop for part in cut):
            yield replace(tile, write=(cut[0], cut[1], cut[2], cut[3], cut[4]))


def _inside(write: Region, wanted: Region) -> Region:
    t, c, z, y, x = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(write, wanted, strict=True)
    )
    return t, c, z, y, x

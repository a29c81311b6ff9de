"""Restoring an image tile by tile, from a source to a sink."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unifmir.errors import ImageError, TooLittleMemoryError
from unifmir.images.arrays import ArraySink, ArraySource
from unifmir.images.base import AXES, ImageInfo, Sink, Source
from unifmir.images.rounded_output import RoundingSink, clipped_pixels
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import size_of
from unifmir.restoration.intensities import restore_box, with_lines
from unifmir.restoration.journal import Journal
from unifmir.restoration.lazy_image import TileLimit
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan, Tile, box_of, plan_restoration
from unifmir.restoration.tile_size import largest_tile_read

logger = logging.getLogger(__name__)

COMMIT_SECONDS = 2.0
"""Time between two synchronisations with the disk: what a kill costs at most, beside one tile."""


@dataclass(frozen=True, slots=True)
class RestorationProgress:
    """How far a restoration is. Pixels are the source's; those of resumed tiles count as done."""

    tiles: int
    tiles_done: int
    pixels: int
    pixels_done: int
    pixels_resumed: int
    """Done by an earlier run."""
    seconds: float
    """Time since this run began to restore."""

    @property
    def megapixels_per_second(self) -> float:
        """Speed of this run; 0 before the first tile."""
        done = self.pixels_done - self.pixels_resumed
        return done / 1e6 / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time left at this rate; None before the first tile."""
        rate = self.megapixels_per_second
        return (self.pixels - self.pixels_done) / 1e6 / rate if rate > 0 else None


@dataclass(frozen=True, slots=True)
class Summary:
    """Facts of a finished restoration."""

    plan: RestorationPlan
    tiles: int
    tiles_resumed: int
    """Already finished by an earlier run."""
    pixels: int
    """Pixels of the source."""
    seconds: float
    """Restoring, without planning."""
    splits: int
    """Times the tile or batch was halved because memory did not suffice."""
    clipped: int
    """Pixels of the result that were clipped to what its type holds, those of earlier runs too."""


def restore_tile(
    plan: RestorationPlan,
    tile: Tile,
    source: Source,
    predictor: Predictor,
    limit: TileLimit | None = None,
) -> FloatImage:
    """Restore one tile.

    Parameters
    ----------
    plan : RestorationPlan
        With its lines: `unifmir.restoration.intensities.with_lines`.
    limit : TileLimit, optional
        One for all tiles of an image in a process, so that what did not fit the memory is not
        tried again, and what was restored to find the lines is not restored again.

    Returns
    -------
    array, float32, shape of `tile.write`
        In the source's intensities; in [0, 1] for volume.

    Raises
    ------
    TooLittleMemoryError
        The smallest part of the tile does not fit the memory; of a network with whole-image
        statistics: the tile.
    """
    limit = limit if limit is not None else TileLimit()
    stack = tile.write[0].start, tile.write[1].start
    return restore_box(plan, stack, box_of(tile.write), source, predictor, limit)[None, None]


def restore(
    source: Source,
    sink_of: Callable[[RestorationPlan], Sink],
    predictor: Predictor,
    options: Options | None = None,
    *,
    journal: Journal | None = None,
    on_progress: Callable[[RestorationProgress], None] | None = None,
) -> Summary:
    """Restore an image to a sink and publish it.

    On any exception, KeyboardInterrupt included: with a journal what is finished is kept for the
    next run, unless the image is at fault; without one the sink is discarded.

    Parameters
    ----------
    sink_of : callable
        Opens the sink for a plan.
    journal : Journal, optional
        Needs a sink that survives this process.
    on_progress : callable, optional
        Called after every tile, and once before the first.

    Raises
    ------
    ImageError
        The image does not fit the task, or cannot be normalised.
    TooLittleMemoryError
        The smallest tile does not fit the memory.
    """
    options = options or Options()
    while True:
        recorded = journal.recorded(options) if journal is not None else None
        plan = plan_restoration(source, predictor, options, recorded=recorded)
        limit, began = TileLimit(), time.monotonic()
        try:
            plan = with_lines(plan, source, predictor, limit)
            tell_notes(plan)
            work = _Work(plan, source, predictor, limit, began)
            return _restore(work, sink_of(plan), journal, on_progress)
        except TooLittleMemoryError:
            # Windows of another size give another result where they are global: all anew.
            smaller = _smaller_tile(plan) if plan.ramp else None
            if smaller is None:
                raise
            logger.warning("memory does not suffice: begun anew with tiles of %d pixels", smaller)
            options = replace(options, tile=smaller)


def restore_array(
    image: NDArray[Any],
    predictor: Predictor,
    *,
    axes: str | None = None,
    options: Options | None = None,
    pixel_size_um: float | None = None,
    z_step_um: float | None = None,
    on_progress: Callable[[RestorationProgress], None] | None = None,
) -> FloatImage:
    """Restore an image in memory.

    Parameters
    ----------
    image : array
        Raw intensities, integers or floating point.
    axes : str, optional
        Those of the image, some of `tczyx` in that order; its last ones where not given.
    pixel_size_um, z_step_um : float, optional
        Of the image: needed for `Options.pixel_size_um`, and for isotropic's interpolation.

    Returns
    -------
    array, float32
        Axes of the image, without z for projection, with z for volume.

    Raises
    ------
    ImageError
        It is no array of pixels, some are masked, or the image does not fit the task.
    """
    if isinstance(image, str | bytes | os.PathLike):
        raise ImageError(
            f"expected the pixels as an array, found {image!r}: read the file first "
            "(tifffile.imread), or restore it with `unifmir restore`"
        )
    if np.ma.is_masked(image):
        count = np.count_nonzero(np.ma.getmaskarray(image))
        raise ImageError(
            f"{count} pixels are masked, and a network reads all of them: "
            "fill them first (image.filled(...), for example with the image's median)"
        )
    image = np.asarray(image)
    if axes is None:
        axes = AXES[-image.ndim :] if image.ndim else ""
    info = ImageInfo(
        name="array",
        axes=axes,
        pixel_size_um=(pixel_size_um, pixel_size_um),
        z_step_um=z_step_um,
    )
    sinks: list[ArraySink] = []

    def sink_of(plan: RestorationPlan) -> Sink:
        sinks.append(ArraySink(plan.out_shape, np.dtype(np.float32), plan.out_info))
        return sinks[-1]

    restore(ArraySource(image, axes, info), sink_of, predictor, options, on_progress=on_progress)
    restored: FloatImage = sinks[-1].array()
    return restored


def _smaller_tile(plan: RestorationPlan) -> int | None:
    """Half of what a tile reads now; None if it cannot be smaller."""
    size = plan.levels[0].size
    _, y, x = largest_tile_read(plan.geometry, size, plan.pitch, plan.ramp)
    at_least = all(
        pitch <= step for pitch, step in zip(plan.pitch[1:], plan.geometry.grid[1:], strict=True)
    )
    return None if at_least else max(1, max(y, x) // 2)


def tell_notes(plan: RestorationPlan) -> None:
    """Log what the user should know of the image and its intensities."""
    for note in plan.notes:
        logger.warning("%s: %s", plan.out_info.name, note)


@dataclass(frozen=True, slots=True)
class _Work:
    plan: RestorationPlan
    source: Source
    predictor: Predictor
    limit: TileLimit
    began: float
    """Time at which restoring began, the finding of lines included."""

    def restored(self, tile: Tile) -> FloatImage:
        return restore_tile(self.plan, tile, self.source, self.predictor, self.limit)


def _restore(
    order: _Work,
    sink: Sink,
    journal: Journal | None,
    on_progress: Callable[[RestorationProgress], None] | None,
) -> Summary:
    plan = order.plan
    done = journal.begin(plan, sink) if journal is not None else frozenset()
    if journal is not None and isinstance(sink, RoundingSink):
        sink.add_clipped(journal.clipped)
    work = _Progression(plan, sink, journal, on_progress, done, order.began)
    try:
        work.tell()
        for tile in plan.tiles:
            if tile.index not in done:
                before = clipped_pixels(sink)
                sink.write(tile.write, order.restored(tile))
                work.finished(tile, clipped_pixels(sink) - before)
        work.commit()
        sink.publish()
    except BaseException as error:
        # An image that is at fault fails again: nothing of it is kept. Nor is what holds no tile.
        if journal is None or isinstance(error, ImageError) or not work.tiles:
            sink.discard()
            if journal is not None:
                journal.delete()
        else:
            work.commit()
        raise
    if journal is not None:
        journal.delete()
    return Summary(
        plan=plan,
        tiles=len(plan.tiles),
        tiles_resumed=len(done),
        pixels=prod(plan.shape),
        seconds=work.seconds,
        splits=order.limit.splits,
        clipped=clipped_pixels(sink),
    )


class _Progression:
    """Counts what is finished, tells it, and brings it to the disk."""

    def __init__(
        self,
        plan: RestorationPlan,
        sink: Sink,
        journal: Journal | None,
        on_progress: Callable[[RestorationProgress], None] | None,
        done: frozenset[int],
        began: float,
    ) -> None:
        self._plan, self._sink, self._journal = plan, sink, journal
        self._on_progress = on_progress
        self._voxels = self._resumed = sum(_voxels(plan.tiles[index]) for index in done)
        self.tiles = len(done)
        """Tiles in the sink, by this run or an earlier one."""
        self._pending: dict[int, int] = {}
        self._began, self._committed = began, time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the work began."""
        return time.monotonic() - self._began

    def finished(self, tile: Tile, clipped: int) -> None:
        """A tile is in the sink, so many of its pixels clipped."""
        self.tiles += 1
        self._voxels += _voxels(tile)
        self._pending[tile.index] = clipped
        if time.monotonic() - self._committed >= COMMIT_SECONDS:
            self.commit()
        self.tell()

    def commit(self) -> None:
        """Bring finished tiles to the disk: they survive a kill from here on."""
        if self._journal is not None and self._pending:
            self._sink.flush()
            self._journal.record(self._pending)
            self._pending = {}
        self._committed = time.monotonic()

    def tell(self) -> None:
        """Call back."""
        if self._on_progress is None:
            return
        pixels, voxels = prod(self._plan.shape), prod(self._plan.out_shape)
        self._on_progress(
            RestorationProgress(
                tiles=len(self._plan.tiles),
                tiles_done=self.tiles,
                pixels=pixels,
                pixels_done=round(pixels * self._voxels / voxels),
                pixels_resumed=round(pixels * self._resumed / voxels),
                seconds=self.seconds,
            )
        )


def _voxels(tile: Tile) -> int:
    return prod(size_of(box_of(tile.write)))

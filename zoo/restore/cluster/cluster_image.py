"""One image on a cluster: which of its tiles are handed out, finished, written down."""

import time
from collections import deque
from dataclasses import dataclass, field
from math import prod
from typing import Any

from unifmir.errors import ImageError
from unifmir.file_locks import Lock, hold
from unifmir.images.base import Sink, region_shape
from unifmir.images.plates import add_field
from unifmir.images.rounded_output import RoundingSink, clipped_pixels
from unifmir.images.zarr import lies_in_zarr
from unifmir.restoration.executor import RestorationProgress, tell_notes
from unifmir.restoration.journal import Journal
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan
from unifmir.zoo.restore.cluster.tile_worker import (
    FinishedTile,
    PlannedImage,
    TileWork,
    tile_work,
)
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job
from unifmir.zoo.restore.restored_file import RestoredFile, create_output, warn_if_begun_anew


@dataclass(slots=True, eq=False)
class ClusterImage:
    """An image that was planned. Made by `tracked`."""

    job: Job
    plan: RestorationPlan
    ran: dict[str, Any]
    sink: Sink
    journal: Journal
    work: TileWork
    lock: Lock
    """Lock of the target: no other process writes it meanwhile."""
    waiting: deque[int]
    """Tiles that were not handed out yet."""
    unfinished: set[int]
    resumed: int
    """Tiles that an earlier run finished."""
    written: int
    """Pixels of the output."""
    written_before: int
    """Pixels of the output that the earlier run wrote."""
    worker: str | None = None
    """Address of the worker that keeps the image's result; None: any restores its tiles."""
    started: float = field(default_factory=time.monotonic)
    peak_memory_bytes: int = 0
    failure: Exception | None = None
    """Why it is given up; what the workers still give is not taken in."""

    def record(self, result: FinishedTile) -> None:
        """Take in a finished tile: the worker wrote it, or it is written here."""
        region = self.plan.tiles[result.index].write
        before = clipped_pixels(self.sink)
        if result.values is not None:
            self.sink.write(region, result.values)
            self.sink.flush()
        elif isinstance(self.sink, RoundingSink):
            self.sink.add_clipped(result.clipped)
        self.journal.record({result.index: clipped_pixels(self.sink) - before})
        self.unfinished.discard(result.index)
        self.written += prod(region_shape(region))
        self.peak_memory_bytes = max(self.peak_memory_bytes, result.peak_memory_bytes)

    @property
    def seconds(self) -> float:
        """Time since the plan was there, and that of its lines."""
        return time.monotonic() - self.started

    @property
    def progress(self) -> RestorationProgress:
        """How far it is."""
        pixels, whole = prod(self.plan.shape), prod(self.plan.out_shape)
        tiles = len(self.plan.tiles)
        return RestorationProgress(
            tiles=tiles,
            tiles_done=tiles - len(self.unfinished),
            pixels=pixels,
            pixels_done=pixels * self.written // whole,
            pixels_resumed=pixels * self.written_before // whole,
            seconds=self.seconds,
        )

    def give_up(self, error: Exception) -> None:
        """Hand out no more of its tiles."""
        self.failure = error
        self.waiting.clear()

    def discard(self) -> None:
        """Delete what lies aside, unless it is of use to a run after this one."""
        self.lock.release()
        if isinstance(self.failure, ImageError) or not self.written:
            self.sink.discard()
            self.journal.delete()

    def publish(self) -> RestoredFile:
        """Give the complete image its name."""
        try:
            self.sink.publish()
            add_field(self.job.source, self.job.target)
            self.journal.delete()
        finally:
            self.lock.release()
        return RestoredFile(
            job=self.job,
            plan=self.plan,
            tiles_resumed=self.resumed,
            seconds=self.seconds,
            peak_memory_bytes=self.peak_memory_bytes,
            clipped=clipped_pixels(self.sink),
            ran=self.ran,
        )


def open_cluster_image(
    job: Job,
    planned: PlannedImage,
    choice: ModelChoice,
    options: Options,
    journal: Journal,
    ran: dict[str, Any],
) -> ClusterImage:
    """Open the output of a planned image and see what an earlier run finished.

    Raises
    ------
    InUseError
        Another process is writing it.
    """
    plan = planned.plan
    tell_notes(plan)
    lock, _ = hold(job.target)
    try:
        sink = create_output(job, plan, ran, options)
        done = journal.begin(plan, sink)
    except BaseException:
        lock.release()
        raise
    warn_if_begun_anew(job, journal)
    if isinstance(sink, RoundingSink):
        sink.add_clipped(journal.clipped)
    waiting = deque(index for index in range(len(plan.tiles)) if index not in done)
    before = sum(prod(region_shape(plan.tiles[index].write)) for index in done)
    return ClusterImage(
        job=job,
        plan=plan,
        ran=ran,
        sink=sink,
        journal=journal,
        work=tile_work(job, plan, choice, sink if lies_in_zarr(job.target) else None),
        lock=lock,
        waiting=waiting,
        unfinished=set(waiting),
        resumed=len(done),
        written=before,
        written_before=before,
        worker=planned.worker if plan.kept else None,
        started=time.monotonic() - planned.seconds,
    )

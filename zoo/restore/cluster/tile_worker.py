"""Functions that run on the workers: each opens the image and loads the model once."""

import pickle
import signal
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from unifmir.images.addresses import url_of
from unifmir.images.base import Sink, Source
from unifmir.images.rounded_output import clipped_pixels
from unifmir.machine import resident_bytes
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_tile
from unifmir.restoration.intensities import with_lines
from unifmir.restoration.lazy_image import TileLimit
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RecordedPlan, RestorationPlan, plan_restoration
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.restore.restored_file import source_identity


@dataclass(frozen=True, slots=True)
class TileWork:
    """Facts that a worker needs to restore the tiles of one image. A few kilobytes."""

    key: str
    """Text that all tiles of an image share, and no other image has."""
    job: Job
    plan: RestorationPlan
    choice: ModelChoice
    sink: bytes | None
    """Pickled; None: the pixels are sent back."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """A plan, and the worker that made it."""

    plan: RestorationPlan
    worker: str
    """Address of the worker, which keeps the result of a small image from finding the lines."""
    seconds: float
    """Finding the lines."""


@dataclass(frozen=True, slots=True)
class FinishedTile:
    """A tile that is written, or its pixels."""

    index: int
    values: FloatImage | None
    peak_memory_bytes: int
    """Largest resident set of the worker so far."""
    clipped: int = 0
    """Pixels that the worker clipped when it wrote them."""


@dataclass(frozen=True, slots=True)
class _OpenImage:
    source: Source
    sink: Sink | None


_lock = threading.Lock()
"""A worker may have several threads; the network uses them all for one tile."""
_limits: "OrderedDict[Hashable, TileLimit]" = OrderedDict()
_LIMITS = 4
"""Images whose limits are kept: a planned one may wait until the one before it is finished."""
_predictors: dict[ModelChoice, Predictor] = {}
_images: dict[str, _OpenImage] = {}


def dask_setup(worker: Any) -> None:  # noqa: ARG001 - Dask gives it to what it preloads
    """Leave Ctrl-C, which reaches all processes of a terminal, to the client: it ends these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def tile_work(job: Job, plan: RestorationPlan, choice: ModelChoice, sink: Sink | None) -> TileWork:
    """Work that is sent with each tile."""
    pickled = None if sink is None else pickle.dumps(sink)
    return TileWork(str(uuid4()), with_absolute_paths(job), plan, choice, pickled)


def with_absolute_paths(job: Job) -> Job:
    """Job for a process that runs in another folder."""
    source = job.source if url_of(job.source) is not None else job.source.absolute()
    return replace(job, source=source, target=job.target.absolute())


def describe_model(choice: ModelChoice) -> dict[str, Any]:
    """Load the model and say what runs: `Predictor.ran`."""
    with _lock:
        return dict(_predictor(choice).ran)


def plan_image(
    job: Job, choice: ModelChoice, options: Options, recorded: RecordedPlan | None
) -> PlannedImage:
    """Plan an image on a worker: the tile size is one that its device has memory for.

    Parameters
    ----------
    recorded : RecordedPlan, optional
        Of the plan of an interrupted run.
    """
    from distributed import get_worker

    with _lock:
        opened = job.opened()
        predictor = _predictor(choice)
        try:
            plan = plan_restoration(opened, predictor, options, recorded=recorded)
            began = time.monotonic()
            plan = with_lines(plan, opened, predictor, _limit(job, choice))
            return PlannedImage(plan, get_worker().address, time.monotonic() - began)
        finally:
            opened.close()


def restore_one_tile(work: TileWork, index: int) -> FinishedTile:
    """Restore a tile, and write it unless the pixels are wanted."""
    with _lock:
        here = _open_image(work)
        tile = work.plan.tiles[index]
        predictor, limit = _predictor(work.choice), _limit(work.job, work.choice)
        values = restore_tile(work.plan, tile, here.source, predictor, limit)
        if here.sink is None:
            return FinishedTile(index, values, resident_bytes("VmHWM"))
        before = clipped_pixels(here.sink)
        here.sink.write(tile.write, values)
        here.sink.flush()
        clipped = clipped_pixels(here.sink) - before
        return FinishedTile(index, None, resident_bytes("VmHWM"), clipped)


def _predictor(choice: ModelChoice) -> Predictor:
    if choice not in _predictors:
        _predictors.clear()
        _predictors[choice] = predictor_for(_with_own_threads(choice))
    return _predictors[choice]


def _limit(job: Job, choice: ModelChoice) -> TileLimit:
    """The limits and kept results of one image, as it is now, with one model."""
    key = (source_identity(job), choice)
    limit = _limits.setdefault(key, TileLimit())
    _limits.move_to_end(key)
    while len(_limits) > _LIMITS:
        _limits.popitem(last=False)
    return limit


def _with_own_threads(choice: ModelChoice) -> ModelChoice:
    """The threads that the worker was given, where the user named no number."""
    if choice.threads is not None:
        return choice
    from distributed import get_worker

    return replace(choice, threads=get_worker().state.nthreads)


def _open_image(work: TileWork) -> _OpenImage:
    """The image's source and sink; the last one is closed when another comes."""
    if work.key not in _images:
        for other in _images.values():
            other.source.close()
        _images.clear()
        # Made by the client of this very run: nothing that came from elsewhere is unpickled.
        sink = None if work.sink is None else pickle.loads(work.sink)  # noqa: S301 - as said
        source = work.job.opened()
        _images[work.key] = _OpenImage(source, sink)
    return _images[work.key]

"""What runs on the workers: each opens the image and loads the model once."""

import pickle
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from unifmir.images.base import Shape, Sink, Source
from unifmir.images.opening import open_source
from unifmir.machine import resident_bytes
from unifmir.restoration.base import FloatImage, Predictor
from unifmir.restoration.executor import restore_tile
from unifmir.restoration.lazy import TileLimit
from unifmir.restoration.tile_plan import Options, Plan, plan_restoration
from unifmir.zoo.restore.outputs import Job
from unifmir.zoo.restore.predictors import ModelChoice, predictor_for


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker must know to restore the tiles of one image. A few kilobytes."""

    key: str
    """The same for all tiles of an image, and for no other image."""
    job: Job
    plan: Plan
    choice: ModelChoice
    sink: bytes | None
    """Pickled; None: the pixels are sent back."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the client needs of an image to hand out its tiles."""

    plan: Plan
    shape: Shape
    """Of the source."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A tile that is written, or its pixels."""

    index: int
    values: FloatImage | None
    peak_memory_bytes: int
    """Largest resident set of the worker so far."""


@dataclass(frozen=True, slots=True)
class _Opened:
    source: Source
    sink: Sink | None


_lock = threading.Lock()
"""A worker may have several threads; the network uses them all for one tile."""
_limit = TileLimit()
_predictors: dict[ModelChoice, Predictor] = {}
_images: dict[str, _Opened] = {}


def dask_setup(worker: Any) -> None:  # noqa: ARG001 - Dask gives it to what it preloads
    """Leave Ctrl-C, which reaches all processes of a terminal, to the client: it ends these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work_of(job: Job, plan: Plan, choice: ModelChoice, sink: Sink | None) -> Work:
    """What is sent with each tile."""
    pickled = None if sink is None else pickle.dumps(sink)
    return Work(str(uuid4()), absolute(job), plan, choice, pickled)


def absolute(job: Job) -> Job:
    """The same job for a process that runs in another folder."""
    return replace(job, source=job.source.absolute(), target=job.target.absolute())


def identified(choice: ModelChoice) -> dict[str, Any]:
    """What runs: `Predictor.ran`."""
    with _lock:
        return dict(_predictor(choice).ran)


def planned(
    job: Job, choice: ModelChoice, options: Options, recorded: Mapping[str, Any] | None
) -> Planned:
    """Plan an image on a worker: the tile size is one that its device has memory for.

    Parameters
    ----------
    recorded : mapping, optional
        Of the plan of an interrupted run.
    """
    with _lock:
        opened = open_source(job.source, axes=job.axes)
        try:
            plan = plan_restoration(opened, _predictor(choice), options, recorded=recorded)
            return Planned(plan, opened.shape)
        finally:
            opened.close()


def restored(work: Work, index: int) -> Finished:
    """Restore a tile, and write it unless the pixels are wanted."""
    with _lock:
        here = _opened(work)
        tile = work.plan.tiles[index]
        values = restore_tile(work.plan, tile, here.source, _predictor(work.choice), _limit)
        if here.sink is not None:
            here.sink.write(tile.write, values)
            here.sink.flush()
        sent = values if here.sink is None else None
        return Finished(index, sent, resident_bytes("VmHWM"))


def _predictor(choice: ModelChoice) -> Predictor:
    if choice not in _predictors:
        _predictors.clear()
        _predictors[choice] = predictor_for(_with_own_threads(choice))
    return _predictors[choice]


def _with_own_threads(choice: ModelChoice) -> ModelChoice:
    """The threads that the worker was given, where the user named no number."""
    if choice.threads is not None:
        return choice
    from distributed import get_worker

    return replace(choice, threads=get_worker().state.nthreads)


def _opened(work: Work) -> _Opened:
    """The image's source and sink; the last one is closed when another comes."""
    if work.key not in _images:
        for other in _images.values():
            other.source.close()
        _images.clear()
        # Made by the client of this very run: nothing that came from elsewhere is unpickled.
        sink = None if work.sink is None else pickle.loads(work.sink)  # noqa: S301 - as said
        source = open_source(work.job.source, axes=work.job.axes)
        _images[work.key] = _Opened(source, sink)
    return _images[work.key]

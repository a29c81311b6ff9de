"""Restoring with Dask: the same tiles, on several processes, GPUs or machines.

The client computes nothing: it hands out tiles, a few at a time to each worker, writes down which
are finished, and publishes each image when all of its tiles are. A worker writes its tiles into
an OME-Zarr image itself; pixels of a TIFF travel to the client, which writes them, because a TIFF
has no parts that several processes could write at once.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unifmir.errors import ClusterError, MissingExtraError, UnifmirError
from unifmir.restoration.journal import Journal
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.cluster import tile_worker
from unifmir.zoo.restore.cluster.cluster_image import ClusterImage, open_cluster_image
from unifmir.zoo.restore.cluster.local_workers import local_cluster
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job, OnProgress, RefusedFile
from unifmir.zoo.restore.restored_file import RestoredFile, open_journal

logger = logging.getLogger(__name__)

IN_FLIGHT = 2
"""Tiles a worker: one that it computes and one that waits there, so that it never idles."""
RETRIES = 5
"""Retries of one tile, after its worker died or the system failed under it."""
CONNECT_S = 20.0
WAIT_FOR_WORKERS_S = 60.0
LOOK_AGAIN_S = 5.0
"""Time without an answer after which tasks are looked for that no worker can take."""
RESULT_S = 60.0
"""Time that a tile's pixels may take to the client."""
_ENDED = ("finished", "error", "cancelled")
KEPT = "What is finished is kept: the same command goes on with it"


@dataclass(frozen=True, slots=True)
class _Task:
    """Work behind a future: the plan of a file, or a tile of an image."""

    job: Job
    image: ClusterImage | None = None
    tile: int = 0
    tries: int = 1


def restore_on_cluster(
    jobs: Sequence[Job],
    choice: ModelChoice,
    options: Options,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    fail_fast: bool = False,
    on_progress: OnProgress | None = None,
) -> Iterator[RestoredFile | RefusedFile]:
    """Restore files with Dask.

    Parameters
    ----------
    jobs : sequence of Job
        Their paths must be the same on every worker.
    choice : ModelChoice
        Each worker loads the model itself, with its own device and threads.
    options : Options
    scheduler : str, optional
        Address of a scheduler, such as `tcp://host:8786`.
    workers : int
        Without a scheduler, processes on this machine: see `local_cluster`.
    fail_fast : bool
        Raise the first file's error, in place of going on with the others.
    on_progress : callable, optional

    Yields
    ------
    RestoredFile or RefusedFile
        In the order in which they are finished.

    Raises
    ------
    MissingExtraError
        Dask is not installed.
    ClusterError
        No worker came; with `fail_fast` also a tile that failed again and again. What is finished
        is kept: the same call goes on with it.
    UnifmirError
        The model cannot be had; with `fail_fast` also an image that cannot be read or restored.
    """
    with _connected(choice, options, scheduler, workers) as (client, chosen, settled):
        run = _Run(client, jobs, chosen, settled, on_progress, fail_fast=fail_fast)
        try:
            yield from run.results()
        finally:
            run.release()


@contextmanager
def _connected(
    choice: ModelChoice, options: Options, scheduler: str | None, workers: int
) -> Iterator[tuple[Any, ModelChoice, Options]]:
    """A client of the scheduler, and the choices that fit its workers."""
    if find_spec("distributed") is None:
        raise MissingExtraError(
            "restoring on several processes needs Dask: pip install 'unifmir[zarr]'"
        )
    from distributed import Client

    if scheduler is None:
        with (
            local_cluster(choice, options, workers) as (cluster, chosen, settled),
            Client(cluster) as client,
        ):
            yield client, chosen, settled
        return
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {scheduler}: start one with `dask scheduler`, or leave "
            f"--scheduler out ({error})"
        ) from error
    with client:
        yield client, choice, options


class _Run:
    """Hands out tiles and gathers what becomes of them."""

    def __init__(
        self,
        client: Any,
        jobs: Sequence[Job],
        choice: ModelChoice,
        options: Options,
        on_progress: OnProgress | None,
        *,
        fail_fast: bool,
    ) -> None:
        self._client = client
        self._fail_fast = fail_fast
        # Workers run in other folders; an id of the zoo names no file here.
        model = choice.model
        if model is not None and Path(model).is_file():
            model = Path(model).absolute()
        self._choice = replace(choice, model=model)
        self._options = options
        self._tell = on_progress
        self._coming = deque(jobs)
        self._active: list[ClusterImage] = []
        self._again: deque[_Task] = deque()
        self._running: dict[Any, _Task] = {}
        """Tasks by future."""
        self._journals: dict[Path, Journal] = {}
        """Journals of files whose plan is being made."""
        self._ran: dict[str, Any] = {}
        self._refused: deque[RefusedFile] = deque()
        """Files to be told of."""

    def results(self) -> Iterator[RestoredFile | RefusedFile]:
        """Each file when it is finished."""
        self._wait_for_workers()
        self._ran = self._client.submit(
            tile_worker.describe_model, self._choice, pure=False
        ).result()
        self._hand_out()
        yield from self._given_up()
        while self._running:
            for future in self._ended():
                task = self._running.pop(future)
                restored = None
                # Exception: what fails for one image is no reason to leave the others.
                try:
                    restored = self._settle(task, future)
                except Exception as error:  # noqa: BLE001 - as said
                    self._give_up(task, error)
                if restored is not None:
                    yield restored
                if future not in self._running:
                    future.release()
                self._hand_out()
                yield from self._given_up()

    def release(self) -> None:
        """Let others write what is not finished."""
        for image in self._active:
            image.lock.release()

    def _ended(self) -> list[Any]:
        """Futures of which something is known, some time from now."""
        from distributed import CancelledError, wait

        try:
            wait(list(self._running), timeout=LOOK_AGAIN_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            self._free_stranded()
        except CancelledError:
            pass  # told by its status
        return [future for future in self._running if future.status in _ENDED]

    def _free_stranded(self) -> None:
        """Hand out again what waits for a worker that is gone.

        While no worker is there, a task that asks for one becomes unrunnable, and it stays so when
        others come, although it allows them: Dask 2026.8 looks at the restriction alone
        (`bulk_schedule_unrunnable_after_adding_worker`).
        """
        alive = self._client.nthreads()
        for future, task in list(self._running.items()):
            if task.image is None or task.image.worker is None or task.image.worker in alive:
                continue
            del self._running[future]
            future.cancel()
            self._again.append(task)
        for image in self._active:
            if image.worker not in alive:
                image.worker = None
        self._hand_out()

    def _settle(self, task: _Task, future: Any) -> RestoredFile | None:
        """The restored file, if this was the last of it."""
        if task.image is not None and task.image.failure is not None:
            return None
        if future.status != "finished":
            self._again.append(_retry(task, future))
            return None
        try:
            result = future.result(timeout=RESULT_S)
        except TimeoutError:
            # The worker died with it. Dask computes it again, unless stranded: `_ended` looks.
            self._running[future] = task
            return None
        image = self._take_in(task, result)
        return None if image is None else image.publish()

    def _give_up(self, task: _Task, error: Exception) -> None:
        """Leave an image out; workers may still be at its tiles. With `fail_fast` raise."""
        if self._fail_fast:
            raise RefusedFile(task.job.source, error).to_error() from error
        if task.image is not None:
            task.image.give_up(error)
            self._again = deque(one for one in self._again if one.image is not task.image)
            return
        self._journals.pop(task.job.target, None)
        self._refused.append(RefusedFile(task.job.source, error))

    def _given_up(self) -> Iterator[RefusedFile]:
        """Files that were given up and that no worker is at any more."""
        busy = {id(task.image) for task in self._running.values()}
        for image in [one for one in self._active if one.failure is not None]:
            if id(image) not in busy and image.failure is not None:
                self._active.remove(image)
                image.discard()
                self._refused.append(RefusedFile(image.job.source, image.failure))
        while self._refused:
            yield self._refused.popleft()

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS_S)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler has had no worker for {WAIT_FOR_WORKERS_S:.0f} s: start some with "
                "`dask worker ADDRESS`"
            ) from error

    def _hand_out(self) -> None:
        """Fill up the workers and no more: results that nobody took in would fill their memory."""
        places = IN_FLIGHT * max(1, len(self._client.nthreads()))
        while len(self._running) < places and (task := self._next()) is not None:
            try:
                future = self._submit(task)
            except (UnifmirError, OSError) as error:
                self._give_up(task, error)
                continue
            self._running[future] = task

    def _next(self) -> _Task | None:
        if self._again:
            return self._again.popleft()
        for image in self._active:
            if image.waiting:
                return _Task(image.job, image, image.waiting.popleft())
        return _Task(self._coming.popleft()) if self._coming else None

    def _submit(self, task: _Task) -> Any:
        if task.image is not None:
            return self._client.submit(
                tile_worker.restore_one_tile,
                task.image.work,
                task.tile,
                pure=False,
                workers=task.image.worker,
                # Where that one was lost, another restores the image again.
                allow_other_workers=task.image.worker is not None,
            )
        job = task.job
        journal = self._journals[job.target] = open_journal(job, self._ran)
        recorded = journal.recorded(self._options)
        return self._client.submit(
            tile_worker.plan_image,
            tile_worker.with_absolute_paths(job),
            self._choice,
            self._options,
            recorded,
            pure=False,
        )

    def _take_in(self, task: _Task, result: Any) -> ClusterImage | None:
        """Take in what a worker gave; the image if that was the last of it."""
        image = task.image
        if image is None:
            journal = self._journals.pop(task.job.target)
            image = open_cluster_image(
                task.job, result, self._choice, self._options, journal, self._ran
            )
            self._active.append(image)
        else:
            image.record(result)
        if self._tell is not None:
            self._tell(image.job, image.progress)
        if image.unfinished:
            return None
        self._active.remove(image)
        return image


def _retry(task: _Task, future: Any) -> _Task:
    """Copy of a task for one more try; an error where trying makes no sense, or no more."""
    name = task.job.source.name
    error = future.exception() if future.status == "error" else OSError("the worker was lost")
    if isinstance(error, UnifmirError):
        raise error
    told = f"{type(error).__name__}: {error}"
    if not isinstance(error, OSError) and not type(error).__module__.startswith("distributed"):
        raise ClusterError(f"{name}: a worker failed with {told}. {KEPT}") from error
    if task.tries > RETRIES:
        raise ClusterError(
            f"{name}: a tile failed {task.tries} times, the last time with {told}. {KEPT}"
        ) from error
    logger.info("%s: once more after %s", name, told)
    return replace(task, tries=task.tries + 1)

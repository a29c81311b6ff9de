"""Restoring arrays and files with a model by its name: `unifmir.restore`, `unifmir restore`."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unifmir.checkpoint.weight_sets import WeightKind
from unifmir.devices import Device, chosen_device
from unifmir.file_locks import held
from unifmir.images.plates import add_field
from unifmir.machine import available_cores, resident_bytes
from unifmir.networks.base import Network
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore as restore_source
from unifmir.restoration.executor import restore_array
from unifmir.restoration.restoration_options import Options
from unifmir.tasks import TASKS
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job, OnProgress, RefusedFile
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.restore.restored_file import (
    RestoredFile,
    create_output,
    open_journal,
    warn_if_begun_anew,
)

logger = logging.getLogger(__name__)


def restore(
    image: NDArray[Any],
    model: str | Path | Network | None = None,
    *,
    task: str | None = None,
    weights: WeightKind | None = None,
    axes: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    fast: bool = False,
    runtime: str | None = None,
    threads: int | None = None,
    pixel_size_um: float | None = None,
    z_step_um: float | None = None,
    options: Options | None = None,
) -> FloatImage:
    """Restore an image of any size.

    Parameters
    ----------
    image : array
        Raw intensities, integers or floating point, NaN and Inf excluded.
    model : str, Path or Network, optional
        Id of a zoo model, checkpoint, file of `unifmir export`, or a network from `unifmir.load`.
        The model that ships with the package where not given.
    task : str, optional
        `sr`, `denoise`, `isotropic`, `projection` or `volume`; needed where the model has several.
    weights : {"raw", "ema"}, optional
        Which ones, where a checkpoint has both: as trained, or their running average.
    axes : str, optional
        Of the image, some of `tczyx` in that order; its last ones where not given.
    device : str
        `auto` (a GPU if there is one), or a name of `unifmir.devices`, such as `cpu` or `cuda:0`.
    precision : {"fp32", "fp16", "bf16"}
        Of the arithmetic; refused where the picture would not be the same.
    fast : bool
        Leave out the middle group of the network's body: docs/restore.md says what that costs.
    runtime : str, optional
        A name in `unifmir.export.runtimes.RUNTIMES`.
    threads : int, optional
        On the CPU; as many as OMP_NUM_THREADS says where not given, else its physical cores.
    pixel_size_um, z_step_um : float, optional
        Of the image. Micrometres.
    options : Options, optional
        Size and overlap of the tiles, memory, resampling.

    Returns
    -------
    array, float32
        In the intensities of the image; of `volume` from 0 to 1, relative. Shapes by task, before
        them the axes of time and channels that the image has:

        - `sr`: (y, x) gives (2 y, 2 x), of a stack each plane;
        - `denoise`: (z, y, x) gives (z, y, x);
        - `isotropic`: (z, y, x) gives (f z, y, x), f the z step over the pixel size;
        - `projection`: (z, y, x) gives (y, x);
        - `volume`: a light field (y, x) gives (z, y, x), with as many z as the network was trained
          to give.

    Raises
    ------
    ImageError
        The image does not fit the task, or cannot be normalised.
    UnifmirError
        There is no such task, or the model cannot be had or run.
    """
    if task is not None:
        TASKS.require(task)
    network = model if isinstance(model, Network) else None
    choice = ModelChoice(
        model=None if isinstance(model, Network) else model,
        task=task,
        weights=weights,
        device=device,
        precision=precision,
        fast=fast,
        runtime=runtime,
        threads=threads,
    )
    return restore_array(
        image,
        predictor_for(choice, network),
        axes=axes,
        options=options or Options(),
        pixel_size_um=pixel_size_um,
        z_step_um=z_step_um,
    )


def restore_files(
    jobs: Sequence[Job],
    choice: ModelChoice,
    options: Options,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    fail_fast: bool = False,
    on_progress: OnProgress | None = None,
) -> Iterator[RestoredFile | RefusedFile]:
    """Restore files, in this process or on several; each is there when it is yielded.

    A file that fails does not stop the others.

    Parameters
    ----------
    jobs : sequence of Job
        From `plan_jobs`.
    choice : ModelChoice
    options : Options
    scheduler : str, optional
        Address of a Dask scheduler whose workers restore.
    workers : int, optional
        Processes on this machine; where not given, `default_workers` decides.
    fail_fast : bool
        Raise the first file's error instead.
    on_progress : callable, optional

    Raises
    ------
    UnifmirError
        The model cannot be had or run; with `fail_fast` also as `restore_file` and
        `unifmir.zoo.restore.cluster.dask_run.restore_on_cluster`.
    """
    count = workers or default_workers(len(jobs), chosen_device(choice.device))
    if scheduler is not None or workers is not None or count > 1:
        from unifmir.zoo.restore.cluster.dask_run import restore_on_cluster

        yield from restore_on_cluster(
            jobs,
            choice,
            options,
            scheduler=scheduler,
            workers=count,
            fail_fast=fail_fast,
            on_progress=on_progress,
        )
        return
    predictor = predictor_for(choice)
    for job in jobs:
        outcome: RestoredFile | RefusedFile
        try:
            outcome = restore_file(job, predictor, options, on_progress=on_progress)
        # Exception: what a library raises on one damaged file is no reason to leave the rest.
        except Exception as error:
            outcome = RefusedFile(job.source, error)
            if fail_fast:
                raise outcome.to_error() from error
            logger.debug("%s", job.source, exc_info=True)
        yield outcome


def default_workers(files: int, device: Device) -> int:
    """Processes for so many files: one for one file, else one a GPU, or one a file and core."""
    if files < 2 or find_spec("distributed") is None:
        return 1
    return min(files, available_cores()) if device.is_cpu else device.kind.count()


def restore_file(
    job: Job,
    predictor: Predictor,
    options: Options,
    *,
    on_progress: OnProgress | None = None,
) -> RestoredFile:
    """Restore a file to a file; an interrupted run of the same work goes on where it stopped.

    Parameters
    ----------
    job : Job
        Source and target; the target is replaced if it exists.
    predictor : Predictor
        From `predictor_for`.
    options : Options
    on_progress : callable, optional

    Raises
    ------
    ImageError
        The file is no image that the task takes.
    InUseError
        Another process is writing the target.
    UnifmirError
        The image cannot be written, or not enough memory is there.
    """
    with held(job.target):
        return _restored(job, predictor, options, on_progress)


def _restored(
    job: Job, predictor: Predictor, options: Options, on_progress: OnProgress | None
) -> RestoredFile:
    source = job.opened()
    try:
        journal = open_journal(job, predictor.ran)
        summary = restore_source(
            source,
            lambda plan: create_output(job, plan, predictor.ran, options),
            predictor,
            options,
            journal=journal,
            on_progress=None if on_progress is None else partial(on_progress, job),
        )
        add_field(job.source, job.target)
        warn_if_begun_anew(job, journal)
    finally:
        source.close()
    return RestoredFile(
        job=job,
        plan=summary.plan,
        tiles_resumed=summary.tiles_resumed,
        seconds=summary.seconds,
        peak_memory_bytes=resident_bytes("VmHWM"),
        clipped=summary.clipped,
        ran=dict(predictor.ran),
    )

"""Workers on this machine: one a GPU, or one a core."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from unifmir.atomic import temporary_folder
from unifmir.devices import CUDA, Device, chosen_device
from unifmir.machine import available_bytes, available_cores
from unifmir.restoration.memory_budget import HOST_BYTES, SHARE
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.model_choice import ModelChoice

STARTING_AGAIN = "1 hour"
"""Time that a killed worker may take to come back. After Dask's own 15 s it is given up for good,
and a busy machine needs longer to load PyTorch."""
ALLOWED_FAILURES = 100
"""Workers that may die with a tile before Dask blames the tile: its own 3 would end a run on
machines whose workers are taken away."""


@contextmanager
def local_cluster(
    choice: ModelChoice, options: Options, workers: int
) -> Iterator[tuple[Any, ModelChoice, Options]]:
    """Start worker processes, which are started again when they die, and end them.

    Parameters
    ----------
    choice, options
        What the user chose.
    workers : int
        Processes.

    Yields
    ------
    cluster
        For `distributed.Client`.
    ModelChoice, Options
        With device, threads and memory of one worker.
    """
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    device = chosen_device(choice.device)
    chosen, settled = divide_resources(choice, options, device, workers)
    environments = worker_environments(device, workers, chosen.threads or 1)
    spec = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "env": environment,
                # The tiles are as large as the memory allows: Dask need not watch it too.
                "memory_limit": 0,
                "dashboard": False,
                "preload": ["unifmir.zoo.restore.cluster.tile_worker"],
                "silence_logs": logging.CRITICAL,
            },
        }
        for number, environment in enumerate(environments)
    }
    # Any free port for its pages too: several runs at once must not meet at the usual one.
    own = {"port": 0, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    scheduler = {"cls": Scheduler, "options": own}
    config = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.deploy.lost-worker-timeout": STARTING_AGAIN,
        "distributed.worker.daemon": True,
    }
    with (
        temporary_folder() as scratch,  # Dask's own would stay
        dask.config.set({**config, "temporary-directory": str(scratch)}),
        SpecCluster(workers=spec, scheduler=scheduler, silence_logs=logging.CRITICAL) as cluster,
    ):
        yield cluster, chosen, settled


def worker_environments(
    device: Device, workers: int, threads: int, visible: str | None = None
) -> list[dict[str, str]]:
    """The environment of each worker: of NVIDIA's GPUs it sees one, or none.

    Parameters
    ----------
    device : Device
    workers : int
        More workers than GPUs share them in turn.
    threads : int
        Of each worker.
    visible : str, optional
        `CUDA_VISIBLE_DEVICES`; that of this process where not given.
    """
    own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if device.kind is not CUDA:
        return [{**own, "CUDA_VISIBLE_DEVICES": ""}] * workers
    gpus = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible)
    return [{**own, "CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(workers)]


def visible_gpus(visible: str | None) -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES takes, of the GPUs that this process may use."""
    if visible:
        return [name for name in visible.split(",") if name]
    return [str(index) for index in range(CUDA.count())]


def divide_resources(
    choice: ModelChoice, options: Options, device: Device, workers: int
) -> tuple[ModelChoice, Options]:
    """The choices of one of several workers on this machine: cores and memory are divided."""
    threads = choice.threads or max(1, available_cores() // workers)
    if not device.is_cpu:
        # Of NVIDIA's, its one GPU is the first that it sees; any other is shared by all.
        name = Device(CUDA).name if device.kind is CUDA else device.name
        return replace(choice, device=name, threads=threads), options
    chosen = replace(choice, device="cpu", threads=threads)
    if options.max_memory_bytes is not None:
        return chosen, options
    free = int(available_bytes() * SHARE) // workers
    return chosen, replace(options, max_memory_bytes=min(free, HOST_BYTES))

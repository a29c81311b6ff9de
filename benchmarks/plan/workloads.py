"""Images that are timed: their sizes by task, and the images themselves."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from unifmir.config import SingleConfig
from unifmir.errors import BenchmarkError
from unifmir.interfaces import interface_of
from unifmir.normalize import normalize
from unifmir.registry import require_known
from unifmir.samples import sample
from unifmir.tasks import TASKS, base
from unifmir.tasks.base import BATCHED, Size

BATCH = 8
"""Patches of the workload `BATCHED`."""


def image_sizes(workload: str, task: str) -> Iterator[tuple[str, Size]]:
    """Name (`patch`, `sweep-1`...) and size of each image of a workload.

    Raises
    ------
    BenchmarkError
        There is no such workload.
    """
    require_known("workload", workload, base.WORKLOADS, BenchmarkError)
    row = "patch" if workload == BATCHED else workload
    found: tuple[Size, ...] = getattr(TASKS[task].workloads, row)
    for number, size in enumerate(found, start=1):
        yield (workload if len(found) == 1 else f"{workload}-{number}"), size


def input_shape(config: SingleConfig, size: Size, *, images: int = 1) -> tuple[int, ...]:
    """Shape in which a model's image interface reads images of that size.

    A model of single planes reads a stack as a batch of them; one with a fixed number of planes
    reads as many as it has.
    """
    interface = interface_of(config)
    flat = interface.depth == "none" and "z" in TASKS[config.task].input_axes
    batch = images * size[0] if flat else images
    return interface.input_shape(config.signature, "image", batch=batch, size=size)


def image_shape(task: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The image a user holds, in the task's axes, that is read in an input shape.

    A batch of stacks is one of all their planes; one of planes has an axis more.
    """
    count = int(np.prod(shape[:-2]))
    return (count, *shape[-2:]) if count > 1 or "z" in TASKS[task].input_axes else shape[-2:]


def image_of(task: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    """The shipped sample of a task, normalised, cropped or continued by reflection.

    A batch of planes is the same one over and over.

    Parameters
    ----------
    task : str
    shape : tuple of int
        From `input_shape`, and of the result. Subjects that read the same image in different
        shapes get the same numbers.
    """
    image, _ = normalize(sample(task).image, TASKS[task].normalization)
    wanted = image_shape(task, shape)
    image = np.broadcast_to(image, (*wanted[: len(wanted) - image.ndim], *image.shape))
    missing = [(0, max(0, want - have)) for want, have in zip(wanted, image.shape, strict=True)]
    continued = np.pad(image, missing, mode="symmetric")
    cropped = continued[tuple(slice(length) for length in wanted)]
    return np.ascontiguousarray(cropped.reshape(shape), dtype=np.float32)

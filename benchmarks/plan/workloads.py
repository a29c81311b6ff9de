"""What is timed: image sizes a task, and the image itself."""

from collections.abc import Iterator

import numpy as np

from unifmir.config import SingleConfig
from unifmir.errors import BenchmarkError
from unifmir.export.interfaces import shape_of
from unifmir.normalize import normalize
from unifmir.registry import nearest_name
from unifmir.samples import sample
from unifmir.tasks import TASKS

Size = tuple[int, int, int]
"""(depth, height, width) in pixels; for light fields, height and width in lenses. A model with a
fixed number of planes reads as many as it has."""

WORKLOADS: dict[str, dict[str, tuple[Size, ...]]] = {
    # Seconds, not minutes, for the full-size UniFMIR on one CPU core.
    "patch": {
        "sr": ((1, 128, 128),),
        "denoise": ((8, 160, 128),),
        "isotropic": ((24, 48, 48),),
        "projection": ((50, 48, 48),),
        "volume": ((1, 15, 15),),
    },
    # Whole images, as small as users have them.
    "image": {
        "sr": ((1, 256, 256),),
        "denoise": ((8, 320, 256),),
        "isotropic": ((48, 96, 96),),
        "projection": ((50, 96, 96),),
        "volume": ((1, 30, 30),),
    },
    # Growing by about two, for the exponent.
    "sweep": {
        "sr": ((1, 64, 64), (1, 96, 96), (1, 128, 128), (1, 192, 192), (1, 256, 256)),
        "denoise": ((4, 64, 64), (4, 96, 96), (4, 128, 128), (4, 192, 192), (4, 256, 256)),
        "isotropic": ((16, 24, 24), (16, 32, 32), (24, 48, 48), (32, 64, 64)),
        "projection": ((50, 24, 24), (50, 32, 32), (50, 48, 48), (50, 64, 64), (50, 96, 96)),
        "volume": ((1, 8, 8), (1, 11, 11), (1, 15, 15), (1, 21, 21), (1, 30, 30)),
    },
    # Patches of the paper's prediction table (Ma et al. 2024, Extended Data Table 2).
    "paper": {
        "sr": ((1, 128, 128),),
        "denoise": ((41, 160, 128),),
        "isotropic": ((301, 188, 188),),
        "projection": ((50, 144, 176),),
        "volume": ((1, 15, 15),),
    },
}


def sizes(workload: str, task: str) -> Iterator[tuple[str, Size]]:
    """Name (`patch`, `sweep-1`...) and size of each image of a workload.

    Raises
    ------
    BenchmarkError
        Unknown workload.
    """
    if workload not in WORKLOADS:
        raise BenchmarkError(
            f"unknown workload {workload!r}{nearest_name(workload, list(WORKLOADS))} known: "
            f"{', '.join(WORKLOADS)}"
        )
    found = WORKLOADS[workload][TASKS[task].name]
    for number, size in enumerate(found, start=1):
        yield (workload if len(found) == 1 else f"{workload}-{number}"), size


def input_shape(config: SingleConfig, size: Size) -> tuple[int, ...]:
    """Shape in which a model's image interface reads an image of that size.

    A model of single planes reads a stack as a batch of them.
    """
    shape = shape_of(config, "image", batch=1, size=size)
    if "z" in TASKS[config.task].input_axes and len(shape) == 4:
        return shape_of(config, "image", batch=size[0], size=size)
    return shape


def image_shape(task: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The image a user holds, in the task's axes, that is read in an input shape."""
    if "z" not in TASKS[task].input_axes:
        return shape[-2:]
    return (shape[0] * int(np.prod(shape[1:-2])), *shape[-2:])


def image_of(task: str, shape: tuple[int, ...]) -> np.ndarray:
    """The shipped sample of a task, normalised, cropped or continued by reflection.

    Parameters
    ----------
    task : str
    shape : tuple of int
        From `input_shape`. Subjects that read the same image in different shapes get the same
        numbers.

    Returns
    -------
    ndarray, float32
    """
    image, _ = normalize(sample(task).image, TASKS[task].normalization)
    wanted = image_shape(task, shape)
    missing = [(0, max(0, want - have)) for want, have in zip(wanted, image.shape, strict=True)]
    continued = np.pad(image, missing, mode="symmetric")
    cropped = continued[tuple(slice(length) for length in wanted)]
    return np.ascontiguousarray(cropped.reshape(shape), dtype=np.float32)

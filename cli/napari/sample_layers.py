"""Sample images in napari: the real ones that ship with the package, one function a task.

The manifest names the functions by their tasks; they are made when they are asked for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from unifmir.samples import sample
from unifmir.tasks import TASKS

LayerData = tuple[Any, dict[str, Any], str]
"""Layer as napari takes it: array, properties, type."""


def __getattr__(name: str) -> Callable[[], list[LayerData]]:
    """The function of a task's sample."""
    if name not in TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(sample_layers, name)


def sample_layers(task: str) -> list[LayerData]:
    """The sample of a task, with its axes, its pixel size where that is known, and whose it is."""
    spec = TASKS[task]
    image = sample(task).image.astype(spec.sample.dtype)
    axes, file = spec.input_axes, spec.sample
    pixel = file.pixel_size_um
    properties: dict[str, Any] = {
        "name": file.name,
        "axis_labels": tuple(axes),
        # Of planes the sources say no distance.
        "scale": tuple(pixel or 1.0 if axis in "yx" else 1.0 for axis in axes),
        "metadata": {"licence": file.licence, "attribution": file.attribution},
    }
    if pixel is not None:
        properties["units"] = tuple("um" if axis in "yx" else "pixel" for axis in axes)
    return [(image, properties, "image")]

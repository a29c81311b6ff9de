"""The part of a layer that a viewer shows."""

from math import ceil, floor
from typing import Any

from unifmir.cli.napari.layer_image import LayerImage
from unifmir.errors import ImageError
from unifmir.images.base import AXES
from unifmir.tasks import TASKS

Interval = tuple[int, int]


def visible_region(
    viewer: Any, layer: Any, image: LayerImage, task: str
) -> tuple[Interval, Interval, Interval, Interval, Interval]:
    """The part of an image that is on the screen, along t, c, z, y and x.

    Of time points, channels and planes that are not displayed the one that is shown; all planes
    where the task makes or joins them.

    Raises
    ------
    ImageError
        Nothing of the layer is on the screen.
    """
    displayed = _displayed(viewer, layer)
    point = layer.world_to_data(viewer.dims.point)
    first, last = layer.corner_pixels
    if layer.multiscale:
        factors = layer.downsample_factors[layer.data_level]
        first, last = first * factors, (last + 1) * factors - 1
    found: dict[str, Interval] = {}
    for index, (axis, length) in enumerate(zip(image.axes, image.data.shape, strict=True)):
        if axis == "z" and _needs_all_planes(task):
            found[axis] = 0, length
        elif index not in displayed:
            at = min(max(round(float(point[index])), 0), length - 1)
            found[axis] = at, at + 1
        elif viewer.dims.ndisplay == len("zyx"):
            found[axis] = 0, length
        else:
            found[axis] = (
                max(0, floor(first[index])),
                min(length, ceil(last[index]) + 1),
            )
    if any(start >= stop for start, stop in found.values()):
        raise ImageError(f"nothing of {layer.name} is on the screen: move the view to it")
    t, c, z, y, x = (found.get(axis, (0, 1)) for axis in AXES)
    return t, c, z, y, x


def _displayed(viewer: Any, layer: Any) -> set[int]:
    """Axes of the layer that are displayed: its last axis is the viewer's last."""
    shift = viewer.dims.ndim - layer.ndim
    return {axis - shift for axis in viewer.dims.displayed}


def _needs_all_planes(task: str) -> bool:
    """Whether planes of the result are made of all planes, or more than there are."""
    spec = TASKS[task]
    return spec.isotropic_sampling or ("z" in spec.input_axes and "z" not in spec.output_axes)

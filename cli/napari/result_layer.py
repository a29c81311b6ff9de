"""The layer of a result: its values, laid out where the restored layer lies."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from unifmir.cli.napari.layer_image import LayerImage, named_axes
from unifmir.images.base import AXES, whole_region
from unifmir.images.open_files import open_source
from unifmir.tasks import TASKS

LayerData = tuple[Any, dict[str, Any], str]
"""Layer as napari takes it: array, properties, type."""


def result_layer(image: LayerImage, task: str, path: Path, report: dict[str, Any]) -> LayerData:
    """The layer of a result.

    Parameters
    ----------
    image : LayerImage
        What was restored.
    task : str
    path : Path
        File of the result.
    report : dict
        What the process says of it: `sampling`, of a part also its `region`.

    Returns
    -------
    tuple
        Pixels with the layer's axes in its order, without z for a projection, with z for a volume;
        their scale, translation, units and labels; colours as the layer's, and its display range
        where intensities are the image's.
    """
    spec = TASKS[task]
    made = "z" in spec.output_axes and "z" not in spec.input_axes
    gone = "z" in spec.input_axes and "z" not in spec.output_axes
    axes = "".join(axis for axis in image.axes if not (gone and axis == "z"))
    if made and "z" not in axes:
        axes = axes.replace("y", "zy", 1) if axes.index("y") < axes.index("x") else f"z{axes}"
    place = {**_places(report), **({"z": (1.0, 0.0)} if made else {})}
    properties = _laid_out(image, axes, place)
    shown = dict(image.shown)
    if not spec.normalization.invertible:
        del shown["contrast_limits"]
    part = "region" in report
    name = f"{image.name} ({task}{', tried' if part else ''})"
    properties |= {**shown, "name": name, "metadata": {"unifmir": report}}
    return _pixels(path, axes), properties, "image"


def _places(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Step and offset of the result's pixels in the layer's, by axis."""
    starts = [start for start, _ in report["region"][:2]] if "region" in report else [0, 0]
    steps = [(1.0, float(start)) for start in starts]
    steps += [(step, offset) for step, offset in report["sampling"]]
    return dict(zip(AXES, steps, strict=True))


def _laid_out(
    image: LayerImage, axes: str, place: dict[str, tuple[float, float]]
) -> dict[str, Any]:
    """Scale, translation, units and labels; how it is turned where no axis came or went."""
    known = {
        axis: (step, shift, unit, label)
        for axis, step, shift, unit, label in zip(
            image.axes, image.scale, image.translate, image.units, image.labels, strict=True
        )
    }
    # Planes that a model makes: no file says how far apart they are.
    step, _, unit, _ = known["x"]
    rows = [known.get(axis, (abs(step), 0.0, unit, axis)) for axis in axes]
    scale = [row[0] * place[axis][0] for axis, row in zip(axes, rows, strict=True)]
    shift = np.array([row[0] * place[axis][1] for axis, row in zip(axes, rows, strict=True)])
    told = named_axes(image.labels) == image.axes
    labels = [row[3] if told else axis for axis, row in zip(axes, rows, strict=True)]
    turned = image.turned if axes == image.axes else {}
    if turned:
        shift = turned["rotate"] @ _sheared(turned["shear"], shift)
    return {
        "scale": scale,
        "translate": [row[1] + by for row, by in zip(rows, shift, strict=True)],
        "units": [row[2] for row in rows],
        "axis_labels": labels,
        **turned,
    }


def _sheared(shear: Any, shift: Any) -> Any:
    """A shift after a shear as napari has it: the elements above the diagonal, or a matrix."""
    if np.ndim(shear) == 2:
        return shear @ shift
    matrix = np.eye(len(shift))
    matrix[np.triu_indices(len(shift), 1)] = shear
    return matrix @ shift


def _pixels(path: Path, axes: str) -> Float32[np.ndarray, "*axes"]:
    """All of a file, its axes in an order."""
    source = open_source(path)
    try:
        values = source.read(whole_region(source.shape))
    finally:
        source.close()
    order = [AXES.index(axis) for axis in axes]
    left = [axis for axis in range(len(AXES)) if axis not in order]
    ordered = values.transpose(order + left)
    pixels: Float32[np.ndarray, "*axes"] = ordered.reshape(ordered.shape[: len(axes)])
    return pixels

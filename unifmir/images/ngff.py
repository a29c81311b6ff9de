"""Metadata of OME-Zarr, read and written.

Read: OME-NGFF 0.1 to 0.5. Written: 0.4.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.base import AXES, Channel, ImageInfo
from unifmir.images.layout import Layout
from unifmir.images.units import micrometres, seconds

VERSION = "0.4"
"""Version that is written, on Zarr 2: Fiji, Bio-Formats, QuPath, napari, BigDataViewer and bioio
all read it, while 0.5 on Zarr 3 is not read by all of them yet."""
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_WHITE = "FFFFFF"


def multiscales_of(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The first image that a group's attributes describe; None where they describe none."""
    listed = _metadata(attributes).get("multiscales")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
        return None
    return listed[0]


def is_plate(attributes: dict[str, Any]) -> bool:
    """Whether a group is a plate or well, whose images are groups inside it."""
    return not _metadata(attributes).keys().isdisjoint({"plate", "well"})


def level_0(multiscales: dict[str, Any]) -> str:
    """The path of the array of full resolution."""
    try:
        return str(multiscales["datasets"][0]["path"])
    except (KeyError, IndexError, TypeError):
        raise ImageError("its OME-Zarr metadata names no array of full resolution") from None


def axis_letters(multiscales: dict[str, Any], ndim: int) -> str | None:
    """One letter an axis; `_` for one that has another name. None where the file does not say."""
    said = multiscales.get("axes")
    if not isinstance(said, list):
        # Versions 0.1 and 0.2 knew five axes only.
        return AXES if ndim == len(AXES) else None
    names = [axis.get("name") if isinstance(axis, dict) else axis for axis in said]
    return "".join(name if isinstance(name, str) and len(name) == 1 else "_" for name in names)


def ngff_info(attributes: dict[str, Any], name: str, layout: Layout) -> ImageInfo:
    """Metadata that a group's attributes hold of its image, whose axes are `layout`."""
    info = ImageInfo(name=name, axes=layout.image_axes)
    multiscales = multiscales_of(attributes)
    if multiscales is None:
        return info
    scale = _scale(multiscales, len(layout.shape))
    units = _units(multiscales, len(layout.shape))
    sizes: dict[str, float | None] = {}
    for axis, factor, unit in zip(layout.axes, scale, units, strict=True):
        sizes[axis] = seconds(factor, unit) if axis == "t" else micrometres(factor, unit)
    return replace(
        info,
        pixel_size_um=(sizes.get("y"), sizes.get("x")),
        z_step_um=sizes.get("z"),
        frame_interval_s=sizes.get("t"),
        channels=_channels(_metadata(attributes).get("omero"), layout.image_shape[1]),
    )


def _metadata(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes that hold the metadata: those below `ome` since 0.5."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _units(multiscales: dict[str, Any], ndim: int) -> list[object]:
    said = multiscales.get("axes")
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in said or ()]
    return units if len(units) == ndim else [None] * ndim


def _scale(multiscales: dict[str, Any], ndim: int) -> list[Any]:
    """Product of the scales of level 0 and of all levels."""
    product: list[Any] = [1.0] * ndim
    datasets = multiscales.get("datasets") or [{}]
    for where in (datasets[0], multiscales):
        for transformation in where.get("coordinateTransformations") or ():
            factors = transformation.get("scale")
            if isinstance(factors, list) and len(factors) == ndim:
                product = [a * b for a, b in zip(product, factors, strict=True)]
    return product


def _channels(omero: Any, count: int) -> tuple[Channel, ...]:
    listed = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(listed, list) or len(listed) != count:
        return ()
    return tuple(_channel(said if isinstance(said, dict) else {}) for said in listed)


def _channel(said: dict[str, Any]) -> Channel:
    name, color, window = said.get("label"), said.get("color"), said.get("window")
    display = None
    if isinstance(window, dict):
        low, high = window.get("start"), window.get("end")
        if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
            display = (float(low), float(high))
    if (
        not isinstance(color, str)
        or len(color) != 6
        or set(color.upper()) - set("0123456789ABCDEF")
    ):
        color = None
    return Channel(name if isinstance(name, str) else None, color and color.upper(), display)


def ngff_attributes(
    info: ImageInfo, layout: Layout, factors: list[int], windows: list[tuple[float, float]]
) -> dict[str, Any]:
    """A group's attributes.

    Parameters
    ----------
    layout : Layout
        Of level 0.
    factors : list of int
        How many pixels of level 0 are one of each level, along y and x; level 0 first.
    windows : list of (float, float)
        Least and greatest value of each channel, shown where the info has no display range.
    """
    sizes = _sizes(info)
    axes = [_axis(axis, sizes[axis]) for axis in layout.axes]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {
                    "type": "scale",
                    "scale": [_level_scale(a, sizes[a], factor) for a in layout.axes],
                },
                {"type": "translation", "translation": _shifts(layout.axes, sizes, factor)},
            ],
        }
        for level, factor in enumerate(factors)
    ]
    known = info.channels if len(info.channels) == len(windows) else (Channel(),) * len(windows)
    channels = [_said(*said) for said in zip(known, windows, strict=True)]
    multiscales = {
        "version": VERSION,
        "name": info.name,
        "axes": axes,
        "datasets": datasets,
        "type": "mean",
    }
    return {
        "multiscales": [multiscales],
        "omero": {"version": VERSION, "name": info.name, "channels": channels},
    }


def _sizes(info: ImageInfo) -> dict[str, float | None]:
    y, x = info.pixel_size_um
    return {"t": info.frame_interval_s, "c": None, "z": info.z_step_um, "y": y, "x": x}


def _axis(axis: str, size: float | None) -> dict[str, str]:
    described = {"name": axis, "type": _TYPES[axis]}
    if size is not None:
        described["unit"] = "second" if axis == "t" else "micrometer"
    return described


def _level_scale(axis: str, size: float | None, factor: int) -> float:
    return (1.0 if size is None else size) * (factor if axis in "yx" else 1)


def _shifts(axes: str, sizes: dict[str, float | None], factor: int) -> list[float]:
    """Places of the centre of a level's first pixel: means are of whole blocks of pixels."""
    return [
        (1.0 if sizes[axis] is None else float(sizes[axis] or 1.0)) * (factor - 1) / 2
        if axis in "yx"
        else 0.0
        for axis in axes
    ]


def _said(channel: Channel, window: tuple[float, float]) -> dict[str, Any]:
    low, high = window
    start, end = channel.display or (low, high if high > low else low + 1)
    said: dict[str, Any] = {
        "active": True,
        "color": channel.color or _WHITE,
        "window": {
            "min": float(min(low, start)),
            "max": float(max(high, end)),
            "start": float(start),
            "end": float(end),
        },
    }
    if channel.name:
        said["label"] = channel.name
    return said


def finite_window(least: float, greatest: float) -> tuple[float, float]:
    """A display range that JSON can hold."""
    return (least, greatest) if np.isfinite([least, greatest]).all() else (0.0, 1.0)

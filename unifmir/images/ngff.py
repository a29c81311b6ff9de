"""Metadata of OME-Zarr, read and written.

Read: OME-NGFF 0.1 to 0.5. Written: 0.4.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.base import AXES, COORDINATES, UNKNOWN, Channel, Coordinates, ImageInfo
from unifmir.images.layout import Layout
from unifmir.images.units import micrometres, seconds, without_unit
from unifmir.plain_text_values import parse_json

VERSION = "0.4"
"""Version that is written, on Zarr 2: Fiji, Bio-Formats, QuPath, napari, BigDataViewer and bioio
all read it, while 0.5 on Zarr 3 is not read by all of them yet."""
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_WHITE = "FFFFFF"
_LARGEST = 1e300
"""A JSON number may be an integer beyond float."""
PROVENANCE = "unifmir"
"""Attribute of a group: how the pixels were made."""


def multiscales_of(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The first image that a group's attributes describe; None where they describe none."""
    listed = ngff_metadata(attributes).get("multiscales")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
        return None
    return listed[0]


def is_plate(attributes: dict[str, Any]) -> bool:
    """Whether a group is a plate or well, whose images are groups inside it."""
    return not ngff_metadata(attributes).keys().isdisjoint({"plate", "well"})


def first_field(attributes: dict[str, Any]) -> str:
    """Path of a plate's or well's first field below it, as far as its attributes tell."""
    said = ngff_metadata(attributes)
    for part, name, below in (("well", "images", ""), ("plate", "wells", "/0")):
        listed = said.get(part, {}).get(name) if isinstance(said.get(part), dict) else None
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            return f"{listed[0].get('path')}{below}"
    return "A/1/0"


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
    scale, shift = _transformation(multiscales, len(layout.shape))
    units = _units(multiscales, len(layout.shape))
    sizes: dict[str, float | None] = {}
    bare: dict[str, float | None] = {}
    places: dict[str, float | None] = {}
    for axis, factor, place, unit in zip(layout.axes, scale, shift, units, strict=True):
        converted = seconds if axis == "t" else micrometres
        sizes[axis] = converted(factor, unit)
        bare[axis] = without_unit(factor, unit)
        # Lengths only are positive: a place is so many times the length of 1 in its unit.
        length = converted(1, unit) or without_unit(1, unit)
        places[axis] = place * length if length is not None else None
    # Ones without a unit stand in files that know nothing.
    told = any(bare.get(axis) not in (None, 1.0) for axis in "zyx")
    return replace(
        info,
        pixel_size_um=(sizes.get("y"), sizes.get("x")),
        z_step_um=sizes.get("z"),
        frame_interval_s=sizes.get("t"),
        channels=_channels(ngff_metadata(attributes).get("omero"), layout.image_shape[1]),
        unitless=_coordinates(bare) if told else UNKNOWN,
        origin=_coordinates(places) if any(places.values()) else UNKNOWN,
        provenance=_provenance(attributes),
    )


def _coordinates(values: dict[str, float | None]) -> Coordinates:
    t, z, y, x = (values.get(axis) for axis in COORDINATES)
    return t, z, y, x


def _provenance(attributes: dict[str, Any]) -> str:
    said = attributes.get(PROVENANCE)
    return json.dumps(said) if isinstance(said, dict) else ""


def ngff_metadata(attributes: dict[str, Any]) -> dict[str, Any]:
    """A group's attributes that hold OME-Zarr's metadata: those below `ome` since 0.5."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _units(multiscales: dict[str, Any], ndim: int) -> list[object]:
    said = multiscales.get("axes")
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in said or ()]
    return units if len(units) == ndim else [None] * ndim


def _transformation(multiscales: dict[str, Any], ndim: int) -> tuple[list[float], list[float]]:
    """Scale and shift of level 0, and then of all levels, from pixels to places."""
    scale, shift = [1.0] * ndim, [0.0] * ndim
    datasets = multiscales.get("datasets") or [{}]
    for where in (datasets[0], multiscales):
        for transformation in where.get("coordinateTransformations") or ():
            factors = _numbers(transformation.get("scale"), ndim)
            if factors is not None:
                scale = [a * b for a, b in zip(scale, factors, strict=True)]
                shift = [a * b for a, b in zip(shift, factors, strict=True)]
            added = _numbers(transformation.get("translation"), ndim)
            if added is not None:
                shift = [a + b for a, b in zip(shift, added, strict=True)]
    return scale, shift


def _numbers(values: Any, ndim: int) -> list[float] | None:
    """A list of one number an axis; None where it is another."""
    if not isinstance(values, list) or len(values) != ndim:
        return None
    fits = all(isinstance(value, int | float) and abs(value) < _LARGEST for value in values)
    return [float(value) for value in values] if fits else None


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
    digits = color.removeprefix("#").upper() if isinstance(color, str) else ""
    known = len(digits) == 6 and not set(digits) - set("0123456789ABCDEF")
    return Channel(name if isinstance(name, str) else None, digits if known else None, display)


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
    sizes, distances = _sizes(info), _distances(info)
    origin = dict(zip(COORDINATES, info.origin, strict=True))
    axes = [_axis(axis, sizes[axis]) for axis in layout.axes]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {
                    "type": "scale",
                    "scale": [_level_scale(a, distances[a], factor) for a in layout.axes],
                },
                {
                    "type": "translation",
                    "translation": [
                        _shift(a, distances[a], factor) + (origin.get(a) or 0.0)
                        for a in layout.axes
                    ],
                },
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
    attributes: dict[str, Any] = {
        "multiscales": [multiscales],
        "omero": {"version": VERSION, "name": info.name, "channels": channels},
    }
    return attributes | ({PROVENANCE: parse_json(info.provenance)} if info.provenance else {})


def _sizes(info: ImageInfo) -> dict[str, float | None]:
    y, x = info.pixel_size_um
    return {"t": info.frame_interval_s, "c": None, "z": info.z_step_um, "y": y, "x": x}


def _distances(info: ImageInfo) -> dict[str, float]:
    """Distances of pixels, with or without a unit; 1 where the image does not say."""
    unitless = dict(zip(COORDINATES, info.unitless, strict=True))
    return {axis: size or unitless.get(axis) or 1.0 for axis, size in _sizes(info).items()}


def _axis(axis: str, size: float | None) -> dict[str, str]:
    described = {"name": axis, "type": _TYPES[axis]}
    if size is not None:
        described["unit"] = "second" if axis == "t" else "micrometer"
    return described


def _level_scale(axis: str, distance: float, factor: int) -> float:
    return distance * (factor if axis in "yx" else 1)


def _shift(axis: str, distance: float, factor: int) -> float:
    """Place of the centre of a level's first pixel: means are of whole blocks of pixels."""
    return distance * (factor - 1) / 2 if axis in "yx" else 0.0


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
    """A display range of values that files can hold: of finite ones, and not empty."""
    if not np.isfinite([least, greatest]).all():
        return 0.0, 1.0
    return least, greatest if greatest > least else least + 1.0

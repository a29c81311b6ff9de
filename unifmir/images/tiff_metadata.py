"""Metadata of TIFF files, read and written in ImageJ's words and OME's."""

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import tifffile
from numpy.typing import NDArray

from unifmir.images.base import UNKNOWN, Channel, Coordinates, ImageInfo, Shape
from unifmir.images.layout import Layout
from unifmir.images.units import micrometres, seconds, without_unit
from unifmir.plain_text_values import parse_json

_COLORS_OF_COMPOSITES = range(2, 8)
"""Numbers of channels that ImageJ overlays."""
_PROVENANCE = "unifmir"
"""Key of the JSON object that says how a result was made."""
_NO_LENGTH = "reference frame"
"""OME's unit of a position that does not say one."""
DISPLAY_LATER = (-1.2345678901234567e33, 1.2345678901234567e33)
"""Display range of a channel until all its pixels are there, when the file's header is patched."""
_TAG_UNITS = {"inch": "inch", "centimeter": "cm", "millimeter": "mm", "micrometer": "um"}
"""TIFF's units of resolution -> those of `micrometres`."""
_LARGEST_TAGGED_UM = 20.0
"""Resolution tags that say more are dots per inch of a screen or print: 1270 dpi and below."""


def tiff_info(file: tifffile.TiffFile, index: int, name: str, layout: Layout) -> ImageInfo:
    """Metadata that a file holds of its image number `index`, whose axes are `layout`."""
    info = ImageInfo(name=name, axes=layout.image_axes)
    if file.is_ome and file.ome_metadata:
        place = _place_in_ome(file, index)
        return (
            info
            if place is None
            else _from_ome(info, file.ome_metadata, place, layout.image_shape[1])
        )
    if file.is_imagej and file.imagej_metadata:
        return _from_imagej(info, file.imagej_metadata, file.pages.first.tags, layout)
    return replace(info, pixel_size_um=_sizes_of_tags(file.pages.first.tags))


def _place_in_ome(file: tifffile.TiffFile, index: int) -> int | None:
    """Place of an image in the metadata, which may describe others whose planes are not here."""
    described: Any = tifffile.xml2dict(file.ome_metadata or "").get("OME", {}).get("Image", [])
    images = described if isinstance(described, list) else [described]
    if len(images) == len(file.series):
        return index
    name = file.series[index].name
    named = [n for n, image in enumerate(images) if str(image.get("Name", "")) == name]
    return named[0] if len(named) == 1 else None


def _sizes_of_tags(tags: tifffile.TiffTags) -> tuple[float | None, float | None]:
    """Pixel sizes along y and x of resolution tags, where they are no dots per inch of a print."""
    try:
        unit = tifffile.RESUNIT(tags.valueof("ResolutionUnit", tifffile.RESUNIT.INCH)).name.lower()
    except ValueError:
        return None, None
    y, x = (
        micrometres(1 / density, _TAG_UNITS.get(unit)) if density is not None else None
        for density in (_per_unit(tags.valueof(f"{axis}Resolution")) for axis in "YX")
    )
    of_print = any(size is not None and size > _LARGEST_TAGGED_UM for size in (y, x))
    return (None, None) if of_print else (y, x)


def _from_imagej(
    info: ImageInfo, said: dict[str, Any], tags: tifffile.TiffTags, layout: Layout
) -> ImageInfo:
    unit = said.get("unit", "")
    densities = (_per_unit(tags.valueof(f"{axis}Resolution")) for axis in "YX")
    lateral = [None if density is None else 1 / density for density in densities]
    # ImageJ counts planes upwards or downwards: the amount is their distance.
    spacing = said.get("spacing")
    spacing = abs(spacing) if isinstance(spacing, int | float) else None
    distances = (*zip((spacing, *lateral), ("zunit", "yunit", "unit"), strict=True),)
    z, y, x = (micrometres(value, said.get(key, unit)) for value, key in distances)
    depth, rows, columns = (without_unit(value, said.get(key, unit)) for value, key in distances)
    if (y, x) == (None, None) and (rows, columns) == (1.0, 1.0):
        rows = columns = None  # what a TIFF says that knows none
    if not unit and (y, x) == (None, None):
        y, x = _sizes_of_tags(tags)
        rows, columns = (rows, columns) if (y, x) == (None, None) else (None, None)
    steps = (z or depth or 1.0, y or rows or 1.0, x or columns or 1.0)
    return replace(
        info,
        pixel_size_um=(y, x),
        z_step_um=z,
        frame_interval_s=seconds(said.get("finterval"), said.get("tunit", "sec")),
        origin=_imagej_origin(said, steps),
        channels=_imagej_channels(said, layout),
        unitless=(None, depth if "z" in layout.axes else None, rows, columns),
        provenance=_provenance(said.get("Info")),
    )


def _imagej_origin(said: dict[str, Any], steps: tuple[float, float, float]) -> Coordinates:
    """Place of the first pixel; ImageJ says the pixel that lies at 0, and nothing where it is 0."""
    pixels: list[Any] = [said.get(f"{axis}origin", 0.0) for axis in "zyx"]
    if not any(pixels) or not all(_is_number(pixel) for pixel in pixels):
        return UNKNOWN
    z, y, x = (0.0 - pixel * step for pixel, step in zip(pixels, steps, strict=True))
    return None, z, y, x


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _imagej_channels(said: dict[str, Any], layout: Layout) -> tuple[Channel, ...]:
    count = layout.image_shape[1]
    names = _labels(said.get("Labels"), layout)
    ranges = _ranges(said, count)
    tables = said.get("LUTs")
    colors: list[str | None] = [None] * count
    if isinstance(tables, list) and len(tables) == count:
        colors = [_color_of_table(table) for table in tables]
    return _channels(names, colors, ranges)


def _labels(labels: Any, layout: Layout) -> list[str | None]:
    """Names of channels, where all planes of a channel have the same label."""
    t, count, z, *_ = layout.image_shape
    nothing: list[str | None] = [None] * count
    if not isinstance(labels, list) or len(labels) != t * count * z:
        return nothing
    # Planes of ImageJ: channels change first, then z, then time.
    names = [str(label) for label in labels[:count]]
    same = all(str(label) == names[index % count] for index, label in enumerate(labels))
    # A single image's label names its file, not its channel: only several planes tell.
    if not same or len(set(names)) != count:
        return nothing
    return [name or None for name in names]


def _ranges(said: dict[str, Any], count: int) -> list[tuple[float, float] | None]:
    try:
        values = [float(value) for value in said.get("Ranges", ())]
        if not values and count == 1 and "min" in said and "max" in said:
            values = [float(said["min"]), float(said["max"])]
    except (TypeError, ValueError, OverflowError):
        values = []
    if len(values) != 2 * count or not np.isfinite(values).all():
        return [None] * count
    pairs = zip(values[::2], values[1::2], strict=True)
    return [(low, high) if low < high else None for low, high in pairs]


def _color_of_table(table: Any) -> str | None:
    """The colour that a table ends in, if it runs there from black."""
    if not isinstance(table, np.ndarray) or table.shape != (3, 256) or table[:, 0].any():
        return None
    return "".join(f"{int(value):02X}" for value in table[:, -1])


def _from_ome(info: ImageInfo, xml: str, index: int, count: int) -> ImageInfo:
    described: Any = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    images = described if isinstance(described, list) else [described]
    pixels: Any = images[index].get("Pixels", {}) if index < len(images) else {}
    y, x, z = (
        micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um"))
        for axis in "YXZ"
    )
    depth, rows, columns = (
        without_unit(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um"))
        for axis in "ZYX"
    )
    listed: Any = pixels.get("Channel", [])
    found = listed if isinstance(listed, list) else [listed]
    channels: tuple[Channel, ...] = ()
    if len(found) == count and all(isinstance(channel, dict) for channel in found):
        names = _names_of_ome(xml, index, count)
        colors = [_color_of_ome(channel.get("Color")) for channel in found]
        channels = _channels(names, colors, [None] * count)
    return replace(
        info,
        pixel_size_um=(y, x),
        z_step_um=z,
        frame_interval_s=seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")),
        channels=channels,
        unitless=(None, depth, rows, columns),
        origin=_ome_origin(pixels.get("Plane", [])),
        provenance=_provenance(images[index].get("Description") if index < len(images) else None),
    )


def _ome_origin(planes: Any) -> Coordinates:
    """Place of the first plane, where all planes lie at the same row and column."""
    listed = planes if isinstance(planes, list) else [planes]
    found = {_ome_place(plane): plane.get("TheZ") for plane in listed if isinstance(plane, dict)}
    if len({place[2:] for place in found}) != 1 or not any(map(any, found)):
        return UNKNOWN
    return next((place for place, z in found.items() if z == 0), UNKNOWN)


def _ome_place(plane: dict[str, Any]) -> Coordinates:
    """Position of a plane in micrometres or without a unit; None where its unit is no length."""
    places: list[float | None] = []
    for axis in "ZYX":
        value: Any = plane.get(f"Position{axis}")
        unit = plane.get(f"Position{axis}Unit", _NO_LENGTH)
        length = micrometres(1, unit) or without_unit(1, unit)
        places.append(value * length if _is_number(value) and length is not None else None)
    z, y, x = places
    return None, z, y, x


def _names_of_ome(xml: str, index: int, count: int) -> list[str | None]:
    """Names of an image's channels as text: `xml2dict` makes numbers of what looks like one."""
    root = ET.fromstring(xml)  # noqa: S314 - xml2dict parsed it before, as untrusted
    images = [element for element in root if element.tag.rpartition("}")[2] == "Image"]
    parts = images[index].iter() if index < len(images) else ()
    names = [part.get("Name") for part in parts if part.tag.rpartition("}")[2] == "Channel"]
    return names if len(names) == count else [None] * count


def _color_of_ome(value: Any) -> str | None:
    """RRGGBB of OME's signed RGBA integer."""
    if not isinstance(value, int) or not -(2**31) <= value < 2**31:
        return None
    return f"{value & 0xFFFFFFFF:08X}"[:6]


def _provenance(text: Any) -> str:
    """JSON in what `imagej_keywords` and `ome_keywords` write of a result's making, if it is it."""
    try:
        said = parse_json(text) if isinstance(text, str) else None
    except ValueError:
        return ""
    made = said.get(_PROVENANCE) if isinstance(said, dict) else None
    return json.dumps(made) if isinstance(made, dict) else ""


def _provenance_text(info: ImageInfo) -> str:
    return json.dumps({_PROVENANCE: parse_json(info.provenance)}, indent=1)


def _channels(
    names: list[str | None],
    colors: list[str | None],
    displays: list[tuple[float, float] | None],
) -> tuple[Channel, ...]:
    channels = tuple(Channel(*said) for said in zip(names, colors, displays, strict=True))
    return channels if any(channel != Channel() for channel in channels) else ()


def _per_unit(value: Any) -> float | None:
    """Pixels per unit from a TIFF fraction, or None where it says nothing."""
    if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
        return None
    return float(value[0]) / float(value[1])


def imagej_keywords(info: ImageInfo, layout: Layout) -> dict[str, Any]:
    """Arguments of `tifffile.imwrite` for a file that ImageJ itself opens, one sample a pixel."""
    shape = layout.image_shape
    metadata: dict[str, Any] = {"axes": layout.axes.upper() + "S"}
    y, x = info.pixel_size_um
    if (y, x) != (None, None):
        # ImageJ shows "um" as a micrometre; the sign itself is not ASCII, as TIFF text must be.
        metadata["unit"] = "um"
    if info.z_step_um is not None and "z" in info.axes:
        # A unit of its own: without a pixel size there is none to share, and a TIFF's resolution
        # is 1 where it says nothing.
        metadata |= {"spacing": info.z_step_um, "zunit": "um"}
    elif info.unitless[1] is not None and "z" in info.axes and "unit" not in metadata:
        metadata["spacing"] = info.unitless[1]
    if info.frame_interval_s is not None and "t" in info.axes:
        metadata["finterval"] = info.frame_interval_s
    metadata |= {
        f"{axis}origin": 0.0 - place / (size or unitless or 1.0)
        for axis, place, size, unitless in _places(info)
        if place is not None
    }
    if info.provenance:
        metadata["Info"] = _provenance_text(info)
    metadata |= _imagej_channel_keywords(info.channels, shape)
    keywords: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if (y, x) == (None, None):
        *_, y, x = info.unitless
    if x is not None or y is not None:
        # ImageJ has one unit for both, so that a size which is unknown is taken as the other.
        keywords["resolution"] = (1 / (x or y or 1.0), 1 / (y or x or 1.0))
    return keywords


def _places(
    info: ImageInfo,
) -> Iterator[tuple[str, float | None, float | None, float | None]]:
    """Z, y and x with the place of the first pixel, and the distance with and without a unit."""
    sizes = (info.z_step_um, *info.pixel_size_um)
    return zip("zyx", info.origin[1:], sizes, info.unitless[1:], strict=True)


def _imagej_channel_keywords(channels: tuple[Channel, ...], shape: Shape) -> dict[str, Any]:
    t, count, z, *_ = shape
    metadata: dict[str, Any] = {}
    if count in _COLORS_OF_COMPOSITES:
        metadata["mode"] = "composite"
    known = channels if len(channels) == count else (Channel(),) * count
    displays = [channel.display or DISPLAY_LATER for channel in known]
    low, high = (display_text(value) for value in displays[0])
    metadata |= {"min": low, "max": high}
    metadata["Ranges"] = tuple(value for display in displays for value in display)
    if len(channels) != count:
        return metadata
    if any(channel.color for channel in channels):
        metadata["LUTs"] = [_table_of_color(channel.color or "FFFFFF") for channel in channels]
    if any(channel.name for channel in channels):
        metadata["Labels"] = [channel.name or "" for channel in channels] * (t * z)
    return metadata


def display_text(value: float) -> str:
    """A limit of a display range in ImageJ's description, of one length whatever its size."""
    return f"{value:+.16e}"


def _table_of_color(color: str) -> NDArray[np.uint8]:
    ends = [int(color[at : at + 2], 16) for at in (0, 2, 4)]
    return np.rint([np.linspace(0, end, 256) for end in ends]).astype(np.uint8)


def ome_keywords(info: ImageInfo, layout: Layout) -> dict[str, Any]:
    """Arguments of `tifffile.imwrite` for an OME-TIFF of any size. It has no display range."""
    metadata: dict[str, Any] = {"axes": layout.axes.upper(), "Name": info.name}
    if info.provenance:
        metadata["Description"] = _provenance_text(info)
    sizes = zip("ZYX", (info.z_step_um, *info.pixel_size_um), info.unitless[1:], strict=True)
    for axis, size, unitless in sizes:
        # OME's "pixel" is a unit of no length.
        known, unit = (size, "µm") if size is not None else (unitless, "pixel")
        if known is not None and axis.lower() in info.axes:
            metadata |= {f"PhysicalSize{axis}": known, f"PhysicalSize{axis}Unit": unit}
    if info.frame_interval_s is not None and "t" in info.axes:
        metadata |= {"TimeIncrement": info.frame_interval_s, "TimeIncrementUnit": "s"}
    if planes := _ome_positions(info, layout):
        metadata["Plane"] = planes
    if len(info.channels) == layout.image_shape[1]:
        said: dict[str, list[Any]] = {}
        if any(channel.name for channel in info.channels):
            said["Name"] = [channel.name or "" for channel in info.channels]
        if any(channel.color for channel in info.channels):
            said["Color"] = [_ome_color(channel.color or "FFFFFF") for channel in info.channels]
        if said:
            metadata["Channel"] = said
    return {"ome": True, "bigtiff": True, "metadata": metadata}


def _ome_positions(info: ImageInfo, layout: Layout) -> dict[str, list[Any]]:
    """Place of every plane in the file's order; empty where the place of the first is unknown."""
    outer = layout.shape[:-2]
    depth = layout.axes.find("z")
    said: dict[str, list[Any]] = {}
    for axis, place, size, unitless in _places(info):
        if place is None:
            continue
        step = (size or unitless or 1.0) if axis == "z" and depth >= 0 else 0.0
        unit = "µm" if size is not None else "pixel"
        indices = (at[depth] if step else 0 for at in np.ndindex(*outer))
        said[f"Position{axis.upper()}"] = [place + index * step for index in indices]
        said[f"Position{axis.upper()}Unit"] = [unit] * math.prod(outer)
    return said


def _ome_color(color: str) -> int:
    """RRGGBB, opaque, as OME's signed RGBA integer."""
    (value,) = struct.unpack(">i", bytes.fromhex(color + "FF"))
    return int(value)

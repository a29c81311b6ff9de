"""Metadata of TIFF files, read and written in ImageJ's words and OME's."""

import struct
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import tifffile
from numpy.typing import NDArray

from unifmir.images.base import Channel, ImageInfo, Shape
from unifmir.images.layout import Layout
from unifmir.images.units import micrometres, seconds

_COLORS_OF_COMPOSITES = range(2, 8)
"""Numbers of channels that ImageJ overlays."""


def tiff_info(file: tifffile.TiffFile, index: int, name: str, layout: Layout) -> ImageInfo:
    """Metadata that a file holds of its image number `index`, whose axes are `layout`."""
    info = ImageInfo(name=name, axes=layout.image_axes)
    if file.is_ome and file.ome_metadata:
        return _from_ome(info, file.ome_metadata, index, layout.image_shape[1])
    if file.is_imagej and file.imagej_metadata:
        return _from_imagej(info, file.imagej_metadata, file.pages.first.tags, layout)
    # Resolution of files that ImageJ did not write is dots per inch of a print: not of interest.
    return info


def _from_imagej(
    info: ImageInfo, said: dict[str, Any], tags: tifffile.TiffTags, layout: Layout
) -> ImageInfo:
    unit = said.get("unit", "")
    y, x = (
        micrometres(1 / density, said.get(key, unit)) if density is not None else None
        for density, key in (
            (_per_unit(tags.valueof("YResolution")), "yunit"),
            (_per_unit(tags.valueof("XResolution")), "unit"),
        )
    )
    return replace(
        info,
        pixel_size_um=(y, x),
        z_step_um=micrometres(said.get("spacing"), said.get("zunit", unit)),
        frame_interval_s=seconds(said.get("finterval"), said.get("tunit", "sec")),
        channels=_imagej_channels(said, layout),
    )


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
    )


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
    if info.pixel_size_um != (None, None):
        # ImageJ shows "um" as a micrometre; the sign itself is not ASCII, as TIFF text must be.
        metadata["unit"] = "um"
    if info.z_step_um is not None and "z" in info.axes:
        # A unit of its own: without a pixel size there is none to share, and a TIFF's resolution
        # is 1 where it says nothing.
        metadata |= {"spacing": info.z_step_um, "zunit": "um"}
    if info.frame_interval_s is not None and "t" in info.axes:
        metadata["finterval"] = info.frame_interval_s
    metadata |= _imagej_channel_keywords(info.channels, shape)
    keywords: dict[str, Any] = {"imagej": True, "metadata": metadata}
    y, x = info.pixel_size_um
    if x is not None or y is not None:
        # ImageJ has one unit for both, so that a size which is unknown is taken as the other.
        keywords["resolution"] = (1 / (x or y or 1.0), 1 / (y or x or 1.0))
    return keywords


def _imagej_channel_keywords(channels: tuple[Channel, ...], shape: Shape) -> dict[str, Any]:
    t, count, z, *_ = shape
    metadata: dict[str, Any] = {}
    if count in _COLORS_OF_COMPOSITES:
        metadata["mode"] = "composite"
    if len(channels) != count:
        return metadata
    displays = [channel.display for channel in channels if channel.display is not None]
    if len(displays) == count:
        metadata |= {"min": displays[0][0], "max": displays[0][1]}
        metadata["Ranges"] = tuple(value for display in displays for value in display)
    if any(channel.color for channel in channels):
        metadata["LUTs"] = [_table_of_color(channel.color or "FFFFFF") for channel in channels]
    if any(channel.name for channel in channels):
        metadata["Labels"] = [channel.name or "" for channel in channels] * (t * z)
    return metadata


def _table_of_color(color: str) -> NDArray[np.uint8]:
    ends = [int(color[at : at + 2], 16) for at in (0, 2, 4)]
    return np.rint([np.linspace(0, end, 256) for end in ends]).astype(np.uint8)


def ome_keywords(info: ImageInfo, layout: Layout) -> dict[str, Any]:
    """Arguments of `tifffile.imwrite` for an OME-TIFF of any size. It has no display range."""
    metadata: dict[str, Any] = {"axes": layout.axes.upper(), "Name": info.name}
    y, x = info.pixel_size_um
    for axis, size in (("X", x), ("Y", y), ("Z", info.z_step_um if "z" in info.axes else None)):
        if size is not None:
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if info.frame_interval_s is not None and "t" in info.axes:
        metadata |= {"TimeIncrement": info.frame_interval_s, "TimeIncrementUnit": "s"}
    if len(info.channels) == layout.image_shape[1]:
        said: dict[str, list[Any]] = {}
        if any(channel.name for channel in info.channels):
            said["Name"] = [channel.name or "" for channel in info.channels]
        if any(channel.color for channel in info.channels):
            said["Color"] = [_ome_color(channel.color or "FFFFFF") for channel in info.channels]
        if said:
            metadata["Channel"] = said
    return {"ome": True, "bigtiff": True, "metadata": metadata}


def _ome_color(color: str) -> int:
    """RRGGBB, opaque, as OME's signed RGBA integer."""
    (value,) = struct.unpack(">i", bytes.fromhex(color + "FF"))
    return int(value)

"""Plates of OME-Zarr: where their fields lie, and plates of results.

A plate holds an image for each field of view of each of its wells: PLATE.zarr/ROW/COLUMN/FIELD.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unifmir.errors import ImageError
from unifmir.images.addresses import url_of
from unifmir.images.damage import MAX_METADATA_BYTES, reading, require_regular
from unifmir.images.ngff import VERSION, ngff_metadata
from unifmir.images.zarr import is_zarr, library
from unifmir.images.zarr_metadata import read_metadata

_PLATE, _WELL = "plate", "well"


@dataclass(frozen=True, slots=True)
class PlaceInZarr:
    """Place of an image inside a larger Zarr."""

    root: Path
    """The outermost Zarr folder."""
    parts: tuple[str, ...]
    """Names of the groups from there to the image."""
    is_field: bool
    """Whether the Zarr is a plate and the image a field of one of its wells."""


def place_in_zarr(path: Path) -> PlaceInZarr | None:
    """Find where an image lies in a larger Zarr; None where it is one of its own."""
    if not is_zarr(path):
        return None
    root = path.absolute()
    while is_zarr(root.parent):
        root = root.parent
    parts = path.absolute().relative_to(root).parts
    if not parts:
        return None
    is_field = len(parts) == 3 and _PLATE in _attributes(root)
    return PlaceInZarr(path.parents[len(parts) - 1], parts, is_field)


def zarr_at_address(path: Path) -> Path:
    """The outermost Zarr, by its name, that an address lies in; every other path as it is."""
    if url_of(path) is None:
        return path
    return next((one for one in (*path.parents[::-1], path) if one.suffix.lower() == ".zarr"), path)


def fields_of(path: Path) -> list[Path] | None:
    """The images of a plate or a well, in the order of its metadata; None for everything else.

    Raises
    ------
    ImageError
        Its metadata name no field.
    """
    with reading(path):
        said = _attributes(path)
        if _WELL in said:
            fields = _paths(said[_WELL], "images", path)
        elif _PLATE in said:
            wells = _paths(said[_PLATE], "wells", path)
            fields = [
                field
                for well in wells
                for field in _paths(_attributes(well).get(_WELL), "images", well)
            ]
        else:
            return None
        if not fields:
            raise ImageError("is a plate whose metadata name no field: open its images one by one")
    return fields


def place_in_plate(source: Path, plate: Path) -> Path | None:
    """Path of the result of a plate's field in a plate of results; None for other images."""
    place = place_in_zarr(source)
    if place is None or not place.is_field or plate.suffix.lower() != ".zarr":
        return None
    return plate.joinpath(*place.parts)


def add_field(source: Path, target: Path) -> None:
    """Write what the metadata of a plate say of one field to the plate that its result lies in.

    Parameters
    ----------
    source : Path
        A field of a plate. For every other image nothing is done.
    target : Path
        Its result, complete. The plate is created if it is not there.
    """
    if len(target.parents) < 3 or place_in_plate(source, target.parents[2]) != target:
        return
    root, well = target.parents[2], target.parents[0]
    row, column, field = target.parts[-3:]
    plate = dict(_attributes(source.parents[2])[_PLATE])
    plate["wells"] = _described(plate.get("wells"))
    zarr = library()
    top = zarr.open_group(store=str(root), mode="a", zarr_format=2)
    zarr.open_group(store=str(well.parent), mode="a", zarr_format=2)
    place = zarr.open_group(store=str(well), mode="a", zarr_format=2)
    already = {one.get("path") for one in dict(top.attrs).get(_PLATE, {}).get("wells", ())}
    restored = already | {f"{row}/{column}"}
    plate["wells"] = [one for one in plate["wells"] if one["path"] in restored]
    top.attrs[_PLATE] = plate | {"version": VERSION}
    images = dict(_attributes(source.parent).get(_WELL) or {})
    there = {one.get("path") for one in dict(place.attrs).get(_WELL, {}).get("images", ())}
    kept = [one for one in _described(images.get("images")) if one["path"] in there | {field}]
    place.attrs[_WELL] = images | {"version": VERSION, "images": kept}


def _described(listed: Any) -> list[dict[str, Any]]:
    """Wells or fields of metadata that name their place, which others need not."""
    named = listed if isinstance(listed, list) else []
    return [one for one in named if isinstance(one, dict) and isinstance(one.get("path"), str)]


def _attributes(path: Path) -> dict[str, Any]:
    """OME-Zarr's metadata of a group on disk; empty for everything else.

    Read without the library: folders are looked through before it is needed.
    """
    for name, inner in (("zarr.json", "attributes"), (".zattrs", "")):
        try:
            require_regular(path / name)
            with (path / name).open("rb") as file:
                said = read_metadata(file.read(MAX_METADATA_BYTES + 1), name)
            attributes = said.get(inner, {}) if inner else said
        except (OSError, ImageError, AttributeError):
            continue
        return ngff_metadata(attributes) if isinstance(attributes, dict) else {}
    return {}


def _paths(said: Any, name: str, folder: Path) -> list[Path]:
    listed = said.get(name) if isinstance(said, dict) else None
    if not isinstance(listed, list):
        return []
    named = [one["path"] for one in listed if isinstance(one, dict) and "path" in one]
    for one in named:
        parts = one.split("/") if isinstance(one, str) else [".."]
        if ".." in parts or "" in parts or "\0" in one:
            raise ImageError(
                f"its metadata name {str(one)[:80]!r}, which is no place inside it: they are "
                "damaged"
            )
    return [folder / one for one in dict.fromkeys(named)]

"""OME-TIFF images that lie in several files, or whose metadata lie in another."""

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import tifffile

from unifmir.errors import ImageError
from unifmir.images.damage import MAX_METADATA_BYTES, require_inside, require_regular
from unifmir.images.tiff_structure import MAX_PAGES, check_chain, check_planes
from unifmir.output_place import real_path

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STEPS = 2**24
"""References to planes that are followed: each of a file's `TiffData` may name all its pages."""


def named_files(xml: str) -> list[str]:
    """Names of the files that OME metadata says planes lie in, each once."""
    names = (
        element.get("FileName")
        for element in _elements(xml)
        if element.tag.rpartition("}")[2] == "UUID"
    )
    return list(dict.fromkeys(name for name in names if name))


def check_described(path: Path, xml: str, pages: int, page_pixels: int) -> None:
    """Hold what OME metadata say against the file before a reader makes lists of it.

    Parameters
    ----------
    path : Path
        The file that is read.
    xml : str
        Its OME metadata; empty where it has none.
    pages, page_pixels : int
        Pages of the file, and pixels of the first.

    Raises
    ------
    ImageError
        They describe more planes than can be, define entities, or name files that are none, or
        that lie outside the file's folder.
    """
    if not xml:
        return
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ImageError(
            "its OME metadata define entities, which OME's never do: they were made to do harm"
        )
    for name in named_files(xml):
        there = path.parent / name
        require_inside(there, path.parent, beside=path)
        if there.exists():
            require_regular(there)
            check_chain(there)
    images = [one for one in _elements(xml) if one.tag.rpartition("}")[2] == "Pixels"]
    planes = [_number(one, "SizeX") * _number(one, "SizeY") for one in images]
    pixels = max(
        (math.prod(_number(one, f"Size{a}") for a in "XYZCT") for one in images), default=0
    )
    # What fits no page is not read, but only after a list of its planes was made.
    if page_pixels not in planes and pixels > MAX_PAGES * max(1, page_pixels):
        raise ImageError(
            f"its OME metadata say {pixels} pixels, and its first page has {page_pixels}: they are "
            "damaged"
        )
    steps = sum(_steps(element, pages) for element in _elements(xml))
    if steps > _STEPS:
        raise ImageError(
            f"its OME metadata refer to planes {steps} times, and the file has {pages} pages: they "
            "are damaged"
        )


def _steps(element: Any, pages: int) -> int:
    """How many planes an element of OME metadata makes a reader go through."""
    kind = element.tag.rpartition("}")[2]
    if kind == "Pixels":
        lengths = [_number(element, f"Size{axis}") for axis in "ZCTYX"]
        if min(lengths) < 1:
            raise ImageError(f"its OME metadata say a size of {lengths} (z, c, t, y, x)")
        check_planes(lengths[:3])
    elif kind == "TiffData":
        count = _number(element, "PlaneCount", _number(element, "NumPlanes", 0))
        most = max(count, *(_number(element, f"First{axis}", 0) for axis in "ZCT"))
        if most > MAX_PAGES:
            raise ImageError(
                f"its OME metadata speak of {most} planes, expected at most {MAX_PAGES}: they are "
                "damaged"
            )
        return count or pages
    elif kind.startswith("ModuloAlong") and "Start" in element.attrib:
        return _modulo_steps(element)
    return 0


def _number(element: Any, name: str, other: int = 1) -> int:
    said = element.get(name)
    return other if said is None else int(said)


def _modulo_steps(element: Any) -> int:
    start, stop = float(element.get("Start")), float(element.get("End", "nan"))
    step = float(element.get("Step", 1))
    steps = abs((stop - start) / step) if step else float("inf")
    if not steps < MAX_PAGES:
        raise ImageError(
            f"its OME metadata divide an axis from {start:g} to {stop:g} by steps of {step:g}: "
            f"expected at most {MAX_PAGES} of them"
        )
    return int(steps)


def metadata_elsewhere(path: Path, xml: str) -> str | None:
    """OME metadata of a file whose own say only where they lie; None for all other files.

    Raises
    ------
    ImageError
        The file they lie in is missing, or holds none.
    """
    only = next((one for one in _elements(xml) if one.tag.rpartition("}")[2] == "BinaryOnly"), None)
    if only is None:
        return None
    name = only.get("MetadataFile") or ""
    there = path.parent / Path(name).name
    if not name or not there.is_file():
        raise ImageError(
            f"its OME metadata lie in another file, {name or 'which it does not name'}, which is "
            "not beside it: copy that file here too"
        )
    require_inside(there, path.parent, beside=path)
    found = _companion_xml(there)
    if not any(one.tag.rpartition("}")[2] == "Pixels" for one in _elements(found)):
        raise ImageError(
            f"its OME metadata should lie in {there.name}, which describes no image: copy that "
            "file again"
        )
    return found


def renamed_metadata(path: Path, xml: str) -> str | None:
    """OME metadata of a file that was renamed, without its old name; None for all other files.

    A file is taken for renamed if its metadata say that all planes lie in one file, which is not
    beside it.
    """
    names = named_files(xml)
    if len(names) != 1 or (path.parent / Path(names[0]).name).exists():
        return None
    root = ET.fromstring(xml)  # noqa: S314 - tifffile parses it too, as untrusted
    for element in root.iter():
        for child in list(element):
            if child.tag.rpartition("}")[2] == "UUID":
                element.remove(child)
    return ET.tostring(root, encoding="unicode")


def image_set(path: Path) -> frozenset[Path]:
    """All files that a TIFF file's image lies in; itself alone where it is whole, or no OME-TIFF.

    Never raises: what is wrong with the file is said where it is opened.
    """
    alone = frozenset({real_path(path)})
    try:
        require_regular(path)
        with path.open("rb") as file:
            if file.read(4) not in _STARTS:
                return alone
        check_chain(path)
        with tifffile.TiffFile(path) as opened:
            xml = (opened.ome_metadata or "") if opened.is_ome else ""
        names = named_files(metadata_elsewhere(path, xml) or xml)
    except Exception:  # noqa: BLE001 - readers raise whatever they stumble over in a damaged file
        return alone
    named = [path.parent / Path(name).name for name in names]
    files = {real_path(there) for there in named if there.exists()}
    return frozenset(files) if real_path(path) in files else alone


def _companion_xml(path: Path) -> str:
    require_regular(path)
    with path.open("rb") as file:
        if file.read(4) in _STARTS:
            check_chain(path)
            with tifffile.TiffFile(path) as opened:
                return (opened.ome_metadata or "") if opened.is_ome else ""
        file.seek(0)
        return file.read(MAX_METADATA_BYTES).decode("utf-8", errors="replace")


def _elements(xml: str) -> Any:
    if not xml:
        return ()
    try:
        return ET.fromstring(xml).iter()  # noqa: S314 - tifffile parses it too, as untrusted
    except ET.ParseError:
        return ()

"""OME-TIFF images that lie in several files, or whose metadata lie in another."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import tifffile

from unifmir.errors import ImageError

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DESCRIBED_BYTES = 64 * 2**20
"""A companion beyond this size is none."""


def named_files(xml: str) -> list[str]:
    """Names of the files that OME metadata says planes lie in, each once."""
    names = (
        element.get("FileName")
        for element in _elements(xml)
        if element.tag.rpartition("}")[2] == "UUID"
    )
    return list(dict.fromkeys(name for name in names if name))


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
    alone = frozenset({path.resolve()})
    try:
        with path.open("rb") as file:
            if file.read(4) not in _STARTS:
                return alone
        with tifffile.TiffFile(path) as opened:
            xml = (opened.ome_metadata or "") if opened.is_ome else ""
        names = named_files(metadata_elsewhere(path, xml) or xml)
    except Exception:  # noqa: BLE001 - readers raise whatever they stumble over in a damaged file
        return alone
    files = {there.resolve() for name in names if (there := path.parent / Path(name).name).exists()}
    return frozenset(files) if path.resolve() in files else alone


def _companion_xml(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(4) in _STARTS:
            with tifffile.TiffFile(path) as opened:
                return (opened.ome_metadata or "") if opened.is_ome else ""
        file.seek(0)
        return file.read(_DESCRIBED_BYTES).decode("utf-8", errors="replace")


def _elements(xml: str) -> Any:
    if not xml:
        return ()
    try:
        return ET.fromstring(xml).iter()  # noqa: S314 - tifffile parses it too, as untrusted
    except ET.ParseError:
        return ()

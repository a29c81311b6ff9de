"""Image files of the kinds that microscopes, Fiji and converters write, good and broken."""

import json
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

Z, Y, X = 6, 24, 32
STACK = np.random.default_rng(5).integers(100, 900, (Z, Y, X), dtype=np.uint16)
"""(z, y, x)"""
PLANE = STACK[0]
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def imagej(
    path: Path,
    image: np.ndarray,
    *said: str,
    resolution: tuple[float, float] = (10.0, 10.0),
    encoding: str = "utf-8",
    planes: int | None = None,
    **keywords: Any,
) -> Path:
    """A file with ImageJ's description: lines `key=value` beside the number of planes."""
    count = planes if planes is not None else (1 if image.ndim == 2 else len(image))
    lines = ["ImageJ=1.54f", f"images={count}", f"slices={count}", *said]
    text = "".join(f"{line}\n" for line in lines).encode(encoding)
    tifffile.imwrite(
        path,
        image,
        metadata=None,
        description=text,
        resolution=resolution,
        resolutionunit="NONE",
        photometric="minisblack",
        **keywords,
    )
    return path


def ome_text(
    sizes: str = f'SizeX="{X}" SizeY="{Y}" SizeZ="{Z}" SizeC="1" SizeT="1"',
    *,
    said: str = "",
    channels: Sequence[str] = ("",),
    data: str = "<TiffData/>",
    identity: str = "",
) -> str:
    """OME metadata of one image of unsigned 16 bit, planes before channels before times."""
    parts = "".join(
        f'<Channel ID="Channel:0:{n}" SamplesPerPixel="1" {one}/>' for n, one in enumerate(channels)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}" {identity}><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes} {said}>'
        f"{parts}{data}</Pixels></Image></OME>"
    )


def ome(path: Path, image: np.ndarray, text: str | bytes, **keywords: Any) -> Path:
    """A file with OME's description."""
    said = text.encode("utf-8") if isinstance(text, str) else text
    tifffile.imwrite(
        path, image, metadata=None, description=said, photometric="minisblack", **keywords
    )
    return path


def micrometres(sign: str) -> str:
    """OME's sizes of pixels, with a sign for the micrometre."""
    return " ".join(
        f'PhysicalSize{axis}="{size}" PhysicalSize{axis}Unit="{sign}"'
        for axis, size in (("X", 0.1), ("Y", 0.1), ("Z", 0.4))
    )


def file_uuid(number: int) -> str:
    """An identity of an OME-TIFF."""
    return f"urn:uuid:00000000-0000-4000-8000-{number:012}"


def described_by_one_page(path: Path) -> Path:
    """A stack as ImageJ writes it beyond 4 GiB: one page, and all planes behind it."""
    imagej(path, PLANE, "unit=um", "spacing=0.4", planes=Z, byteorder=">")
    with tifffile.TiffFile(path) as file:
        start = file.pages.first.dataoffsets[0]
    head = path.read_bytes()[:start]
    path.write_bytes(head + STACK.astype(">u2").tobytes())
    return path


def interrupted_copy(path: Path) -> Path:
    """Half of a stack as ImageJ writes it: pages after the first lie behind all the pixels."""
    whole = described_by_one_page(path).read_bytes()
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.offset
    (tags,) = struct.unpack(">H", whole[at : at + 2])
    link = at + 2 + 12 * tags
    linked = whole[:link] + struct.pack(">I", len(whole)) + whole[link + 4 :]
    path.write_bytes(linked[: len(linked) // 2])
    return path


def pages(path: Path, images: Sequence[np.ndarray], **keywords: Any) -> Path:
    """A file of pages that nothing describes as a stack."""
    with tifffile.TiffWriter(path) as writer:
        for image in images:
            writer.write(
                image, metadata=None, contiguous=False, photometric="minisblack", **keywords
            )
    return path


def cut(path: Path, share: float) -> Path:
    """The first share of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def multiscales(
    axes: str,
    scale: Sequence[float],
    *,
    unit: str | None = "micrometer",
    translation: Sequence[float] | None = None,
) -> dict[str, Any]:
    """OME-Zarr's metadata of an image of one level."""
    kinds = {"t": "time", "c": "channel"}
    listed: list[dict[str, str]] = []
    for axis in axes:
        listed.append({"name": axis, "type": kinds.get(axis, "space")})
        if unit is not None and axis != "c":
            listed[-1]["unit"] = "second" if axis == "t" else unit
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(scale)}]
    if translation is not None:
        steps.append({"type": "translation", "translation": list(translation)})
    dataset = {"path": "0", "coordinateTransformations": steps}
    return {"multiscales": [{"version": "0.4", "axes": listed, "datasets": [dataset]}]}


def zarr_image(path: Path, image: np.ndarray, attributes: dict[str, Any]) -> Path:
    """A folder that is an OME-Zarr image of Zarr 2, or becomes one inside a larger Zarr."""
    group = zarr.open_group(str(path), mode="a", zarr_format=2)
    array = group.create_array("0", shape=image.shape, dtype=image.dtype, chunks=image.shape)
    array[...] = image
    group.attrs.update(attributes)
    return path


def plate(path: Path, wells: Sequence[str], fields: int = 1) -> Path:
    """A plate whose fields hold STACK, plus 1 for each field."""
    top = zarr.open_group(str(path), mode="w", zarr_format=2)
    rows = sorted({well.split("/")[0] for well in wells})
    columns = sorted({well.split("/")[1] for well in wells})
    top.attrs["plate"] = {
        "version": "0.4",
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in wells],
    }
    for number, well in enumerate(wells):
        group = top.require_group(well)
        group.attrs["well"] = {
            "version": "0.4",
            "images": [{"path": str(field)} for field in range(fields)],
        }
        for field in range(fields):
            image = STACK + np.uint16(number * fields + field)
            zarr_image(path / well / str(field), image, multiscales("zyx", (0.4, 0.1, 0.1)))
    return path


def zipped(path: Path, folder: Path, inside: str = "") -> Path:
    """A Zarr in an archive, its files below a folder of it if one is named."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return path


def attributes_of(path: Path) -> dict[str, Any]:
    """A Zarr 2 group's attributes."""
    said: dict[str, Any] = json.loads((path / ".zattrs").read_text("utf-8"))
    return said

"""TIFF images for the tests of the page, by tifffile, and what is in them as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.helpers.browser_restorations import write_restorations

SHAPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    # name: axes, element type, keywords of tifffile
    "plain8": ("yx", "uint8", {}),
    "plain16": ("yx", "uint16", {"resolution": (50000, 50000), "resolutionunit": "CENTIMETER"}),
    "float": ("yx", "float32", {}),
    "signed": ("yx", "int16", {}),
    "double": ("yx", "float64", {}),
    "big_endian": ("yx", "uint16", {"byteorder": ">"}),
    "lzw": ("zyx", "uint16", {"compression": "lzw", "predictor": True}),
    "deflate_tiles": ("zyx", "uint16", {"compression": "zlib", "tile": (16, 16)}),
    "zstd": ("yx", "float32", {"compression": "zstd"}),
    "imagej": ("tzcyx", "uint16", {"imagej": True}),
    "imagej_float": ("zyx", "float32", {"imagej": True}),
    "ome": ("tczyx", "uint16", {"ome": True}),
    "big": ("zyx", "uint16", {"bigtiff": True}),
}
SIZES = {"t": 3, "z": 4, "c": 2, "y": 37, "x": 21}


def written(folder: Path) -> dict[str, Any]:
    """Write the images; for each its sizes, sampling and some pixels."""
    rng = np.random.default_rng(5)
    facts: dict[str, Any] = {}
    for name, (axes, dtype, keywords) in SHAPES.items():
        shape = tuple(SIZES[axis] for axis in axes)
        values = rng.integers(0, 60000, shape) if "16" in dtype else rng.integers(0, 256, shape)
        image = (values - 30000 if dtype == "int16" else values).astype(dtype)
        if np.issubdtype(image.dtype, np.floating):
            image = (image / 7).astype(dtype)
        tifffile.imwrite(folder / f"{name}.tif", image, **_described(name, axes, keywords))
        facts[name] = _facts(image, axes)
    facts["one_directory"] = _one_directory(folder, rng)
    facts |= _otherwise_meant(folder, rng)
    _damaged(folder)
    damaged_lzw(folder)
    (folder / "broken.tif").write_bytes((folder / "imagej.tif").read_bytes()[:3000])
    (folder / "text.tif").write_text("not an image", "utf-8")
    return facts


def _described(name: str, axes: str, keywords: dict[str, Any]) -> dict[str, Any]:
    if keywords.get("imagej"):
        said = {"axes": axes.upper(), "spacing": 0.5, "unit": "um", "finterval": 2.5}
        return {**keywords, "resolution": (1 / 0.125, 1 / 0.125), "metadata": said}
    if keywords.get("ome"):
        said = {
            "axes": axes.upper(),
            "PhysicalSizeX": 125.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.125,
            "PhysicalSizeYUnit": "µm",
            "PhysicalSizeZ": 0.5,
            "Channel": {"Name": ["DAPI", "GFP"]},
        }
        return {**keywords, "metadata": said}
    return {**keywords, "photometric": "minisblack", "metadata": {"axes": axes.upper()}}


def _one_directory(folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    """ImageJ's form of stacks above 4 GB: a single directory, all planes behind it."""
    image = rng.integers(0, 60000, (4, 37, 21)).astype(">u2")
    path = folder / "one_directory.tif"
    said = {"axes": "ZYX", "unit": "um", "spacing": 0.5}
    tifffile.imwrite(
        path, image[:1], imagej=True, byteorder=">", metadata=said, resolution=(8.0, 8.0)
    )
    with tifffile.TiffFile(path) as file:
        start = file.pages.first.dataoffsets[0]
        text = file.pages.first.description
        place = file.pages.first.tags["ImageDescription"]
    longer = text.replace("images=1\n", "images=4\nslices=4\n").encode() + b"\0"
    data = bytearray(path.read_bytes()[:start]) + image.tobytes()
    at = len(data)
    data += longer
    data[place.offset + 4 : place.offset + 12] = len(longer).to_bytes(4, "big") + at.to_bytes(
        4, "big"
    )
    path.write_bytes(bytes(data))
    return _facts(image, "zyx")


def _otherwise_meant(folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Numbers that stand for others, as Fiji shows them, and planes that look like colours."""
    image = rng.integers(0, 60000, (4, 37, 21)).astype(np.uint16)
    said = {"axes": "ZYX"}
    tifffile.imwrite(
        folder / "white_is_zero.tif", 65535 - image, photometric="miniswhite", metadata=said
    )
    tifffile.imwrite(
        folder / "planes_as_colours.tif",
        image,
        photometric="rgb",
        planarconfig="separate",
        extrasamples=("unspecified",),
        metadata=said,
    )
    line = {**said, "cf": 0, "c0": -32768, "c1": 1}
    tifffile.imwrite(folder / "signed_imagej.tif", image, imagej=True, metadata=line)
    signed = (image.astype(np.int32) - 32768).astype(np.int16)
    return {
        "white_is_zero": _facts(image, "zyx"),
        "planes_as_colours": _facts(image, "zyx"),
        "signed_imagej": _facts(signed, "zyx"),
    }


def _damaged(folder: Path) -> None:
    """Directories in a circle, pages of two types, colours, bits, no columns, no deflate."""
    path = folder / "circle.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 9), np.uint16), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        first, last = file.pages.first.offset, file.pages[2].aspage()
        at = last.offset + 2 + 12 * len(last.tags)
    data = bytearray(path.read_bytes())
    data[at : at + 4] = first.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with tifffile.TiffWriter(folder / "two_types.tif") as writer:
        for dtype in (np.uint16, np.uint8):
            writer.write(np.full((8, 9), 7, dtype), metadata=None)
    tifffile.imwrite(folder / "colour.tif", np.ones((8, 9, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(folder / "single_bits.tif", np.ones((8, 9), bool), metadata=None)
    plane = np.ones((8, 9), np.uint16)
    for name, tag in (("no_columns", "ImageWidth"), ("no_deflate", "StripOffsets")):
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, plane, compression="zlib", metadata=None)
        with tifffile.TiffFile(path) as file:
            found = file.pages.first.tags[tag]
            at = found.valueoffset if tag == "ImageWidth" else found.value[0]
        data = bytearray(path.read_bytes())
        data[at : at + 4] = bytes(4)
        path.write_bytes(bytes(data))


def damaged_lzw(folder: Path) -> None:
    """LZW strips with codes of no table, with zeros from the middle on, and with an early end."""
    plane = np.random.default_rng(5).integers(0, 1000, (64, 64)).astype(np.uint16)
    path = folder / "lzw_whole.tif"
    tifffile.imwrite(path, plane, compression="lzw", metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        start, size = page.dataoffsets[0], page.databytecounts[0]
    whole, half = path.read_bytes(), size // 2
    damages = {
        "other_codes": whole[start : start + half] + bytes([0xFF, 0x55]) * (half // 2),
        "all_ones": b"\xff" * size,
        "zeros": whole[start : start + half] + bytes(size - half),
        "ended": b"\x80\x40\x40",
    }
    for name, strip in damages.items():
        data = bytearray(whole)
        data[start : start + len(strip)] = strip
        (folder / f"lzw_{name}.tif").write_bytes(data)


def _facts(image: np.ndarray[Any, Any], axes: str) -> dict[str, Any]:
    """Sizes, and of every plane the sum and first, a middle and last pixel."""
    order = [axes.index(axis) for axis in "tczyx" if axis in axes]
    full = image.transpose(order).reshape([SIZES[a] if a in axes else 1 for a in "tczyx"])
    planes = {
        f"{t}/{c}/{z}": [
            float(plane.astype(np.float64).sum()),
            *(float(plane[y, x]) for y, x in ((0, 0), (11, 20), (36, 20))),
        ]
        for t, c, z in np.ndindex(*full.shape[:3])
        for plane in [full[t, c, z]]
    }
    values = full[0, 0, 0].astype(np.float64)
    return {
        "sizes": dict(zip("tczyx", full.shape, strict=True)),
        "dtype": image.dtype.newbyteorder("=").name,
        "planes": planes,
        "percentiles": [float(np.percentile(values, p)) for p in (0, 0.5, 2, 50, 99.8, 100)],
        "histogram": np.histogram(values, 16, (values.min(), values.max()))[0].tolist(),
    }


if __name__ == "__main__":
    into = Path(sys.argv[1])
    (into / "facts.json").write_text(json.dumps(written(into)), "utf-8")
    write_restorations(into)

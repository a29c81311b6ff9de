"""Kinds of files that came out right when others did not, and must stay so, or stay refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from tests.helpers import microscope_files as files
from tests.helpers.microscope_files import PLANE, STACK, X, Y
from unifmir.errors import ImageError, MissingExtraError
from unifmir.images import open_source, whole_region

FIVE = np.random.default_rng(9).integers(100, 900, (2, 2, 3, Y, X), dtype=np.uint16)
"""(t, c, z, y, x)"""
SCALE = (0.4, 0.1, 0.1)


def everything(path: Path) -> np.ndarray:
    source = open_source(path)
    return source.read(whole_region(source.shape))


def test_a_hyperstack_of_imagej_keeps_all_that_it_says(tmp_path: Path) -> None:
    tables = [np.outer(rgb, np.arange(256)).astype(np.uint8) for rgb in ((0, 0, 1), (0, 1, 0))]
    metadata = {
        "axes": "TZCYX",
        "unit": "um",
        "spacing": 0.4,
        "finterval": 2.5,
        "mode": "composite",
        "Ranges": (100.0, 900.0, 90.0, 800.0),
        "LUTs": tables,
        "Labels": ["DAPI", "GFP"] * 6,
        "Info": "scope settings",
    }
    tifffile.imwrite(
        tmp_path / "a.tif",
        FIVE.swapaxes(1, 2),
        imagej=True,
        resolution=(10, 10),
        metadata=metadata,
    )
    info = open_source(tmp_path / "a.tif").info
    assert np.array_equal(everything(tmp_path / "a.tif"), FIVE)
    assert (info.axes, info.z_step_um, info.frame_interval_s) == ("tczyx", 0.4, 2.5)
    shown = [(channel.name, channel.color, channel.display) for channel in info.channels]
    assert shown == [("DAPI", "0000FF", (100.0, 900.0)), ("GFP", "00FF00", (90.0, 800.0))]
    assert info.provenance == ""


def test_planes_in_the_order_of_older_micro_manager_files_are_put_right(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    said = ["ImageJ=1.54f", "images=12", "channels=2", "slices=3", "frames=2"]
    text = "\n".join([*said, "hyperstack=true", "order=zct", "unit=um", "spacing=0.4"]) + "\n"
    tifffile.imwrite(
        path, FIVE.reshape(12, Y, X), metadata=None, description=text, resolution=(10, 10)
    )
    assert np.array_equal(everything(path), FIVE)


def test_an_order_of_dimensions_of_ome_is_followed(tmp_path: Path) -> None:
    sizes = f'SizeX="{X}" SizeY="{Y}" SizeZ="3" SizeC="2" SizeT="2"'
    said = files.micrometres("um") + ' TimeIncrement="500" TimeIncrementUnit="ms"'
    channels = ('Name="DAPI" Color="65535"', 'Name="GFP" Color="16711935"')
    text = files.ome_text(sizes, said=said, channels=channels).replace("XYZCT", "XYCTZ")
    path = files.ome(tmp_path / "a.ome.tif", FIVE.transpose(2, 0, 1, 3, 4), text)
    info = open_source(path).info
    assert np.array_equal(everything(path), FIVE)
    assert info.z_step_um == pytest.approx(0.4)
    assert info.frame_interval_s == 0.5
    shown = [(channel.name, channel.color) for channel in info.channels]
    assert shown == [("DAPI", "0000FF"), ("GFP", "00FF00")]


@pytest.mark.parametrize(
    "compression", ["lzw", "zlib", "zstd", "jpeg2000", "jpegxl", "packbits", "lerc", "lzma", "png"]
)
def test_compressions_without_loss_give_every_value(tmp_path: Path, compression: str) -> None:
    arguments: dict[str, Any] = {"jpeg2000": {"level": 0}, "jpegxl": {"lossless": True}}
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        tile=None if compression == "packbits" else (16, 16),
        compression=compression,
        compressionargs=arguments.get(compression),
        metadata={"axes": "ZYX"},
    )
    assert np.array_equal(everything(tmp_path / "a.tif")[0, 0], STACK)


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "uint8", "uint32", "float16", "float64", "bool"]
)
def test_every_type_of_pixels_is_read_as_it_is(tmp_path: Path, dtype: str) -> None:
    image = ((STACK.astype(np.int32) - 500) // 8).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", metadata={"axes": "ZYX"})
    found = everything(tmp_path / "a.tif")
    assert found.dtype == dtype
    assert np.array_equal(found[0, 0], image)


def palette(folder: Path) -> np.ndarray:
    image: np.ndarray = (PLANE // 4).astype(np.uint8)
    green = np.stack([np.zeros(256), np.arange(256) * 257, np.zeros(256)]).astype(np.uint16)
    keywords: dict[str, Any] = {"photometric": "palette", "colormap": green, "metadata": None}
    tifffile.imwrite(folder / "a.tif", image, **keywords)
    return image


def pyramid(folder: Path) -> np.ndarray:
    keywords: dict[str, Any] = {"tile": (16, 16), "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(folder / "a.tif") as writer:
        writer.write(PLANE, subifds=1, **keywords)
        writer.write(PLANE[::2, ::2], subfiletype=1, **keywords)
    whole: np.ndarray = PLANE
    return whole


def of_shape(shape: tuple[int, ...]) -> Callable[[Path], np.ndarray]:
    def make(folder: Path) -> np.ndarray:
        image = STACK[0, : shape[0], : shape[1]]
        tifffile.imwrite(folder / "a.tif", image)
        return image

    return make


def big_endian(folder: Path) -> np.ndarray:
    keywords: dict[str, Any] = {"byteorder": ">", "compression": "lzw", "predictor": True}
    tifffile.imwrite(folder / "a.tif", STACK, metadata={"axes": "ZYX"}, **keywords)
    return STACK


@pytest.mark.parametrize(
    "make",
    [palette, pyramid, big_endian, of_shape((1, 1)), of_shape((1, X)), of_shape((7, 5))],
)
def test_unusual_files_are_read_as_they_are(
    tmp_path: Path, make: Callable[[Path], np.ndarray]
) -> None:
    image = make(tmp_path)
    assert np.array_equal(everything(tmp_path / "a.tif").reshape(image.shape), image)


@pytest.mark.parametrize(("version", "sharded"), [(2, False), (3, False), (3, True)])
@pytest.mark.parametrize("separator", [".", "/"])
def test_chunks_of_zarr_are_found_however_they_are_filed(
    tmp_path: Path, version: Any, separator: Any, sharded: bool
) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    kind: Any = {"name": "v2" if version == 2 else "default", "separator": separator}
    array: Any = group.create_array(
        "s0",
        shape=STACK.shape,
        dtype=STACK.dtype,
        chunks=(3, 12, 16),
        chunk_key_encoding=kind,
        shards=STACK.shape if sharded else None,
    )
    array[...] = STACK
    said = files.multiscales("zyx", SCALE)
    said["multiscales"][0]["datasets"][0]["path"] = "s0"
    group.attrs.update(said if version == 2 else {"ome": said | {"version": "0.5"}})
    assert np.array_equal(everything(tmp_path / "a.zarr")[0, 0], STACK)
    assert open_source(tmp_path / "a.zarr").info.z_step_um == pytest.approx(0.4)


def test_axes_scales_and_channels_of_zarr_mean_what_they_say(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(FIVE[0].swapaxes(0, 1))
    said = files.multiscales("zcyx", (0.4, 1.0, 0.1, 0.1))
    window = {"start": 100, "end": 900, "min": 0, "max": 65535}
    channels = [{"label": "1", "color": "#0000ff", "window": window}, {"label": "GFP"}]
    said["omero"] = {"channels": channels}
    path = files.zarr_image(tmp_path / "a.zarr", planes, said)
    info = open_source(path).info
    assert np.array_equal(everything(path)[0], FIVE[0])
    assert info.channels[0].name == "1"
    assert (info.channels[0].color, info.channels[0].display) == ("0000FF", (100.0, 900.0))
    ones = files.multiscales("zyx", (1.0, 1.0, 1.0))
    scales = [{"type": "scale", "scale": list(SCALE)}]
    ones["multiscales"][0]["coordinateTransformations"] = scales
    info = open_source(files.zarr_image(tmp_path / "b.zarr", STACK, ones)).info
    assert info.pixel_size_um == pytest.approx((0.1, 0.1))


def test_a_chunk_that_is_missing_is_the_fill_value_and_a_damaged_one_refused(
    tmp_path: Path,
) -> None:
    path = files.zarr_image(tmp_path / "a.zarr", STACK, files.multiscales("zyx", SCALE))
    (chunk,) = (one for one in (path / "0").iterdir() if not one.name.startswith("."))
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:100])
    with pytest.raises(ImageError, match=r"a\.zarr: a chunk is no blosc data"):
        everything(path)
    chunk.unlink()
    assert not everything(path).any()


def planar_colour(folder: Path) -> Path:
    image = np.stack([PLANE.astype(np.uint8)] * 3)
    tifffile.imwrite(
        folder / "a.tif", image, photometric="rgb", planarconfig="separate", metadata=None
    )
    return folder / "a.tif"


def of_bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def complex_numbers(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", PLANE.astype(np.complex64))
    return folder / "a.tif"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (planar_colour, r"a\.tif: .*colour picture"),
        (complex_numbers, r"a\.tif: pixels are complex64"),
        (of_bytes("a.tif", b"II*\0\x08\0\0\0"), r"a\.tif: the TIFF file holds no image"),
        (of_bytes("a.tif", b""), r"a\.tif is empty"),
        (of_bytes("a.lsm", b"II*\0"), r"a\.lsm: \.lsm files need bioio"),
        (of_bytes("a.companion.ome", b"<?xml version='1.0'?><OME/>"), "is an XML file"),
    ],
)
def test_what_was_refused_clearly_stays_refused(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    with pytest.raises((ImageError, MissingExtraError), match=reason):
        open_source(make(tmp_path))

"""TIFF files by regions: every way pixels lie in them, and what they say beside the pixels."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unifmir.errors import ImageError
from unifmir.images import Channel, ImageInfo, create_sink, open_source, whole_region

RNG = np.random.default_rng(3)
FIVE = RNG.integers(0, 60000, (2, 3, 4, 45, 70), dtype=np.uint16)
"""(T, C, Z, Y, X)"""
PART = (slice(1, 2), slice(1, 3), slice(2, 4), slice(7, 40), slice(11, 66))


def write(path: Path, axes: str, **keywords: Any) -> np.ndarray:
    """Write the axes named of FIVE with tifffile; what a source should give, five axes."""
    index = tuple(slice(None) if axis in axes else slice(0, 1) for axis in "TCZYX")
    expected = FIVE[index]
    kept = [axis for axis in "TCZYX" if axis in axes]
    image = expected.squeeze(tuple(i for i, axis in enumerate("TCZYX") if axis not in axes))
    image = image.transpose([kept.index(axis) for axis in axes])
    metadata = {"axes": axes} | keywords.pop("metadata", {})
    tifffile.imwrite(path, image, metadata=metadata, photometric="minisblack", **keywords)
    return expected


def within(region: tuple[slice, ...], shape: tuple[int, ...]) -> Any:
    """A region cut to an image, and moved to its start along axes of length 1."""
    return tuple(
        slice(0, 1) if n == 1 else slice(s.start, min(s.stop, n))
        for s, n in zip(region, shape, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "axes", "keywords"),
    [
        ("imagej.tif", "TZCYX", {"imagej": True}),
        ("stack.tif", "ZYX", {"imagej": True}),
        ("o.ome.tif", "TCZYX", {"ome": True}),
        ("order.ome.tif", "CTZYX", {"ome": True}),
        ("shaped.tif", "TCZYX", {}),
        ("big.tif", "ZYX", {"bigtiff": True, "byteorder": ">"}),
        ("strips.tif", "CZYX", {"rowsperstrip": 7, "compression": "lzw"}),
        ("tiles.tif", "ZYX", {"tile": (16, 32), "compression": "zlib", "predictor": 2}),
        ("tiled.ome.tif", "TCYX", {"tile": (32, 16), "ome": True, "byteorder": ">"}),
        ("zstd.tif", "YX", {"compression": "zstd"}),
        ("plain-tiles.tif", "TYX", {"tile": (16, 16)}),
    ],
)
def test_a_region_is_that_of_the_whole_image(
    tmp_path: Path, name: str, axes: str, keywords: dict[str, Any]
) -> None:
    path = tmp_path / name
    expected = write(path, axes, **keywords)
    source = open_source(path)
    assert source.shape == expected.shape
    assert source.dtype == np.uint16
    assert source.info.axes == "".join(a for a in "tczyx" if a.upper() in axes)
    region = within(PART, expected.shape)
    for _ in range(2):  # the second time from what was kept
        found = source.read(region)
        assert found.dtype == np.uint16
        assert found.dtype.isnative
        assert np.array_equal(found, expected[region])
    assert np.array_equal(source.read(whole_region(source.shape)), expected)
    source.close()


def test_only_the_tiles_of_a_region_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "tiles.tif"
    write(path, "ZYX", tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages[2]
        spoilt = [n for n in range(len(page.dataoffsets)) if n != 6]  # 5 tiles a row: row 1
        places = [(page.dataoffsets[n], page.databytecounts[n]) for n in spoilt]
    data = bytearray(path.read_bytes())
    for offset, count in places:
        data[offset : offset + count] = b"\xff" * count
    path.write_bytes(data)
    source = open_source(path)
    good = (slice(0, 1), slice(0, 1), slice(2, 3), slice(16, 32), slice(16, 32))
    assert np.array_equal(source.read(good), FIVE[:1, :1, 2:3, 16:32, 16:32])
    with pytest.raises(ImageError, match=r"tiles\.tif: the image cannot be read"):
        source.read((*good[:3], slice(0, 32), slice(16, 32)))


def test_full_resolution_is_read_of_a_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(FIVE[0, 0], subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
        writer.write(FIVE[0, 0, :, ::2, ::2], subfiletype=1, tile=(16, 16))
    assert open_source(path).shape == (1, 1, 4, 45, 70)


def test_tiles_left_out_of_a_file_are_zero(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    image = np.zeros((64, 64), np.uint8)
    image[:16, :16] = 7
    with tifffile.TiffWriter(path) as writer:
        tiles = iter([image[:16, :16], *[None] * 15])
        writer.write(tiles, shape=image.shape, dtype="u1", tile=(16, 16), compression="zlib")
    source = open_source(path)
    assert np.array_equal(source.read(whole_region(source.shape))[0, 0, 0], image)


def test_an_imagej_stack_beyond_4_gib_is_read_though_only_one_page_is_described(
    tmp_path: Path,
) -> None:
    # ImageJ describes the first plane of such stacks only, and the rest follows it: 65 planes
    # of 64 MiB, as a sparse file.
    path = tmp_path / "large.tif"
    side, planes = 8192, 65
    description = f"ImageJ=1.54f\nimages={planes}\nslices={planes}\nunit=um\nspacing=0.5\n"
    tifffile.imwrite(
        path, shape=(side, side), dtype=np.uint8, description=description, metadata=None
    )
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[0]
    with path.open("rb+") as raw:
        raw.truncate(offset + planes * side * side)
        raw.seek(offset + 64 * side * side + 5 * side + 9)
        raw.write(b"\x2a")
    source = open_source(path)
    assert source.shape == (1, 1, planes, side, side)
    assert source.info.z_step_um == 0.5
    corner = source.read((slice(0, 1), slice(0, 1), slice(64, 65), slice(5, 7), slice(9, 11)))
    assert corner.ravel().tolist() == [42, 0, 0, 0]


def test_an_ome_image_spread_over_two_files_is_read(tmp_path: Path) -> None:
    planes = FIVE[0, 0, :2]
    pieces = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{z}.ome.tif">'
        f"urn:uuid:0000000{z}-0000-0000-0000-000000000000</UUID></TiffData>"
        for z in range(2)
    )
    for z, plane in enumerate(planes):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{z}-0000-0000-0000-000000000000"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="70" SizeY="45" '
            'SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{pieces}</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / f"{z}.ome.tif", plane, description=xml, metadata=None)
    source = open_source(tmp_path / "0.ome.tif")
    assert np.array_equal(source.read(whole_region(source.shape))[0, 0], planes)
    (tmp_path / "1.ome.tif").unlink()
    with pytest.raises(ImageError, match=r"planes are missing"):
        open_source(tmp_path / "0.ome.tif")


def test_the_user_names_the_axes_of_a_file_that_does_not(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in FIVE[0, 0]:
            writer.write(plane, contiguous=True, metadata=None)
    assert open_source(path).info.axes == "zyx"
    assert open_source(path, axes="TYX").shape == (4, 1, 1, 45, 70)
    with pytest.raises(ImageError, match=r"axes ZTYX do not fit its shape 4x45x70: expected 3"):
        open_source(path, axes="ZTYX")
    with pytest.raises(ImageError, match="once at most"):
        open_source(path, axes="YYX")


def test_one_of_several_images_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for plane, size in zip(FIVE[0, 0], (0.1, 0.2), strict=False):
            writer.write(plane, metadata={"axes": "YX", "PhysicalSizeX": size})
    with pytest.raises(ImageError, match=r"holds 2 images.*--series 0 to 1"):
        open_source(path)
    second = open_source(path, series=1)
    assert np.array_equal(second.read(whole_region(second.shape))[0, 0, 0], FIVE[0, 0, 1])
    assert second.info.pixel_size_um == (None, 0.2)
    with pytest.raises(ImageError, match="no image number 2"):
        open_source(path, series=2)


@pytest.mark.parametrize("imagej", [True, False])
def test_what_a_file_says_beside_its_pixels_is_read(tmp_path: Path, imagej: bool) -> None:
    path = tmp_path / "said.tif"
    if imagej:
        metadata = {
            "unit": "nm",
            "spacing": 300.0,
            "finterval": 2.5,
            "Ranges": (10.0, 900.0, 0.0, 1.5, 5.0, 6.0),
            "LUTs": [np.outer(rgb, np.arange(256)).astype(np.uint8) for rgb in np.eye(3)],
            "Labels": ["DAPI", "GFP", "RFP"] * 8,
        }
        resolution = (1 / 65.0, 1 / 130.0)
        write(path, "TZCYX", imagej=True, metadata=metadata, resolution=resolution)
        displays: list[Any] = [(10.0, 900.0), (0.0, 1.5), (5.0, 6.0)]
    else:
        metadata = {
            "PhysicalSizeX": 65.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.13,
            "PhysicalSizeZ": 3e-4,
            "PhysicalSizeZUnit": "mm",
            "TimeIncrement": 2500,
            "TimeIncrementUnit": "ms",
            "Channel": {"Name": ["DAPI", "GFP", "RFP"], "Color": [-16776961, 16711935, 65535]},
        }
        write(path, "TCZYX", ome=True, metadata=metadata)
        displays = [None] * 3
    info = open_source(path).info
    assert info.pixel_size_um == pytest.approx((0.13, 0.065))
    assert info.z_step_um == pytest.approx(0.3)
    assert info.frame_interval_s == pytest.approx(2.5)
    colors = ["FF0000", "00FF00", "0000FF"]
    said = zip(["DAPI", "GFP", "RFP"], colors, displays, strict=True)
    assert info.channels == tuple(Channel(*one) for one in said)


def test_labels_of_planes_are_not_names_of_channels(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    write(path, "ZYX", imagej=True, metadata={"Labels": [f"z:{n}/4 - a.tif" for n in range(4)]})
    assert open_source(path).info.channels == ()


def test_a_source_goes_to_another_process_and_reads_there(tmp_path: Path) -> None:
    path = tmp_path / "tiles.tif"
    expected = write(path, "ZYX", tile=(16, 16), compression="zlib")
    source = open_source(path)
    source.read(whole_region(source.shape))
    copy = pickle.loads(pickle.dumps(source))
    assert np.array_equal(copy.read(whole_region(copy.shape)), expected)
    assert copy.info == source.info


@pytest.mark.parametrize(
    "region",
    [
        (slice(0, 1), slice(0, 1), slice(0, 1), slice(0, 46), slice(0, 70)),
        (slice(0, 1), slice(0, 1), slice(0, 1), slice(5, 5), slice(0, 70)),
        (slice(0, 1), slice(0, 1), slice(0, 1), slice(-5, 5), slice(0, 70)),
        (slice(0, 1), slice(0, 1), slice(0, 1), slice(0, 45, 2), slice(0, 70)),
    ],
)
def test_a_region_beyond_the_image_is_refused(tmp_path: Path, region: Any) -> None:
    write(tmp_path / "a.tif", "YX")
    with pytest.raises(ImageError, match="does not lie in the image of 1x1x1x45x70"):
        open_source(tmp_path / "a.tif").read(region)


INFO = ImageInfo(
    name="cells",
    axes="tczyx",
    pixel_size_um=(0.13, 0.065),
    z_step_um=0.3,
    frame_interval_s=2.5,
    channels=(
        Channel("DAPI", "0000FF", (10.0, 900.0)),
        Channel("GFP", "00FF00", (0.0, 1500.0)),
        Channel("RFP", "FF0000", (5.0, 60.0)),
    ),
)


def written(path: Path, image: np.ndarray, info: ImageInfo) -> Path:
    shape: Any = image.shape
    sink = create_sink(path, shape, image.dtype, info)
    sink.write(whole_region(shape), image)
    sink.publish()
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_hyperstack_opens_in_imagej_with_all_it_can_say(tmp_path: Path, dtype: type) -> None:
    image: np.ndarray = (FIVE // 300).astype(dtype)
    path = written(tmp_path / "out.tif", image, INFO)
    with tifffile.TiffFile(path) as file:
        # What ImageJ asks for: its own description, planes in one block in the order C, Z, T,
        # big-endian metadata, unit and resolution; tifffile's parser follows its rules.
        said = file.imagej_metadata
        assert said is not None
        assert (said["images"], said["channels"], said["slices"], said["frames"]) == (24, 3, 4, 2)
        assert said["hyperstack"] is True
        assert said["mode"] == "composite"
        assert (said["unit"], said["spacing"], said["finterval"]) == ("um", 0.3, 2.5)
        assert (said["min"], said["max"]) == (10.0, 900.0)
        assert tuple(said["Ranges"]) == (10, 900, 0, 1500, 5, 60)
        assert said["Labels"] == ["DAPI", "GFP", "RFP"] * 8
        assert [table[:, 255].tolist() for table in said["LUTs"]] == np.eye(3)[::-1].dot(
            255
        ).tolist()
        assert file.series[0].axes == "TZCYX"
        assert file.series[0].dataoffset is not None
        assert not file.is_bigtiff
        assert np.array_equal(file.asarray(), image.swapaxes(1, 2))
    found = open_source(path).info
    assert found.pixel_size_um == pytest.approx((0.13, 0.065))
    assert found.channels == INFO.channels
    assert (found.z_step_um, found.frame_interval_s) == (0.3, 2.5)


def test_what_imagej_cannot_hold_becomes_an_ome_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unifmir.images.tiff_output._IMAGEJ_BYTES", 1000)
    path = written(tmp_path / "out.tif", FIVE, INFO)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert file.is_ome
        assert np.array_equal(file.asarray(), FIVE.swapaxes(1, 2))
    found = open_source(path).info
    assert found.pixel_size_um == (0.13, 0.065)
    assert (found.z_step_um, found.frame_interval_s) == (0.3, 2.5)
    assert [(c.name, c.color) for c in found.channels] == [(c.name, c.color) for c in INFO.channels]


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float64])
def test_pixel_types_that_imagej_lacks_are_written_as_ome(tmp_path: Path, dtype: type) -> None:
    path = written(tmp_path / "out.tif", FIVE.astype(dtype), INFO)
    source = open_source(path)
    assert source.dtype == dtype
    assert np.array_equal(source.read(whole_region(source.shape)), FIVE.astype(dtype))


def test_only_the_axes_an_image_has_are_written(tmp_path: Path) -> None:
    info = ImageInfo("plane", "yx", (0.1, 0.1), z_step_um=0.3, frame_interval_s=1.0)
    path = written(tmp_path / "plane.tif", FIVE[:1, :1, :1], info)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "YX"
        assert not {"spacing", "finterval", "slices"} & set(file.imagej_metadata or ())


def test_large_planes_lie_in_strips_that_bio_formats_can_read(tmp_path: Path) -> None:
    shape = (1, 1, 1, 3000, 2000)
    sink = create_sink(tmp_path / "a.ome.tif", shape, np.dtype("f4"), ImageInfo("a", "yx"))
    sink.publish()
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        page = file.pages.first
        assert max(page.databytecounts) <= 2**20
        assert sum(page.databytecounts) == 3000 * 2000 * 4


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float16])
def test_pixel_types_without_a_reader_are_refused(tmp_path: Path, dtype: type) -> None:
    with pytest.raises(ImageError, match=r"out\.tif: TIFF files of .* are not opened by Fiji"):
        create_sink(tmp_path / "out.tif", FIVE.shape, np.dtype(dtype), INFO)
    assert list(tmp_path.iterdir()) == []

"""Kinds of files that people report trouble with: what is read of each, or why it is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.helpers import microscope_files as files
from tests.helpers.microscope_files import PLANE, STACK, X, Y, Z
from unifmir.errors import ImageError
from unifmir.images import ImageInfo, create_sink, open_source, whole_region
from unifmir.images.base import Source

Make = Callable[[Path], Path]


def intensities(source: Source) -> np.ndarray:
    """Everything, without axes of length 1."""
    return source.read(whole_region(source.shape)).squeeze()


def imagej(*said: str, image: np.ndarray = STACK, **keywords: Any) -> Make:
    return lambda folder: files.imagej(folder / "a.tif", image, *said, **keywords)


def ome(text: str, **keywords: Any) -> Make:
    return lambda folder: files.ome(folder / "a.ome.tif", STACK, text, **keywords)


def plain(image: np.ndarray, **keywords: Any) -> Make:
    def make(folder: Path) -> Path:
        tifffile.imwrite(folder / "a.tif", image, **({"metadata": None} | keywords))
        return folder / "a.tif"

    return make


def zarr_image(scale: tuple[float, ...], **keywords: Any) -> Make:
    said = files.multiscales("zyx", scale, **keywords)
    return lambda folder: files.zarr_image(folder / "a.ome.zarr", STACK, said)


SIZES: dict[str, tuple[Make, float | None, float | None]] = {
    "ImageJ counts planes downwards": (imagej("unit=micron", "spacing=-0.4"), 0.1, 0.4),
    "micro escaped": (imagej("unit=\\\\u00B5m", "spacing=0.4"), 0.1, 0.4),
    "micro in Latin-1": (imagej("unit=\u00b5m", "spacing=0.4", encoding="latin-1"), 0.1, 0.4),
    "micro in UTF-8": (imagej("unit=\u00b5m", "spacing=0.4"), 0.1, 0.4),
    "micro misread once": (imagej("unit=\u00c2\u00b5m", "spacing=0.4"), 0.1, 0.4),
    "micro misread twice": (imagej("unit=\u00c3\u0082\u00c2\u00b5m", "spacing=0.4"), 0.1, 0.4),
    "mu misread": (imagej("unit=\u00ce\u00bcm", "spacing=0.4"), 0.1, 0.4),
    "micro replaced": (imagej("unit=\ufffdm", "spacing=0.4"), 0.1, 0.4),
    "nm, planes in um": (
        imagej("unit=nm", "zunit=micron", "spacing=0.4", resolution=(0.01, 0.01)),
        0.1,
        0.4,
    ),
    "millimetre": (imagej("unit=mm", "spacing=0.0004", resolution=(1e4, 1e4)), 0.1, 0.4),
    "OME, Latin-1 bytes": (
        lambda folder: files.ome(
            folder / "a.ome.tif",
            STACK,
            files.ome_text(said=files.micrometres("\u00b5m")).encode("latin-1"),
        ),
        0.1,
        0.4,
    ),
    "OME, question mark": (ome(files.ome_text(said=files.micrometres("?m"))), 0.1, 0.4),
    "OME, misread": (ome(files.ome_text(said=files.micrometres("\u00c2\u00b5m"))), 0.1, 0.4),
    "OME, Greek mu": (ome(files.ome_text(said=files.micrometres("\u03bcm"))), 0.1, 0.4),
    "OME, a nanometre stays one": (ome(files.ome_text(said=files.micrometres("nm"))), 1e-4, 4e-4),
    "pixels per centimetre": (
        plain(STACK, resolution=(1e5, 1e5), resolutionunit="CENTIMETER"),
        0.1,
        None,
    ),
    "pixels per inch": (plain(PLANE, resolution=(254e3, 254e3), resolutionunit="INCH"), 0.1, None),
    "dots of a print": (plain(PLANE, resolution=(300, 300), resolutionunit="INCH"), None, None),
    "dots of a screen": (
        plain(PLANE, resolution=(28.35, 28.35), resolutionunit="CENTIMETER"),
        None,
        None,
    ),
    "OME-Zarr in nanometres": (zarr_image((400, 100, 100), unit="nanometer"), 0.1, 0.4),
    "OME-Zarr, misread": (zarr_image((0.4, 0.1, 0.1), unit="\u00c2\u00b5m"), 0.1, 0.4),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_are_understood_in_whatever_units_they_are_said(tmp_path: Path, case: str) -> None:
    make, lateral, axial = SIZES[case]
    info = open_source(make(tmp_path)).info
    assert info.pixel_size_um == (
        (lateral, lateral) if lateral is None else pytest.approx((lateral, lateral), rel=1e-4)
    )
    assert info.z_step_um == (axial if axial is None else pytest.approx(axial, rel=1e-4))


def of_two_pages_in_one(folder: Path) -> Path:
    return files.cut(files.described_by_one_page(folder / "a.tif"), 0.6)


def four_of_six(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "a.tif") as writer:
        for number, plane in enumerate(STACK[:4]):
            said = f"ImageJ=1.54f\nimages={Z}\nslices={Z}\n" if number == 0 else None
            writer.write(plane, metadata=None, description=said, contiguous=False)
    return folder / "a.tif"


def compressed(folder: Path) -> Path:
    tifffile.imwrite(
        folder / "a.tif", STACK, compression="zlib", predictor=True, metadata={"axes": "ZYX"}
    )
    return files.cut(folder / "a.tif", 2 / 3)


def fewer_ome_planes(folder: Path) -> Path:
    return files.ome(folder / "a.ome.tif", STACK[:4], files.ome_text())


CUT: dict[str, tuple[Make, str]] = {
    "a copy that stopped": (
        lambda folder: files.interrupted_copy(folder / "a.tif"),
        "says 6 planes, and 1 is there",
    ),
    "one page described, the disk was full": (of_two_pages_in_one, "says 6 planes, and 1 is there"),
    "four pages of six": (four_of_six, "says 6 planes, and 4 are there"),
    "compressed": (compressed, r"says 6 planes, and [1-5] (is|are) there"),
    "OME": (fewer_ome_planes, "says 6 planes, and 4 are there"),
    "pages that nothing describes": (
        lambda folder: files.cut(files.pages(folder / "a.tif", list(STACK)), 0.6),
        r"of its \d+ bytes [1-5] whole planes can be read",
    ),
    "one plane": (
        lambda folder: files.cut(plain(PLANE)(folder), 0.8),
        r"cut short: \d+ bytes, but pixels",
    ),
}


@pytest.mark.parametrize("case", CUT)
def test_a_stack_that_is_cut_short_is_refused_with_both_numbers(tmp_path: Path, case: str) -> None:
    make, told = CUT[case]
    with pytest.raises(ImageError, match=told) as refused:
        open_source(make(tmp_path))
    assert str(refused.value).startswith(("a.tif: ", "a.ome.tif: "))
    assert "Copy or download it again" in str(refused.value)


def test_a_whole_stack_that_one_page_describes_is_read(tmp_path: Path) -> None:
    source = open_source(files.described_by_one_page(tmp_path / "a.tif"))
    assert np.array_equal(intensities(source), STACK)
    assert source.info.z_step_um == 0.4


def companion(folder: Path) -> Path:
    first, second = file_pair = (files.file_uuid(1), files.file_uuid(2))
    data = f'<TiffData IFD="0" PlaneCount="6"><UUID FileName="a.ome.tif">{second}</UUID></TiffData>'
    text = files.ome_text(
        f'SizeX="{X}" SizeY="{Y}" SizeZ="3" SizeC="2" SizeT="1"',
        said=files.micrometres("um"),
        channels=('Name="DAPI"', 'Name="GFP"'),
        data=data,
        identity=f'UUID="{first}"',
    )
    (folder / "a.companion.ome").write_text(text, encoding="utf-8")
    points = (
        f'<OME xmlns="{files.OME}" UUID="{second}"><BinaryOnly MetadataFile="a.companion.ome" '
        f'UUID="{file_pair[0]}"/></OME>'
    )
    return files.ome(folder / "a.ome.tif", STACK, points)


def test_ome_metadata_in_a_companion_are_followed(tmp_path: Path) -> None:
    source = open_source(companion(tmp_path))
    assert (source.info.axes, source.shape) == ("czyx", (1, 2, 3, Y, X))
    assert np.array_equal(intensities(source), STACK.reshape(2, 3, Y, X))
    assert [channel.name for channel in source.info.channels] == ["DAPI", "GFP"]
    assert source.info.z_step_um == pytest.approx(0.4)


def test_a_companion_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    path = companion(tmp_path)
    (tmp_path / "a.companion.ome").write_text(f'<OME xmlns="{files.OME}"/>')
    with pytest.raises(ImageError, match=r"a\.companion\.ome, which describes no image"):
        open_source(path)
    (tmp_path / "a.companion.ome").unlink()
    with pytest.raises(ImageError, match=r"another file, a\.companion\.ome, .* not beside it"):
        open_source(path)


@pytest.mark.parametrize("identity", ["", f'UUID="{files.file_uuid(7)}"'])
def test_a_file_that_was_renamed_is_read_with_its_metadata(tmp_path: Path, identity: str) -> None:
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z}" PlaneCount="1"><UUID FileName="old_name.ome.tif">'
        f"{files.file_uuid(7)}</UUID></TiffData>"
        for z in range(Z)
    )
    text = files.ome_text(said=files.micrometres("um"), data=data, identity=identity)
    source = open_source(files.ome(tmp_path / "new.ome.tif", STACK, text))
    assert np.array_equal(intensities(source), STACK)
    assert source.info.z_step_um == pytest.approx(0.4)


def test_ome_metadata_that_do_not_fit_are_not_guessed_around(tmp_path: Path) -> None:
    text = files.ome_text(f'SizeX="{X + 1}" SizeY="{Y}" SizeZ="{Z}" SizeC="1" SizeT="1"')
    path = files.ome(tmp_path / "a.ome.tif", STACK, text)
    with pytest.raises(ImageError, match=r"OME metadata do not fit its planes.*--axes"):
        open_source(path)
    assert np.array_equal(intensities(open_source(path, axes="zyx")), STACK)


def test_sizes_are_those_of_the_image_whose_planes_are_here(tmp_path: Path) -> None:
    sizes = f'SizeX="{X}" SizeY="{Y}" SizeZ="{Z}" SizeC="1" SizeT="1"'
    images = "".join(
        f'<Image ID="Image:{n}" Name="{name}"><Pixels ID="Pixels:{n}" DimensionOrder="XYZCT" '
        f'Type="uint16" {sizes} PhysicalSizeX="{size}" PhysicalSizeY="{size}">'
        f'<Channel ID="Channel:{n}:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="{Z}">'
        f'<UUID FileName="{name}.ome.tif">{files.file_uuid(n)}</UUID></TiffData></Pixels></Image>'
        for n, (name, size) in enumerate([("elsewhere", 0.5), ("here", 0.1)])
    )
    text = f'<OME xmlns="{files.OME}" UUID="{files.file_uuid(1)}">{images}</OME>'
    source = open_source(files.ome(tmp_path / "here.ome.tif", STACK, text))
    assert np.array_equal(intensities(source), STACK)
    assert source.info.pixel_size_um == (0.1, 0.1)


def test_images_of_other_shapes_are_named_and_chosen(tmp_path: Path) -> None:
    path = files.pages(tmp_path / "a.tif", [PLANE[:16, :20], *STACK[1:3]])
    told = r"0: 16x20 with axes YX, 1: 2x24x32 with axes IYX\); choose one \(--series 0 to 1"
    with pytest.raises(ImageError, match=told):
        open_source(path)
    assert np.array_equal(intensities(open_source(path, series=0)), PLANE[:16, :20])
    assert np.array_equal(intensities(open_source(path, series=1)), STACK[1:3])


def test_a_reduced_copy_is_no_image_of_its_own(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANE, metadata=None)
        writer.write(PLANE[::2, ::2], metadata=None, subfiletype=1)
    assert np.array_equal(intensities(open_source(tmp_path / "a.tif")), PLANE)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ((PLANE // 4).astype(np.uint8), lambda v: 255 - v),
        (PLANE, lambda v: 65535 - v),
        (PLANE > 400, np.logical_not),
    ],
)
def test_where_white_is_zero_intensities_are_those_that_are_shown(
    tmp_path: Path, stored: np.ndarray, shown: Callable[[np.ndarray], np.ndarray]
) -> None:
    source = open_source(plain(stored, photometric="miniswhite", rowsperstrip=5)(tmp_path))
    assert source.dtype == stored.dtype
    assert np.array_equal(intensities(source), shown(stored))
    tiled = open_source(
        plain(stored, photometric="miniswhite", tile=(16, 16), compression="zlib")(tmp_path)
    )
    assert np.array_equal(intensities(tiled), shown(stored))


def test_white_is_no_zero_of_signed_numbers(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.tif: .*int16 and white is said to be zero"):
        open_source(plain(PLANE.astype(np.int16), photometric="miniswhite")(tmp_path))


def test_signed_16_bit_of_imagej_is_what_fiji_shows(tmp_path: Path) -> None:
    signed = PLANE.astype(np.int16) - 500
    stored = (signed.astype(np.int32) + 32768).astype(np.uint16)
    calibration = ("cf=0", "c0=-32768.0", "c1=1.0", "min=32368.0", "max=33168.0")
    source = open_source(imagej(*calibration, image=stored)(tmp_path))
    assert source.dtype == np.int16
    assert np.array_equal(intensities(source), signed)
    assert source.info.channels[0].display == (-400.0, 400.0)


def test_other_calibrations_leave_the_numbers(tmp_path: Path) -> None:
    source = open_source(imagej("cf=0", "c0=-10.0", "c1=2.0", image=PLANE)(tmp_path))
    assert np.array_equal(intensities(source), PLANE)


def test_samples_that_are_channels_are_told_by_axes(tmp_path: Path) -> None:
    two = np.stack([PLANE, PLANE[::-1]], axis=-1)
    path = plain(two, photometric="minisblack", planarconfig="contig")(tmp_path)
    with pytest.raises(ImageError, match=r"2 samples each: .*channels, say so \(--axes yxc\)"):
        open_source(path)
    source = open_source(path, axes="yxc")
    assert (source.info.axes, source.shape) == ("cyx", (1, 2, 1, Y, X))
    assert np.array_equal(intensities(source), np.moveaxis(two, -1, 0))
    colour = np.stack([PLANE.astype(np.uint8)] * 3, axis=-1)
    with pytest.raises(ImageError, match=r"colour picture: convert it to grey .*--axes yxc"):
        open_source(plain(colour, photometric="rgb")(tmp_path))


@pytest.mark.parametrize(
    ("make", "unitless"),
    [
        (zarr_image((0.4, 0.1, 0.1), unit=None), (None, 0.4, 0.1, 0.1)),
        (imagej("spacing=0.4"), (None, 0.4, 0.1, 0.1)),
        (imagej("unit=pixel", "spacing=4", resolution=(1.0, 1.0)), (None, 4.0, None, None)),
        # Ones without a unit are what is written where nothing is known.
        (zarr_image((1.0, 1.0, 1.0), unit=None), (None, None, None, None)),
        (imagej(resolution=(1.0, 1.0)), (None, None, None, None)),
    ],
)
def test_distances_without_a_unit_are_kept_as_they_are(
    tmp_path: Path, make: Make, unitless: tuple[float | None, ...]
) -> None:
    info = open_source(make(tmp_path)).info
    assert info.pixel_size_um == (None, None)
    assert info.z_step_um is None
    assert info.unitless == unitless


@pytest.mark.parametrize(
    ("make", "origin"),
    [
        (zarr_image((0.4, 0.1, 0.1), translation=(2.0, 10.0, 20.0)), (None, 2.0, 10.0, 20.0)),
        (
            zarr_image((400, 100, 100), unit="nanometer", translation=(2e3, -1e4, 0)),
            (None, 2.0, -10.0, 0.0),
        ),
        (
            zarr_image((0.4, 0.1, 0.1), unit=None, translation=(2.0, 10.0, 20.0)),
            (None, 2.0, 10.0, 20.0),
        ),
        (zarr_image((0.4, 0.1, 0.1)), (None, None, None, None)),
    ],
)
def test_the_place_of_an_image_is_kept(
    tmp_path: Path, make: Make, origin: tuple[float | None, ...]
) -> None:
    assert open_source(make(tmp_path)).info.origin == (
        origin if origin[1] is None else pytest.approx(origin)
    )


def test_what_is_known_of_an_image_comes_back_from_every_format(tmp_path: Path) -> None:

    said = '{"model": "a", "task": "sr"}'
    placed = ImageInfo(
        "a", "zyx", unitless=(None, 0.4, 0.1, 0.1), origin=(None, 2.0, 10.0, 20.0), provenance=said
    )
    for name in ("a.tif", "a.ome.tif", "a.ome.zarr"):
        shape = (1, 1, Z, Y, X)
        sink = create_sink(tmp_path / name, shape, STACK.dtype, placed)
        sink.write(whole_region(shape), STACK[None, None])
        sink.publish()
        found = open_source(tmp_path / name).info
        assert found.unitless == pytest.approx(placed.unitless), name
        assert found.provenance == said, name
        assert found.origin == pytest.approx(placed.origin), name


@pytest.mark.parametrize("shape", [(1, 1, Z, Y, X), (1, 2, 3, Y, X)])
def test_a_display_range_that_nobody_gave_is_that_of_the_values(tmp_path: Path, shape: Any) -> None:

    values = STACK.reshape(shape).astype(np.float32) - 1000
    axes = "zyx" if shape[1] == 1 else "czyx"
    sink = create_sink(tmp_path / "a.tif", shape, values.dtype, ImageInfo("a", axes))
    sink.write(whole_region(shape), values)
    sink.publish()
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        said = file.imagej_metadata or {}
    expected = [(float(one.min()), float(one.max())) for one in values[0]]
    assert (said["min"], said["max"]) == expected[0]
    assert tuple(said["Ranges"]) == tuple(value for pair in expected for value in pair)
    source = open_source(tmp_path / "a.tif")
    assert [channel.display for channel in source.info.channels] == expected
    assert np.array_equal(source.read(whole_region(shape)), values)

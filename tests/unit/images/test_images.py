"""unifmir.images: what is read, what is refused and in which words, and what is written."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from unifmir.errors import ImageError
from unifmir.images import read_image, read_image_file, write_tiff

RNG = np.random.default_rng(11)
PLANE = RNG.integers(0, 60000, (21, 34), dtype=np.uint16)
STACK = RNG.integers(0, 60000, (5, 21, 34), dtype=np.uint16)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64]
)
def test_plain_tiffs_of_every_pixel_type_are_read(tmp_path: Path, dtype: type) -> None:
    image: np.ndarray = (PLANE // 300).astype(dtype)
    tifffile.imwrite(tmp_path / "plane.tif", image)
    found = read_image(tmp_path / "plane.tif", "yx")
    assert found.dtype == np.float32
    assert np.array_equal(found, image)


def test_compressed_and_tiled_tiffs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    tifffile.imwrite(path, PLANE, compression="zlib", predictor=2, tile=(16, 16))
    assert np.array_equal(read_image(path, "yx"), PLANE)


def test_big_endian_and_bigtiff_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", PLANE, byteorder=">")
    tifffile.imwrite(tmp_path / "b.tif", PLANE, bigtiff=True)
    for name in ("m.tif", "b.tif"):
        assert np.array_equal(read_image(tmp_path / name, "yx"), PLANE)


def test_pages_of_unknown_meaning_are_the_missing_axis(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for plane in STACK:
            writer.write(plane, contiguous=True, metadata=None)
    assert np.array_equal(read_image(tmp_path / "pages.tif", "zyx"), STACK)


def test_single_channels_and_times_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "tzcyx.tif"
    tifffile.imwrite(path, STACK[None, :, None], imagej=True, metadata={"axes": "TZCYX"})
    assert np.array_equal(read_image(path, "zyx"), STACK)


def test_axes_are_put_in_the_wanted_order(tmp_path: Path) -> None:
    path = tmp_path / "yxz.ome.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "ZYX"}, ome=True)
    assert np.array_equal(read_image(path, "yxz"), STACK.transpose(1, 2, 0))


def test_a_stack_of_one_plane_is_a_plane(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, STACK[:1], metadata={"axes": "ZYX"}, ome=True)
    assert read_image(path, "yx").shape == (21, 34)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_pngs_are_read(tmp_path: Path, dtype: type) -> None:
    image: np.ndarray = (PLANE // 300).astype(dtype)
    Pillow.fromarray(image).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png", "yx"), image)


@pytest.mark.parametrize(
    ("axes", "shape", "wanted", "says"),
    [
        ("CYX", (3, 21, 34), "zyx", r"shape 3x21x34 with axes CYX; expected ZYX: choose a channel"),
        ("CZYX", (2, 5, 21, 34), "zyx", r"2x5x21x34 with axes CZYX.*choose a channel"),
        ("TYX", (4, 21, 34), "yx", r"4x21x34 with axes TYX; expected YX: choose a time point"),
        ("TYX", (4, 21, 34), "zyx", r"axes TYX; expected ZYX: if its frames are planes, say so"),
        ("ZYX", (5, 21, 34), "yx", r"axes ZYX; expected YX: choose a plane"),
        ("YX", (21, 34), "zyx", r"axes YX; expected ZYX: this is a single plane"),
    ],
)
def test_other_axes_are_refused_with_advice(
    tmp_path: Path, axes: str, shape: tuple[int, ...], wanted: str, says: str
) -> None:
    path = tmp_path / "axes.ome.tif"
    tifffile.imwrite(path, np.ones(shape, np.uint16), metadata={"axes": axes}, ome=True)
    with pytest.raises(ImageError, match=says) as caught:
        read_image(path, wanted)
    assert str(caught.value).startswith("axes.ome.tif: ")


def test_colour_pictures_are_refused(tmp_path: Path) -> None:
    colour = np.zeros((21, 34, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    Pillow.fromarray(colour).save(tmp_path / "rgb.png")
    Pillow.fromarray(colour).convert("P").save(tmp_path / "table.png")
    for name in ("rgb.tif", "rgb.png"):
        with pytest.raises(ImageError, match="colour picture: convert it to grey"):
            read_image(tmp_path / name, "yx")
    with pytest.raises(ImageError, match="colour table"):
        read_image(tmp_path / "table.png", "yx")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\n <HTML>", "web page"),
        (b"PK\x03\x04rest", "ZIP archive: unpack"),
        (b"\xff\xd8\xff\xe0JFIF", "JPEG"),
        (b"just text", "not an image"),
        (b"II*\0", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=says):
        read_image(path, "yx")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "none.tif", "yx")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path, "yx")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_cut_short_is_refused_and_not_filled_with_zeros(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, STACK, compression=compression)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    with pytest.raises(ImageError, match=r"cut\.tif"):
        read_image(path, "zyx")


def test_a_png_cut_short_or_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Pillow.fromarray(PLANE).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(ImageError, match="cut short"):
        read_image(path, "yx")
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    with pytest.raises(ImageError, match="damaged"):
        read_image(path, "yx")


def test_nan_and_complex_pixels_are_refused_with_the_file_named(tmp_path: Path) -> None:
    values = PLANE.astype(np.float32)
    values[2, :4] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", values)
    with pytest.raises(ImageError, match=r"nan\.tif: 4 pixels are NaN"):
        read_image(tmp_path / "nan.tif", "yx")
    tifffile.imwrite(tmp_path / "complex.tif", PLANE.astype(np.complex64))
    with pytest.raises(ImageError, match=r"complex\.tif: pixels are complex64"):
        read_image(tmp_path / "complex.tif", "yx")


def test_several_images_in_one_file_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        writer.write(PLANE, metadata={"axes": "YX"})
        writer.write(PLANE, metadata={"axes": "YX"})
    with pytest.raises(ImageError, match="holds 2 images"):
        read_image(tmp_path / "two.ome.tif", "yx")


@pytest.mark.parametrize(("axes", "image"), [("yx", PLANE), ("zyx", STACK)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_was_written_is_read_back(
    tmp_path: Path, axes: str, image: np.ndarray, dtype: type
) -> None:
    path = tmp_path / "written.tif"
    values: np.ndarray = (image // 300).astype(dtype)
    write_tiff(path, values, axes, 0.0651, z_step_um=0.4)
    found = read_image_file(path, axes)
    assert np.array_equal(found.values, values)
    assert found.pixel_size_um == pytest.approx(0.0651, rel=1e-5)
    assert found.z_step_um == (pytest.approx(0.4) if axes == "zyx" else None)
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.series[0].dtype == dtype
        assert file.series[0].axes == axes.upper()
    assert [p.name for p in tmp_path.iterdir()] == ["written.tif"]


def test_without_a_pixel_size_none_is_written(tmp_path: Path) -> None:
    write_tiff(tmp_path / "w.tif", PLANE, "yx")
    assert read_image_file(tmp_path / "w.tif", "yx").pixel_size_um is None


def test_pixel_sizes_of_ome_files_are_read_in_micrometres(tmp_path: Path) -> None:
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 65.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.3,
        "PhysicalSizeZUnit": "µm",
    }
    tifffile.imwrite(tmp_path / "o.ome.tif", STACK, ome=True, metadata=metadata)
    found = read_image_file(tmp_path / "o.ome.tif", "zyx")
    assert found.pixel_size_um == pytest.approx(0.065)
    assert found.z_step_um == pytest.approx(0.3)


def test_dots_per_inch_are_no_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "dpi.tif", PLANE, resolution=(72, 72), resolutionunit="INCH")
    assert read_image_file(tmp_path / "dpi.tif", "yx").pixel_size_um is None


def test_float64_and_int32_are_written_as_float32(tmp_path: Path) -> None:
    write_tiff(tmp_path / "w.tif", PLANE.astype(np.int32), "yx")
    assert tifffile.imread(tmp_path / "w.tif").dtype == np.float32


def test_a_refused_image_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w.tif"
    write_tiff(path, PLANE, "yx")
    before = path.read_bytes()
    for array, axes, size, says in (
        (PLANE, "zyx", None, "21x34 with axes ZYX"),
        (PLANE, "cx", None, "axes CX"),
        (np.full((4, 4), np.nan), "yx", None, "NaN"),
        (np.zeros((0, 4), np.uint8), "yx", None, "empty"),
        (PLANE, "yx", 0.0, "pixel size is 0.0"),
    ):
        with pytest.raises(ImageError, match=says):
            write_tiff(path, array, axes, size)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.tif"]


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages.first.tags[name].overwrite(60000)
    with pytest.raises(ImageError, match=r"huge\.tif"):
        read_image(path, "yx")


@pytest.mark.slow
def test_large_pngs_are_read_without_a_warning(tmp_path: Path) -> None:
    # 9600 x 9600 is beyond Pillow's 89 million pixels, and blank: the highest compression.
    Pillow.fromarray(np.zeros((9600, 9600), np.uint8)).save(tmp_path / "slide.png")
    assert read_image(tmp_path / "slide.png", "yx").shape == (9600, 9600)


def test_pngs_beyond_what_pillow_reads_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pillow.fromarray(PLANE).save(tmp_path / "slide.png")
    monkeypatch.setattr("unifmir.images.png.MAX_PIXELS", 100)
    with pytest.raises(ImageError, match=r"slide\.png: more pixels.*save it as TIFF"):
        read_image(tmp_path / "slide.png", "yx")

"""What images declare is held against their bytes and the memory, before anything is allocated."""

import gzip
import os
import pickle
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests.helpers import microscope_files as files
from tests.helpers import tiff_bytes
from tests.helpers.hostile import Room
from tests.hostile import tiff_parts, zarr_chunk_cases, zarr_inputs, zarr_metadata_cases, zarr_parts
from unifmir.errors import ImageError, TooLittleMemoryError
from unifmir.images import damage, open_source, whole_region
from unifmir.images.codestreams import pixels_of
from unifmir.images.zarr_codecs import COMPRESSORS

BYTES = np.random.default_rng(3).integers(0, 99, (40, 56), dtype=np.uint8)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "room").made()


@pytest.mark.parametrize(
    ("number", "encode"),
    [
        (7, imagecodecs.jpeg_encode),
        (33003, imagecodecs.jpeg2k_encode),
        (22610, imagecodecs.jpegxr_encode),
        (34933, imagecodecs.png_encode),
        (34887, imagecodecs.lerc_encode),
        (50002, imagecodecs.jpegxl_encode),
    ],
)
def test_a_picture_says_its_pixels_before_it_is_decoded(number, encode):
    assert pixels_of(number, bytes(encode(BYTES))) == BYTES.size


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_says_its_pixels(lossless):
    colours = np.dstack([BYTES] * 3)
    assert (
        pixels_of(50001, bytes(imagecodecs.webp_encode(colours, lossless=lossless))) == BYTES.size
    )


def test_codecs_that_are_told_their_pixels_have_none_of_their_own():
    assert pixels_of(8, zlib.compress(BYTES.tobytes())) is None


@pytest.mark.parametrize("codec", sorted(COMPRESSORS))
def test_a_chunk_is_counted_as_it_unpacks(codec):
    noise = np.random.default_rng(1).bytes(2**18)
    packer = zarr_chunk_cases.packers()[codec]
    chunk = bytes(packer.encode(noise))
    assert COMPRESSORS[codec](chunk, 10**9) == len(noise)
    assert COMPRESSORS[codec](chunk, 10) > 10


def test_gzip_of_several_members_is_counted_to_its_end():
    noise = np.random.default_rng(1).bytes(2**16)
    chunk = gzip.compress(noise, 0) * 17
    assert COMPRESSORS["gzip"](chunk, 10**9) == 17 * 2**16


def test_what_a_chunk_unpickles_is_never_run(room):
    attack = pickle.dumps(zarr_metadata_cases.Attack())
    path = zarr_parts.image_2({"compressor": {"id": "pickle"}}, attack)(room)
    with pytest.raises(ImageError, match=r"'pickle', which is not used for images here; expected"):
        open_source(path).read(whole_region((1, 1, 1, 32, 32)))
    assert list(room.victim.iterdir()) == [room.victim / "precious.txt"]


def test_a_chunk_that_no_memory_holds_is_told(room, monkeypatch):
    monkeypatch.setattr(damage, "available_bytes", lambda: 3 * 2**30)
    path = zarr_parts.image_2({"shape": [2**18] * 2, "chunks": [2**18] * 2}, None)(room)
    with pytest.raises(TooLittleMemoryError, match=r"128\.00 GiB .*may take 3\.00 GiB: save it in"):
        open_source(path)


def test_a_link_out_of_a_zarr_is_not_followed(room):
    path = zarr_parts.image_2({}, zarr_inputs.others_pixels)(room)
    with pytest.raises(ImageError, match="leads out of the image's folder"):
        open_source(path).read(whole_region((1, 1, 1, 32, 32)))


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.czi", "a"])
def test_a_named_pipe_is_not_opened(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ImageError, match="is a named pipe, expected a regular file"):
        open_source(tmp_path / name)


def test_the_files_of_an_image_may_all_be_links_to_one_folder(room):
    real = room.victim
    pieces = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">'
        f"{files.file_uuid(z)}</UUID></TiffData>"
        for z, name in enumerate(("a.tif", "b.tif"))
    )
    sizes = f'SizeX="{files.X}" SizeY="{files.Y}" SizeZ="2" SizeC="1" SizeT="1"'
    text = files.ome_text(sizes, data=pieces, identity=f'UUID="{files.file_uuid(0)}"')
    files.ome(real / "a.tif", files.STACK[0], text)
    files.pages(real / "b.tif", [files.STACK[1]])
    for name in ("a.tif", "b.tif"):
        (room.given / name).symlink_to(real / name)
    source = open_source(room.given / "a.tif")
    assert np.array_equal(source.read(whole_region(source.shape)).squeeze(), files.STACK[:2])
    (room.given / "a.tif").unlink()
    (room.given / "a.tif").write_bytes((real / "a.tif").read_bytes())
    with pytest.raises(ImageError, match=r"'b\.tif' leads out of the image's folder"):
        open_source(room.given / "a.tif")


def test_a_chain_of_pages_that_never_ends_is_told(tmp_path):
    pages = [tiff_bytes.page(np.ones((4, 4), np.uint8)) for _ in range(150)]
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_bytes.tiff(*pages, links={149: 120}))
    with pytest.raises(ImageError, match="leads from page 150 back to one before it"):
        open_source(path)


def test_planes_behind_a_long_description_are_not_taken_from_it(room):
    text = "ImageJ=1.54f\nimages=3\nslices=3\n" + "=" * 10**6
    path = tiff_parts.described(text)(room)
    with pytest.raises(ImageError, match=r"its second plane begins at byte \d+, and by its desc"):
        open_source(path)


def test_a_large_sparse_file_is_read_by_regions_within_little_address_space(tmp_path):
    side = 20_000
    tags = {tiff_bytes.COUNTS: (4, [side * side]), tiff_bytes.OFFSETS: (4, [1024])}
    page = tiff_bytes.Page([b""], (side, side), np.dtype(np.uint8), None, tags)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_bytes.tiff(page))
    with path.open("rb+") as file:
        file.truncate(1024 + side * side)
        file.seek(1024 + 19_999 * side + 19_998)
        file.write(b"\x07")
    source = open_source(path)
    one, last = slice(0, 1), slice(side - 2, side)
    corner = source.read((one, one, one, last, last))
    assert corner.squeeze().tolist() == [[0, 0], [7, 0]]

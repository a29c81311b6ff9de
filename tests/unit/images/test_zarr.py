"""OME-Zarr images: what is read of every version, and what is written."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.helpers import microscope_files as files
from unifmir.errors import ImageError, MissingExtraError
from unifmir.images import (
    Channel,
    ImageInfo,
    create_sink,
    open_source,
    read_image_file,
    whole_region,
)
from unifmir.zoo.restore.outputs import Job, plan_jobs


def planned(inputs: list[str], task: str, **wishes: Any) -> tuple[Job, ...]:
    """What `plan_jobs` would restore, when it refuses nothing."""
    work = plan_jobs(inputs, task, **wishes)
    if work.refused:
        raise work.refused[0].to_error()
    return work.jobs


RNG = np.random.default_rng(8)
FIVE = RNG.integers(0, 60000, (2, 3, 4, 45, 70), dtype=np.uint16)
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
AXES_04 = [
    {"name": "t", "type": "time", "unit": "millisecond"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "nanometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
OMERO = {
    "channels": [
        {"label": "DAPI", "color": "0000ff", "window": {"start": 10, "end": 900}},
        {"label": "GFP", "color": "00FF00", "window": {"start": 0, "end": 1500}},
        {"label": "RFP", "color": "FF0000", "window": {"start": 5, "end": 60}},
    ]
}


def multiscales(version: str, **more: Any) -> dict[str, Any]:
    """One image of one level, as a version says it."""
    scale = [{"type": "scale", "scale": [2500.0, 1.0, 300.0, 0.26, 0.13]}]
    dataset: dict[str, Any] = {"path": "0"}
    said: dict[str, Any] = {"version": version, "datasets": [dataset]}
    if version >= "0.4":
        dataset["coordinateTransformations"] = scale
        # Of all levels: halves y and x, so that the product counts.
        said["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 1, 0.5, 0.5]}]
        said["axes"] = AXES_04
    elif version == "0.3":
        said["axes"] = list("tczyx")
    return said | more


def foreign(path: Path, version: str) -> Path:
    """FIVE in an OME-Zarr image as other programs write it."""
    group = zarr.create_group(store=str(path), zarr_format=3 if version == "0.5" else 2)
    array = group.create_array("0", shape=FIVE.shape, chunks=(1, 1, 2, 32, 32), dtype="u2")
    array[:] = FIVE
    said = {"multiscales": [multiscales(version)], "omero": OMERO}
    group.update_attributes({"ome": {"version": "0.5", **said}} if version == "0.5" else said)
    return path


@pytest.mark.parametrize("version", ["0.1", "0.3", "0.4", "0.5"])
def test_images_of_every_version_are_read(tmp_path: Path, version: str) -> None:
    source = open_source(foreign(tmp_path / "whatever name", version))
    assert source.shape == FIVE.shape
    assert source.dtype == np.uint16
    assert source.chunks == (1, 1, 2, 32, 32)
    part = (slice(1, 2), slice(0, 3), slice(1, 3), slice(5, 44), slice(31, 70))
    assert np.array_equal(source.read(part), FIVE[part])
    assert source.info.channels == INFO.channels
    if version >= "0.4":
        assert source.info.pixel_size_um == pytest.approx((0.13, 0.065))
        assert source.info.z_step_um == pytest.approx(0.3)
        assert source.info.frame_interval_s == pytest.approx(2.5)
    else:
        assert source.info.pixel_size_um == (None, None)


def test_sizes_without_a_unit_are_not_taken_for_micrometres(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.zarr", "0.4")
    bare = [{k: v for k, v in axis.items() if k != "unit"} for axis in AXES_04]
    zarr.open_group(store=str(path), mode="r+").update_attributes(
        {"multiscales": [multiscales("0.4", axes=bare)]}
    )
    info = open_source(path).info
    assert info.pixel_size_um == (None, None)
    assert info.z_step_um is None


def test_an_image_of_fewer_axes_is_read_as_a_whole_too(tmp_path: Path) -> None:
    group = zarr.create_group(store=str(tmp_path / "a.zarr"), zarr_format=2)
    group.create_array("s0", shape=(4, 45, 70), chunks=(2, 32, 32), dtype=">u2")[:] = FIVE[0, 0]
    dataset = {
        "path": "s0",
        "coordinateTransformations": [{"type": "scale", "scale": [0.3, 0.1, 0.1]}],
    }
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    said = {"version": "0.4", "axes": axes, "datasets": [dataset]}
    group.update_attributes({"multiscales": [said]})
    found = read_image_file(tmp_path / "a.zarr", "zyx")
    assert np.array_equal(found.values, FIVE[0, 0])
    assert (found.pixel_size_um, found.z_step_um) == (0.1, 0.3)
    assert open_source(tmp_path / "a.zarr").dtype.isnative
    with pytest.raises(ImageError, match=r"a\.zarr: shape 4x45x70 with axes ZYX; expected YX"):
        read_image_file(tmp_path / "a.zarr", "yx")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array_is_read_where_its_axes_are_plain(tmp_path: Path, zarr_format: Any) -> None:
    path = tmp_path / "plain"
    zarr.create_array(store=str(path), data=FIVE[0, 0, 0], zarr_format=zarr_format)
    assert open_source(path).info.axes == "yx"
    path = tmp_path / "stack"
    zarr.create_array(store=str(path), data=FIVE[0, 0], zarr_format=zarr_format)
    with pytest.raises(ImageError, match=r"stack: an array of shape 4x45x70 that does not say"):
        open_source(path)
    assert open_source(path, axes="tyx").shape == (4, 1, 1, 45, 70)
    if zarr_format == 3:
        path = tmp_path / "named"
        zarr.create_array(store=str(path), data=FIVE[0, 0], dimension_names=["z", "y", "x"])
        assert open_source(path).info.axes == "zyx"


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({}, r"without OME-Zarr metadata.*arrays in it: 0"),
        ({"plate": {}}, r"is a plate.*A/1/0"),
        ({"multiscales": [{"datasets": []}]}, "names no array of full resolution"),
        ({"multiscales": [{"datasets": [{"path": "9"}]}]}, "array '9' of full resolution is miss"),
        (
            {"multiscales": [{"datasets": [{"path": "0"}], "axes": ["theta", "y", "x"]}]},
            "expected each of T, C, Z, Y, X once at most",
        ),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, attributes: dict[str, Any], says: str) -> None:
    group = zarr.create_group(store=str(tmp_path / "g.zarr"), attributes=attributes)
    group.create_array("0", data=FIVE[0, 0])
    with pytest.raises(ImageError, match=says) as caught:
        open_source(tmp_path / "g.zarr")
    assert str(caught.value).startswith("g.zarr: ")


def test_one_of_the_images_that_bio_formats_wrote_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "b.zarr"
    zarr.create_group(store=str(path), zarr_format=2, attributes={"bioformats2raw.layout": 3})
    foreign(path / "0", "0.4")
    assert open_source(path).shape == FIVE.shape
    foreign(path / "1", "0.4")
    with pytest.raises(ImageError, match=r"holds 2 images; choose one \(--series 0 to 1\)"):
        open_source(path)
    assert open_source(path, series=1).info.channels == INFO.channels
    with pytest.raises(ImageError, match="no image number 7"):
        open_source(path, series=7)


def test_a_damaged_chunk_is_an_image_error(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.zarr", "0.5")
    next(p for p in (path / "0" / "c").rglob("*") if p.is_file()).write_bytes(b"x")
    source = open_source(path)
    with pytest.raises(ImageError, match=r"a\.zarr: the image cannot be read"):
        source.read(whole_region(source.shape))


def test_without_zarr_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = foreign(tmp_path / "a.zarr", "0.4")
    monkeypatch.setitem(sys.modules, "zarr", None)
    for attempt in (
        lambda: open_source(path),
        lambda: create_sink(tmp_path / "b.zarr", FIVE.shape, FIVE.dtype, INFO),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install 'unifmir\[zarr\]'"):
            attempt()


def published(path: Path, image: np.ndarray, info: ImageInfo, **keywords: Any) -> Path:
    shape: Any = image.shape
    sink = create_sink(path, shape, image.dtype, info, **keywords)
    sink.write(whole_region(shape), image)
    sink.publish()
    return path


def test_what_was_written_is_read_back_with_all_that_was_said(tmp_path: Path) -> None:
    path = published(tmp_path / "out.ome.zarr", FIVE, INFO, chunks=(1, 1, 2, 32, 32))
    source = open_source(path)
    assert np.array_equal(source.read(whole_region(source.shape)), FIVE)
    assert source.chunks == (1, 1, 2, 32, 32)
    assert source.info.channels == INFO.channels
    assert source.info.pixel_size_um == INFO.pixel_size_um
    assert (source.info.z_step_um, source.info.frame_interval_s) == (0.3, 2.5)
    assert [p.name for p in tmp_path.iterdir()] == ["out.ome.zarr"]


def test_the_metadata_follow_the_specification_of_0_4(tmp_path: Path) -> None:
    path = published(tmp_path / "out.ome.zarr", FIVE, INFO)
    said = json.loads((path / ".zattrs").read_text("utf-8"))
    image = said["multiscales"][0]
    assert image["version"] == "0.4"
    assert image["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    first = image["datasets"][0]
    assert first["path"] == "0"
    assert first["coordinateTransformations"][0] == {
        "type": "scale",
        "scale": [2.5, 1.0, 0.3, 0.13, 0.065],
    }
    for channel in said["omero"]["channels"]:
        assert set(channel["window"]) == {"min", "max", "start", "end"}
        assert len(channel["color"]) == 6
    array = json.loads((path / "0" / ".zarray").read_text("utf-8"))
    assert array["zarr_format"] == 2
    assert array["dimension_separator"] == "/"
    assert array["compressor"]["id"] == "blosc"


def test_levels_are_local_means_that_lie_where_they_say(tmp_path: Path) -> None:
    # A ramp: the mean of a block is the ramp's value at the block's centre.
    y, x = np.mgrid[:1030, :1027]
    ramp = (100.0 + 2.0 * y + 3.0 * x).astype(np.float32)
    info = ImageInfo("ramp", "yx", (0.5, 0.25))
    path = published(tmp_path / "r.zarr", ramp[None, None, None], info, chunks=(1, 1, 1, 256, 256))
    group: Any = zarr.open_group(store=str(path), mode="r")
    datasets = group.attrs["multiscales"][0]["datasets"]
    shapes = [group[d["path"]].shape for d in datasets]
    assert shapes == [(1030, 1027), (515, 514), (258, 257)]
    for level, dataset in enumerate(datasets):
        scale, shift = (t[t["type"]] for t in dataset["coordinateTransformations"])
        assert scale == [0.5 * 2**level, 0.25 * 2**level]
        values = np.asarray(group[dataset["path"]])[:128, :128]
        rows, columns = np.mgrid[:128, :128]
        at_y = (rows * scale[0] + shift[0]) / 0.5
        at_x = (columns * scale[1] + shift[1]) / 0.25
        assert np.array_equal(values, (100.0 + 2.0 * at_y + 3.0 * at_x).astype(np.float32))
    # Odd edges: the last column has one pixel's width.
    last = np.asarray(group["1"])[0, -1]
    assert last == ramp[:2, -1].mean()


def test_whole_numbers_are_rounded_and_not_cut_off(tmp_path: Path) -> None:
    image = np.full((1, 1, 1, 2, 1026), 255, np.uint8)
    image[..., 0, ::2] = 254  # means of 254.75
    path = published(tmp_path / "i.zarr", image, ImageInfo("i", "yx"))
    assert np.unique(np.asarray(zarr.open_group(store=str(path), mode="r")["1"])).tolist() == [255]


def test_the_range_of_the_values_is_shown_where_no_other_is_known(tmp_path: Path) -> None:
    image = np.linspace(-2, 7, 3 * 4 * 45 * 70, dtype=np.float32).reshape(1, 3, 4, 45, 70)
    path = published(tmp_path / "f.zarr", image, ImageInfo("f", "czyx"))
    shown = [channel.display for channel in open_source(path).info.channels]
    assert shown == [(c.min(), c.max()) for c in image[0]]


def test_several_processes_write_their_chunks_of_one_image(tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    sink = create_sink(path, FIVE.shape, FIVE.dtype, INFO, chunks=(1, 1, 4, 45, 35))
    (tmp_path / "sink").write_bytes(pickle.dumps(sink))
    np.save(tmp_path / "image.npy", FIVE)
    code = (
        "import pickle, sys, numpy as np\n"
        "sink, image, t = pickle.load(open('sink', 'rb')), np.load('image.npy'), int(sys.argv[1])\n"
        "region = (slice(t, t + 1), *(slice(0, n) for n in image.shape[1:]))\n"
        "sink.write(region, image[region])\n"
        "sink.flush()\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(t)], cwd=tmp_path) for t in (0, 1)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert not path.exists()
    sink.publish()
    assert np.array_equal(open_source(path).read(whole_region(FIVE.shape)), FIVE)


def test_a_folder_that_is_no_zarr_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "my.zarr").mkdir()
    (tmp_path / "my.zarr" / "thesis.docx").write_text("years of work")
    with pytest.raises(ImageError, match="is no OME-Zarr image, and is not replaced"):
        create_sink(tmp_path / "my.zarr", FIVE.shape, FIVE.dtype, INFO)
    assert (tmp_path / "my.zarr" / "thesis.docx").exists()


def test_an_older_image_is_replaced_whole(tmp_path: Path) -> None:
    path = published(tmp_path / "out.zarr", FIVE, INFO)
    published(path, FIVE[:1, :1, :1] + np.uint16(1), ImageInfo("small", "yx"))
    assert open_source(path).shape == (1, 1, 1, 45, 70)
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize(
    ("name", "inside"),
    [("a.ozx", ""), ("a.ome.zarr.zip", ""), ("a.zarr.zip", "a.ome.zarr/"), ("named.zip", "x/y/")],
)
def test_a_zipped_image_is_read_as_it_is(tmp_path: Path, name: str, inside: str) -> None:
    folder = files.zarr_image(
        tmp_path / "a.ome.zarr", files.STACK, files.multiscales("zyx", (0.4, 0.1, 0.1))
    )
    source = open_source(files.zipped(tmp_path / name, folder, inside))
    assert source.info.axes == "zyx"
    assert source.info.z_step_um == pytest.approx(0.4)
    for opened in (source, pickle.loads(pickle.dumps(source))):
        assert np.array_equal(opened.read(whole_region(opened.shape))[0, 0], files.STACK)
        opened.close()
    (job,) = planned([str(tmp_path / name)], "sr")
    assert job.target.name == ("named.sr.tif" if name == "named.zip" else "a.sr.ome.zarr")


def test_an_archive_without_an_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ImageError, match=r"a\.zip is a ZIP archive: unpack it first"):
        open_source(files.zipped(tmp_path / "a.zip", tmp_path))

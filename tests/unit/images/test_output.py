"""Sinks of every format: nothing half, nothing lost, nothing that is not understood."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from unifmir.errors import ImageError
from unifmir.images import (
    ArraySink,
    ArraySource,
    Channel,
    ImageInfo,
    create_sink,
    open_source,
    whole_region,
)
from unifmir.images.staged_output import check_space

STACK = np.random.default_rng(4).integers(0, 60000, (1, 1, 6, 40, 50), dtype=np.uint16)
SHAPE: Any = STACK.shape
INFO = ImageInfo("stack", "zyx", (0.1, 0.1), z_step_um=0.3)
FORMATS = ("out.tif", "out.ome.tif", "out.ome.zarr")
FIRST = (slice(0, 1), slice(0, 1), slice(0, 3), slice(0, 40), slice(0, 50))
REST = (slice(0, 1), slice(0, 1), slice(3, 6), slice(0, 40), slice(0, 50))
CHUNKS = (1, 1, 3, 40, 50)


def sink_of(path: Path, **keywords: Any) -> Any:
    arguments = {"shape": SHAPE, "dtype": STACK.dtype, "info": INFO, "chunks": CHUNKS} | keywords
    return create_sink(path, **arguments)


def content(path: Path) -> np.ndarray:
    source = open_source(path)
    return source.read(whole_region(source.shape))


@pytest.mark.parametrize("name", FORMATS)
def test_a_killed_run_leaves_the_old_image_and_the_next_goes_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    old = sink_of(path)
    old.write(whole_region(SHAPE), np.zeros_like(STACK))
    old.publish()
    np.save(tmp_path / "stack.npy", STACK)
    code = (
        "import os, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from unifmir.images import ImageInfo, create_sink\n"
        "image = np.load('stack.npy')\n"
        "info = ImageInfo('stack', 'zyx', (0.1, 0.1), z_step_um=0.3)\n"
        "sink = create_sink(Path(sys.argv[1]), image.shape, image.dtype, info,"
        " chunks=(1, 1, 3, 40, 50))\n"
        "sink.write(tuple(slice(0, n) for n in (1, 1, 3, 40, 50)), image[:, :, :3])\n"
        "sink.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path)
    assert killed.returncode == -9
    assert not content(path).any()
    sink = sink_of(path)
    assert sink.resumed
    sink.write(REST, STACK[REST])
    sink.publish()
    assert np.array_equal(content(path), STACK)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "stack.npy"])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "changed",
    [
        {"shape": (1, 1, 6, 40, 51)},
        {"dtype": np.dtype("float32")},
        {"info": ImageInfo("stack", "zyx", (0.2, 0.2), z_step_um=0.3)},
        {"chunks": (1, 1, 2, 40, 50)},
        {"resume": False},
    ],
)
def test_what_was_begun_for_another_output_is_not_kept(
    tmp_path: Path, name: str, changed: dict[str, Any]
) -> None:
    path = tmp_path / name
    sink_of(path).write(FIRST, STACK[FIRST])
    again = sink_of(path, **changed)
    assert not again.resumed
    again.publish()
    assert not content(path).any()


@pytest.mark.parametrize("name", FORMATS)
def test_an_output_whose_creation_was_interrupted_is_begun_anew(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    sink_of(path)
    (note,) = tmp_path.glob("*.json")
    note.unlink()
    assert not sink_of(path).resumed


@pytest.mark.parametrize("name", [*FORMATS, "out.png"])
def test_what_is_discarded_leaves_nothing(tmp_path: Path, name: str) -> None:
    plane = {"shape": (1, 1, 1, 40, 50), "info": ImageInfo("a", "yx"), "chunks": None}
    sink_of(tmp_path / name, **plane).discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_that_was_being_replaced_when_the_run_was_killed_comes_back(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    first = sink_of(path)
    first.write(whole_region(SHAPE), STACK)
    first.publish()
    second = sink_of(path)

    renamed = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target == path:
            raise KeyboardInterrupt
        return renamed(self, target)

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            second.publish()
    third = sink_of(path)
    assert np.array_equal(content(path), STACK)
    assert third.resumed
    third.publish()
    assert not content(path).any()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_chunks_that_a_killed_process_had_begun_are_removed(tmp_path: Path) -> None:
    sink = sink_of(tmp_path / "out.zarr")
    sink.write(whole_region(SHAPE), STACK)
    (aside,) = (p for p in tmp_path.iterdir() if p.is_dir())
    (aside / "0" / "0" / "0" / "0.0123456789abcdef.partial").write_bytes(b"half")
    sink.publish()
    assert not list((tmp_path / "out.zarr").rglob("*.partial"))


@pytest.mark.parametrize("name", [*FORMATS, "array"])
def test_values_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    sink = ArraySink(SHAPE, STACK.dtype, INFO) if name == "array" else sink_of(tmp_path / name)
    with pytest.raises(ImageError, match=r"shape 1x1x3x40x49 cannot be written.*1x1x3x40x50"):
        sink.write(FIRST, STACK[FIRST][..., :49])
    with pytest.raises(ImageError, match="values are float32, but the file holds uint16"):
        sink.write(FIRST, STACK[FIRST].astype(np.float32))
    with pytest.raises(ImageError, match="does not lie in the image"):
        sink.write((*FIRST[:3], slice(1, 41), FIRST[4]), STACK[FIRST])


@pytest.mark.parametrize(
    ("shape", "info", "says"),
    [
        ((1, 2, 6, 40, 50), INFO, "longer than 1 along c, which the axes 'zyx' lack"),
        ((1, 1, 6, 0, 50), INFO, "five lengths of at least 1"),
        ((6, 40, 50), INFO, "five lengths of at least 1"),
        (SHAPE, ImageInfo("a", "zxy"), "some of tczyx in this order"),
        (SHAPE, ImageInfo("a", "zyx", (0.1, -1.0)), "expected more than 0"),
        (SHAPE, ImageInfo("a", "zyx", z_step_um=float("nan")), "expected more than 0"),
    ],
)
@pytest.mark.parametrize("name", FORMATS)
def test_what_the_axes_do_not_describe_is_refused(
    tmp_path: Path, name: str, shape: Any, info: ImageInfo, says: str
) -> None:
    with pytest.raises(ImageError, match=says):
        create_sink(tmp_path / name, shape, STACK.dtype, info)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "says"), [("out.jpg", "not .jpg"), ("out", "without a suffix")])
def test_other_formats_are_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ImageError, match=rf"written as \.tif, \.tiff, \.zarr, \.png.*{says}"):
        sink_of(tmp_path / name)
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(ImageError, match="is a folder"):
        sink_of(tmp_path / "folder.tif")


def test_a_disk_without_room_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ImageError, match="make room"):
        sink_of(tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == []


def test_room_that_is_missing_is_told_in_figures_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=300_000))
    with pytest.raises(ImageError, match=r"takes 0\.4 MB, and .* has 0\.3 MB free: make room"):
        check_space(tmp_path, 400_000)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_an_error(tmp_path: Path) -> None:
    sink = sink_of(tmp_path / "out.tif")
    (aside,) = tmp_path.glob("*.tif")
    aside.unlink()
    aside.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        sink.write(FIRST, STACK[FIRST])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_are_written_to_png_as_they_are(tmp_path: Path, dtype: type) -> None:
    plane: np.ndarray = (STACK[:, :, :1] // 300).astype(dtype)
    shape: Any = plane.shape
    info = ImageInfo("plane", "yx")
    sink = create_sink(tmp_path / "out.png", shape, plane.dtype, info)
    half = (*(slice(0, 1),) * 3, slice(0, 40), slice(20, 50))
    sink.write(half, plane[half])
    sink = create_sink(tmp_path / "out.png", shape, plane.dtype, info)
    assert sink.resumed
    other = (*half[:4], slice(0, 20))
    sink.write(other, plane[other])
    sink.publish()
    with Pillow.open(tmp_path / "out.png") as file:
        assert np.array_equal(np.asarray(file), plane[0, 0, 0])
    assert np.array_equal(content(tmp_path / "out.png"), plane)
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_png_files_refuse_what_they_would_change(tmp_path: Path) -> None:
    info = ImageInfo("plane", "yx")
    with pytest.raises(ImageError, match=r"the image is float32: write a TIFF"):
        create_sink(tmp_path / "a.png", (1, 1, 1, 4, 5), np.dtype("f4"), info)
    with pytest.raises(ImageError, match=r"one plane.*the image is 1x1x6x40x50.*write a TIFF"):
        create_sink(tmp_path / "a.png", SHAPE, STACK.dtype, INFO)
    with pytest.raises(ImageError, match="at most 178 million pixels"):
        create_sink(tmp_path / "a.png", (1, 1, 1, 20000, 20000), np.dtype("u1"), info)
    assert list(tmp_path.iterdir()) == []


def test_the_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    sink_of(tmp_path / "out.tif").publish()
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.tif").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_arrays_are_sources_and_sinks() -> None:
    channels = (Channel("a"), Channel("b"))
    image = np.arange(2 * 3 * 4 * 5, dtype=">u2").reshape(3, 2, 4, 5)
    source = ArraySource(image, "ZCYX", ImageInfo("a", "yx", channels=channels))
    assert source.shape == (1, 2, 3, 4, 5)
    assert source.info == ImageInfo("a", "czyx", channels=channels)
    part = source.read((slice(0, 1), slice(1, 2), slice(0, 3), slice(1, 3), slice(0, 5)))
    assert part.dtype.isnative
    assert np.array_equal(part[0, 0], image[:, 1, 1:3])
    sink = ArraySink(source.shape, source.dtype, source.info)
    sink.write(whole_region(source.shape), source.read(whole_region(source.shape)))
    sink.publish()
    assert np.array_equal(sink.array(), image.swapaxes(0, 1))
    with pytest.raises(ImageError, match="complex64"):
        ArraySource(np.zeros((2, 2), np.complex64), "yx")
    with pytest.raises(ImageError, match="do not fit its shape 2x2"):
        ArraySource(np.zeros((2, 2)), "zyx")


def test_what_is_known_follows_the_pixels() -> None:
    channels = (Channel("a", "FF0000", (0, 9)), Channel("b"))
    info = ImageInfo("a", "tczyx", (0.2, 0.1), 0.6, 3.0, channels)
    finer = info.resampled(z=(1 / 3, 0.0), y=(0.5, -0.25), x=(0.5, -0.25))
    assert finer.pixel_size_um == (0.1, 0.05)
    assert finer.z_step_um == pytest.approx(0.2)
    plane = info.without("zt")
    assert (plane.axes, plane.z_step_um, plane.frame_interval_s) == ("cyx", None, None)
    assert plane.channels == channels
    assert info.without("c").channels == ()
    assert ImageInfo("a", "cyx", channels=channels[:1]).without("c").channels == channels[:1]
    unknown = ImageInfo("a", "yx")
    assert unknown.resampled(y=(0.5, -0.25), x=(0.5, -0.25)) == unknown


def test_the_place_of_the_first_pixel_follows_the_sampling() -> None:
    # A pixel of half the side has its centre a quarter of a pixel before: 10 - 0.25 * 0.2.
    placed = ImageInfo("a", "zyx", (0.2, 0.1), 0.6, origin=(None, 2.0, 10.0, 20.0))
    finer = placed.resampled(y=(0.5, -0.25), x=(0.5, -0.25))
    assert finer.origin == pytest.approx((None, 2.0, 9.95, 19.975), nan_ok=True)
    unitless = ImageInfo("a", "zyx", unitless=(None, 4.0, 2.0, 1.0), origin=(None, 2.0, 8.0, 9.0))
    finer = unitless.resampled(z=(0.5, 0.0), y=(2.0, 0.5), x=(2.0, 0.5))
    assert finer.unitless == (None, 2.0, 4.0, 2.0)
    assert finer.origin == (None, 2.0, 9.0, 9.5)
    assert unitless.without("z").unitless == (None, None, 2.0, 1.0)

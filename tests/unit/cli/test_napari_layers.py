"""What the napari plugin makes of layers, without napari: `make napari-check` has the rest."""

import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from unifmir.cli.napari.layer_image import LayerImage, guessed_axes
from unifmir.cli.napari.layer_restoration import LayerRestoration
from unifmir.cli.napari.result_layer import result_layer
from unifmir.cli.napari.sample_layers import sample_layers
from unifmir.cli.napari.visible_part import visible_region
from unifmir.errors import ImageError
from unifmir.images.open_files import open_source
from unifmir.plain_text_values import parse_yaml
from unifmir.tasks import TASKS
from unifmir.zoo.restore.restore_settings import RestoreSettings


@dataclass
class Unit:
    """A unit of pint, as far as layers ask it."""

    metres: float | None = None
    seconds: float | None = None

    def is_compatible_with(self, other: str) -> bool:
        return {"micrometer": self.metres, "second": self.seconds}[other] is not None

    def __rmul__(self, _one: int) -> "Unit":
        return self

    def to(self, other: str) -> Any:
        found = self.seconds if other == "second" else (self.metres or 0.0) * 1e6
        return SimpleNamespace(magnitude=found)


PIXEL, NANOMETRE, SECOND = Unit(), Unit(metres=1e-9), Unit(seconds=1.0)


@dataclass
class Layer:
    """A layer of napari, as far as the plugin asks it."""

    data: Any
    axis_labels: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[Unit, ...]
    translate: tuple[float, ...] = ()
    name: str = "raw: a/b"
    rgb: bool = False
    multiscale: bool = False
    rotate: Any = None
    shear: Any = ()
    affine: Any = None
    colormap: str = "green"
    contrast_limits: tuple[float, float] = (10.0, 90.0)
    gamma: float = 0.7
    blending: str = "additive"
    interpolation2d: str = "nearest"
    corner_pixels: Any = None
    moved: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.translate = self.translate or (0.0,) * self.ndim
        self.rotate = np.eye(self.ndim) if self.rotate is None else self.rotate
        self.affine = SimpleNamespace(affine_matrix=np.eye(self.ndim + 1))

    @property
    def ndim(self) -> int:
        return len(self.axis_labels)

    def world_to_data(self, point: tuple[float, ...]) -> Any:
        return (np.array(point[-self.ndim :]) - self.translate) / self.scale


def layer_of(shape: tuple[int, ...], labels: str, **more: Any) -> Layer:
    units = {"t": SECOND, "c": PIXEL, "z": NANOMETRE, "y": NANOMETRE, "x": NANOMETRE}
    steps = {"t": 2.0, "c": 1.0, "z": 500.0, "y": 100.0, "x": 100.0}
    data = np.random.default_rng(1).integers(0, 99, shape).astype(np.uint16)
    known = {
        "axis_labels": tuple(labels),
        "scale": tuple(steps[axis] for axis in labels),
        "units": tuple(units[axis] for axis in labels),
    }
    return Layer(data, **(known | more))


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("Time", "channel", "z", "y", "x"), "tczyx"),
        (("slice", "row", "column"), "zyx"),
        (("axis -3", "axis -2", "axis -1"), "zyx"),
        (("axis -4", "axis -3", "axis -2", "axis -1"), "tzyx"),
        (("y", "y"), "yx"),
        (("a",) * 6, ""),
    ],
)
def test_axes_are_those_of_the_labels_or_of_their_number(labels, axes):
    assert guessed_axes(labels) == axes


def test_a_layer_is_written_with_its_sizes_in_the_order_of_files(tmp_path):
    layer = layer_of((3, 2, 4, 5, 6), "ctzyx")
    source = open_source(LayerImage.of(layer).write(tmp_path))
    assert source.shape == (2, 3, 4, 5, 6)
    assert source.info.pixel_size_um == pytest.approx((0.1, 0.1))
    assert source.info.z_step_um == pytest.approx(0.5)
    assert source.info.frame_interval_s == pytest.approx(2.0)
    values = tifffile.imread(next(tmp_path.iterdir()))
    np.testing.assert_array_equal(values, layer.data.transpose(1, 2, 0, 3, 4))


def test_a_scale_without_a_unit_is_a_ratio_and_none_is_nothing():
    known = layer_of((4, 5, 6), "zyx", units=(PIXEL,) * 3, scale=(4.0, 1.0, 1.0))
    assert LayerImage.of(known).info.unitless == (None, 4.0, 1.0, 1.0)
    unknown = layer_of((4, 5, 6), "zyx", units=(PIXEL,) * 3, scale=(1.0, 1.0, 1.0))
    assert LayerImage.of(unknown).info.unitless == (None, None, None, None)


@pytest.mark.parametrize("axes", ["yx", "zzx", "qyx", "", "zyxt"])
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(ImageError, match="expected 3 letters"):
        LayerImage.of(layer_of((4, 5, 6), "zyx"), axes)


def report_of(*sampling: tuple[float, float], **more: Any) -> dict[str, Any]:
    return {"sampling": list(sampling), **more}


def laid_out(task: str, layer: Layer, shape: tuple[int, ...], axes: str, **report: Any) -> Any:
    path = report.pop("folder") / "result.tif"
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": axes.upper()})
    pixels, properties, kind = result_layer(LayerImage.of(layer), task, path, report)
    assert kind == "image"
    np.testing.assert_array_equal(pixels.ravel(), values.ravel())
    return pixels, properties


def test_a_finer_result_lies_on_the_image(tmp_path):
    layer = layer_of((2, 3, 5, 6), "tzyx", translate=(0.0, 0.0, 50.0, -50.0))
    report = report_of((1.0, 0.0), (0.5, -0.25), (0.5, -0.25), folder=tmp_path)
    pixels, found = laid_out("sr", layer, (2, 3, 10, 12), "tzyx", **report)
    assert pixels.shape == (2, 3, 10, 12)
    assert found["scale"] == [2.0, 500.0, 50.0, 50.0]
    assert found["translate"] == [0.0, 0.0, 25.0, -75.0]
    assert found["units"] == list(layer.units)
    assert found["axis_labels"] == list("tzyx")
    assert (found["colormap"], found["gamma"]) == ("green", 0.7)
    assert found["contrast_limits"] == (10.0, 90.0)


def test_planes_lie_closer_go_and_come_by_the_task(tmp_path):
    stack = layer_of((3, 5, 6), "zyx")
    report = report_of((0.2, 0.0), (1.0, 0.0), (1.0, 0.0), folder=tmp_path)
    pixels, found = laid_out("isotropic", stack, (11, 5, 6), "zyx", **report)
    assert (pixels.shape, found["scale"]) == ((11, 5, 6), [100.0, 100.0, 100.0])
    flat = report_of((1.0, 0.0), (1.0, 0.0), (1.0, 0.0), folder=tmp_path)
    pixels, found = laid_out("projection", stack, (5, 6), "yx", **flat)
    assert (pixels.shape, found["axis_labels"], found["scale"]) == ((5, 6), ["y", "x"], [100, 100])
    lenses = layer_of((5, 6), "yx", axis_labels=("axis -2", "axis -1"))
    pixels, found = laid_out("volume", lenses, (7, 5, 6), "zyx", **flat)
    assert (pixels.shape, found["axis_labels"]) == ((7, 5, 6), ["z", "y", "x"])
    assert "contrast_limits" not in found  # relative values


def test_a_part_lies_at_its_time_and_place(tmp_path):
    layer = layer_of((4, 5, 6), "tyx")
    region = [[2, 3], [0, 1], [0, 1], [1, 3], [2, 6]]
    report = report_of((1.0, 0.0), (1.0, 1.0), (1.0, 2.0), region=region, folder=tmp_path)
    pixels, found = laid_out("denoise", layer, (2, 4), "yx", **report)
    assert pixels.shape == (1, 2, 4)
    assert found["translate"] == [4.0, 100.0, 200.0]
    assert found["name"] == "raw: a/b (denoise, tried)"


def test_a_turned_layer_has_a_turned_result(tmp_path):
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    layer = layer_of((5, 6), "yx", rotate=quarter, shear=np.zeros(1))
    report = report_of((1.0, 0.0), (0.5, -0.25), (0.5, -0.25), folder=tmp_path)
    _, found = laid_out("sr", layer, (10, 12), "yx", **report)
    np.testing.assert_allclose(found["translate"], [25.0, -25.0])
    assert found["rotate"] is quarter


def viewer_of(ndim: int, displayed: tuple[int, ...], point: tuple[float, ...]) -> Any:
    dims = SimpleNamespace(ndim=ndim, displayed=displayed, ndisplay=len(displayed), point=point)
    return SimpleNamespace(dims=dims)


@pytest.mark.parametrize(
    ("task", "planes"),
    [("sr", (2, 3)), ("denoise", (2, 3)), ("isotropic", (0, 4)), ("projection", (0, 4))],
)
def test_the_part_on_the_screen_is_what_is_shown(task, planes):
    layer = layer_of((3, 4, 50, 60), "tzyx")
    layer.corner_pixels = np.array([[0, 0, -3, 7.2], [0, 0, 20.6, 80]])
    viewer = viewer_of(4, (2, 3), (2.0, 1000.0, 0.0, 0.0))
    found = visible_region(viewer, layer, LayerImage.of(layer), task)
    assert found == ((1, 2), (0, 1), planes, (0, 22), (7, 60))


def test_in_three_dimensions_all_of_the_stack_is_shown():
    layer = layer_of((3, 4, 50, 60), "tzyx")
    layer.corner_pixels = np.zeros((2, 4))
    viewer = viewer_of(4, (1, 2, 3), (4.0, 0.0, 0.0, 0.0))
    found = visible_region(viewer, layer, LayerImage.of(layer), "denoise")
    assert found == ((2, 3), (0, 1), (0, 4), (0, 50), (0, 60))


def test_what_is_not_on_the_screen_is_not_tried():
    layer = layer_of((50, 60), "yx")
    layer.corner_pixels = np.array([[70, 0], [90, 20]])
    with pytest.raises(ImageError, match="nothing of raw: a/b is on the screen"):
        visible_region(viewer_of(2, (0, 1), (0.0, 0.0)), layer, LayerImage.of(layer), "sr")


def test_a_restoration_that_was_cancelled_at_once_starts_no_process():
    run = LayerRestoration(LayerImage.of(layer_of((4, 5, 6), "zyx")), RestoreSettings("denoise"))
    run.cancel()
    assert len(list(run.run())) == 1
    assert (run.layer, run.failure) == (None, None)


def test_the_manifest_has_a_sample_for_every_task(repo):
    manifest: Any = parse_yaml((repo / "cli" / "napari" / "napari.yaml").read_bytes())
    commands = {row["id"]: row["python_name"] for row in manifest["contributions"]["commands"]}
    samples = manifest["contributions"]["sample_data"]
    assert [row["key"] for row in samples] == list(TASKS)
    for row in samples:
        name = f"unifmir.cli.napari.sample_layers:{row['key']}"
        assert commands[row["command"]] == name
        title = TASKS[row["key"]].title
        assert row["display_name"] == f"For {title[0].lower()}{title[1:]}"


@pytest.mark.parametrize("task", TASKS)
def test_samples_say_their_axes_size_and_licence(task):
    ((pixels, properties, kind),) = sample_layers(task)
    file = TASKS[task].sample
    assert (pixels.shape, str(pixels.dtype), kind) == (file.shape, file.dtype, "image")
    assert properties["axis_labels"] == tuple(TASKS[task].input_axes)
    assert properties["scale"][-1] == (file.pixel_size_um or 1.0)
    assert properties["metadata"]["licence"] == file.licence


def test_what_runs_beside_qt_imports_no_torch():
    names = ["layer_restoration", "sample_layers"]
    code = "import sys\n" + "".join(f"import unifmir.cli.napari.{name}\n" for name in names)
    code += "sys.exit('torch' in sys.modules or 'napari' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

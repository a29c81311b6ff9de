"""`unifmir restore`: images in, images out, interrupted and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile
from typer.testing import CliRunner, Result

import unifmir
from tests.helpers.restoration_cases import options_for
from tests.helpers.waiting_process import ended_with_test
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.export.recorded_report import REPORT_SUFFIX
from unifmir.hashing import sha256_of
from unifmir.images.open_files import open_source
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.zoo.restore.outputs import journal_path

PIXEL_UM = 0.1


def run(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(app, ["restore", *(str(argument) for argument in arguments)])


@pytest.fixture
def model(tiny_single, tmp_path: Path) -> Path:
    """A tiny sr checkpoint."""
    path = tmp_path / "model" / "tiny.safetensors"
    path.parent.mkdir()
    save(tiny_single("sr"), path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ImageJ TIFF with a pixel size."""
    path = tmp_path / "cells.tif"
    values = np.random.default_rng(0).integers(100, 4000, (70, 52)).astype(np.uint16)
    size = (1 / PIXEL_UM, 1 / PIXEL_UM)
    metadata = {"axes": "YX", "unit": "um"}
    tifffile.imwrite(path, values, imagej=True, resolution=size, metadata=metadata)
    return path


@pytest.mark.parametrize("task", TASKS)
def test_every_task_restores_a_tiff_with_its_intensities(task, tiny_single, tmp_path):
    save(tiny_single(task), tmp_path / "tiny.safetensors")
    raw = small_sample(task, planes=6)
    axes = TASKS[task].input_axes.upper()
    tifffile.imwrite(tmp_path / "in.tif", raw, imagej=True, metadata={"axes": axes})
    model = tmp_path / "tiny.safetensors"
    factor = ("--z-factor", 1) if TASKS[task].isotropic_sampling else ()
    done = run(tmp_path / "in.tif", "--task", task, "--model", model, "--json", *factor)
    assert done.exit_code == 0, done.stderr
    restored = tifffile.imread(tmp_path / f"in.{task}.tif")
    # By what ran, and not chosen anew: runtimes sum in other orders, and native differs from eager
    # by 4.7e-7 of projection's range. One runtime gave the same bits in hundreds of runs with its
    # input at every alignment, on one thread and on two, and within each of three instruction sets.
    (told,) = json.loads(done.stdout)
    ran = {name: told["ran"][name] for name in ("runtime", "threads")}
    expected = unifmir.restore(raw, model, task=task, options=options_for(task), **ran)
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored, expected)
    before, after = tasks_shape(task, raw.shape)
    assert (raw.shape, restored.shape) == (before, after)


def small_sample(task: str, planes: int) -> np.ndarray:
    """A corner of the task's sample as the tiny networks read it."""
    raw = sample(task).image
    if task == "volume":
        raw = raw[:24, :27]
    else:
        raw = raw[:planes, :24, :32] if raw.ndim == 3 else raw[:24, :32]
    return raw


def tasks_shape(task: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of an image, and of what a tiny network makes of it."""
    after = {
        "sr": tuple(2 * length for length in shape),
        "projection": shape[-2:],
        "volume": (5, *shape),
    }
    return shape, after.get(task, shape)


def test_the_result_keeps_the_field_of_view_and_says_what_ran(image, model):
    done = run(image, "--model", model, "--device", "cpu", "--json")
    assert done.exit_code == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["output"] == str(image.with_name("cells.sr.tif"))
    assert (told["shape"], told["out_shape"]) == ([1, 1, 1, 70, 52], [1, 1, 1, 140, 104])
    assert (told["ran"]["model"], told["ran"]["device"]) == ("tiny.safetensors", "cpu")
    assert told["ran"]["runtime"]
    assert told["peak_memory_bytes"] > 0
    assert len(told["halo"]) == 3
    info = open_source(Path(told["output"])).info
    assert info.pixel_size_um == pytest.approx((PIXEL_UM / 2, PIXEL_UM / 2), rel=1e-3)


def test_zarr_in_is_zarr_out_and_tiles_leave_no_seam(image, model, tmp_path):
    pytest.importorskip("zarr", reason="an extra")
    first = run(image, "--model", model, "--format", "zarr")
    assert first.exit_code == 0, first.stderr
    made = tmp_path / "cells.sr.ome.zarr"
    again = run(made, "--model", model, "--tile", 96, "--json")
    assert again.exit_code == 0, again.stderr
    (told,) = json.loads(again.stdout)
    assert Path(told["output"]).name == "cells.sr.sr.ome.zarr"
    assert told["tiles"] > 1
    expected = unifmir.restore(plane(made), model)
    seam = np.abs(plane(Path(told["output"])) - expected).max()
    assert seam < 1e-3 * np.ptp(expected)


def plane(path: Path) -> np.ndarray:
    """The one plane of an image."""
    source = open_source(path)
    t, c, z, y, x = (slice(0, length) for length in source.shape)
    values: np.ndarray = source.read((t, c, z, y, x))[0, 0, 0]
    return values


def test_axes_that_the_file_says_wrongly_are_told(tiny_single, tmp_path):
    save(tiny_single("projection"), tmp_path / "tiny.safetensors")
    raw = small_sample("projection", planes=6)
    tifffile.imwrite(tmp_path / "in.tif", raw, imagej=True, metadata={"axes": "TYX"})
    options = ("--task", "projection", "--model", tmp_path / "tiny.safetensors")
    refused = run(tmp_path / "in.tif", *options)
    assert refused.exit_code == 2
    assert "planes" in refused.stderr
    done = run(tmp_path / "in.tif", *options, "--axes", "zyx")
    assert done.exit_code == 0, done.stderr
    assert tifffile.imread(tmp_path / "in.projection.tif").shape == raw.shape[-2:]


def test_an_array_is_restored_by_the_facade(tiny_single):
    raw = small_sample("denoise", planes=3)
    network = tiny_single("denoise")
    whole = unifmir.restore(raw, network, task="denoise", device="cpu")
    tiled = unifmir.restore(raw, network, task="denoise", options=Options(tile=24, halo=16))
    assert whole.shape == raw.shape
    assert whole.dtype == np.float32
    assert np.abs(whole - tiled).max() < 0.05 * np.ptp(whole)


def test_the_model_that_ships_is_named_and_needs_a_task(image):
    refused = run(image)
    assert refused.exit_code == 2
    assert "--task" in refused.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--tile", "big"), "expected auto"),
        (("--model", "a", "--artifact", "b"), "not both"),
        (("--artifact", "missing.onnx"), "no such file"),
        (("--device", "gpu", "--task", "sr"), "unknown device 'gpu'"),
        (("--pixel-size", "0", "--task", "sr"), "more than 0"),
    ],
)
def test_wrong_options_are_refused_with_advice(image, options, told):
    refused = run(image, *options)
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert not list(image.parent.glob("*.sr.*"))


def test_a_source_that_is_no_image_leaves_nothing(tmp_path, model):
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and then nothing")
    refused = run(tmp_path / "broken.tif", "--model", model)
    assert refused.exit_code == 2
    assert "broken.tif" in refused.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"broken.tif", "model"}


@pytest.mark.slow
def test_a_file_that_is_not_the_one_that_was_verified_is_told_with_both_hashes(image, model):
    folder = model.parent
    (artifact,) = unifmir.export(unifmir.load(model), folder, formats=("onnx",))
    as_verified = run(image, "--artifact", artifact.path, "--task", "sr")
    assert as_verified.exit_code == 0, as_verified.stderr
    assert "verified" not in as_verified.stderr
    # The same network with another remark: it runs as before, and is another file.
    graph = onnx.load(artifact.path)
    graph.doc_string = "edited by hand"
    onnx.save(graph, artifact.path)
    found = sha256_of(artifact.path)
    assert found != artifact.sha256
    edited = run(image, "--artifact", artifact.path, "--overwrite")
    assert edited.exit_code == 0, edited.stderr
    (told,) = [line for line in edited.stderr.splitlines() if "was verified" in line]
    assert told.startswith("WARNING")
    assert str(artifact.path) in told
    assert f"its report is about sha256 {artifact.sha256}, this is {found};" in told
    assert "unifmir verify" in told
    # A file that came without its report is run, and nothing is claimed of it.
    artifact.path.with_name(artifact.path.name + REPORT_SUFFIX).unlink()
    alone = run(image, "--artifact", artifact.path, "--overwrite")
    assert alone.exit_code == 0, alone.stderr
    assert "verified" not in alone.stderr


def test_an_existing_result_is_kept_unless_told_otherwise(image, model):
    target = image.with_name("cells.sr.tif")
    target.write_bytes(b"precious")
    assert run(image, "--model", model).exit_code == 2
    assert run(image, "--model", model, "--skip-existing").exit_code == 0
    assert target.read_bytes() == b"precious"
    assert run(image, "--model", model, "--overwrite").exit_code == 0
    assert tifffile.imread(target).shape == (140, 104)


SLOWLY = """
import signal, sys, time
from unifmir.restoration import executor as engine

# A process that was started in the background ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

def slow(*arguments):
    time.sleep(0.3)
    return restore_tile(*arguments)

restore_tile, engine.restore_tile, engine.COMMIT_SECONDS = engine.restore_tile, slow, 0
from unifmir.cli.main import run
run()
"""
"""The command with time to interrupt it."""


@pytest.mark.slow  # a process is interrupted, and goes on in another
@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_an_interrupted_run_leaves_no_half_file_and_goes_on(tmp_path, model, sent, code):
    image, target = tmp_path / "large.tif", tmp_path / "large.sr.tif"
    values = np.random.default_rng(1).integers(100, 4000, (160, 160)).astype(np.uint16)
    tifffile.imwrite(image, values, imagej=True)
    command = ["restore", str(image), "--model", str(model), "--tile", "96", "--device", "cpu"]
    first = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *command],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with ended_with_test(first):
        wait_for_finished_tiles(first, journal_path(target))
        first.send_signal(sent)
        _, said = first.communicate(timeout=60)
    assert first.returncode == code, said
    assert not target.exists()
    if sent != signal.SIGKILL:
        assert "same command again" in said
    second = run(*command[1:], "--json")
    assert second.exit_code == 0, second.stderr
    (told,) = json.loads(second.stdout)
    assert 0 < told["tiles_resumed"] < told["tiles"]
    assert "going on with an interrupted run" in second.stderr
    whole = run(*command[1:], "--out", tmp_path / "o")
    assert whole.exit_code == 0, whole.stderr
    expected = tifffile.imread(tmp_path / "o" / target.name)
    np.testing.assert_array_equal(tifffile.imread(target), expected)
    assert not list(tmp_path.glob(".unifmir*"))


def wait_for_finished_tiles(process: subprocess.Popen[str], journal: Path) -> None:
    """Until the journal has a finished tile.

    It is looked for by its name: beside it lies for a moment what becomes it, under another.
    """
    for _ in range(1200):
        assert process.poll() is None, process.communicate()[1]
        if journal.exists() and journal.read_text().count("\n") > 1:
            return
        time.sleep(0.05)
    raise AssertionError("no tile was finished")

"""`unifmir data`: pairs simulated, prepared and shown, and how the commands fail and end."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.helpers.command_line import run, told
from tests.helpers.lab_folders import files_of, lab_folder, write
from unifmir.images import open_source
from unifmir.tasks import TASKS


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_simulated_pairs_lie_in_two_folders_and_prepare_as_they_are(task, tmp_path):
    size = 8 if TASKS[task].simulation.views else 24
    lab = tmp_path / "lab"
    made = run("data", "simulate", "--task", task, "--out", lab, "--images", 2, "--size", size)
    assert made.exit_code == 0, made.stderr
    source = open_source(lab / "input/0000.tif")
    assert source.info.axes == TASKS[task].input_axes
    assert source.dtype == np.uint16
    before = files_of(lab)
    assert run("data", "simulate", "--task", task, "--out", lab, "--images", 2, "--size", size)
    assert files_of(lab) == before
    out = tmp_path / "a.zarr"
    result = run(
        "data", "prepare", lab, "--task", task, "--max-saturated", 1, "--out", out, "--json"
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["set_aside"] == {}
    assert document["splits"]["train"]["files"] == 2
    shown = run("data", "show", out, "--out", tmp_path / "sheet.png")
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize(("times", "contrast"), [(1, "pair"), (20, "image")])
def test_a_sheet_shows_pairs_of_one_unit_at_one_contrast(tmp_path, times, contrast):
    lab = lab_folder(tmp_path / "lab", pairs=2, shape=(16, 16))
    images = [tifffile.imread(lab / part / "00.tif").astype(float) for part in ("low", "high")]
    images[1] *= times
    for number in range(2):
        truth = tifffile.imread(lab / f"high/{number:02d}.tif")
        write(lab / f"high/{number:02d}.tif", truth * np.uint16(times), "yx")
    out = tmp_path / "a.zarr"
    assert run("data", "prepare", lab, "--task", "denoise", "--out", out).exit_code == 0
    result = run("data", "show", out, "--out", tmp_path / "sheet.png", "--json")
    document = json.loads(result.stdout)
    assert document["contrast"] == contrast
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (document["height"], document["width"])
    side, gap = 96, 4
    limits = np.array([np.percentile(image, (2, 99.8)) for image in images])
    if contrast == "pair":
        limits[:] = limits[:, 0].min(), limits[:, 1].max()
    for place, (image, (low, high)) in enumerate(zip(images, limits, strict=True)):
        expected = np.clip(((image - low) / (high - low) + 0.05) / 1.1, 0, 1) * 255
        left = place * (side + gap)
        found = sheet[:side:6, left : left + side : 6]
        np.testing.assert_allclose(found, expected, atol=1.01)
    assert sheet[side + gap :].min() < 64, "the words below"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--out", "a.zarr"], "Name the task with --task"),
        (["--task", "sr", "--out", "a"], "ends in .zarr"),
        (["--task", "sr", "--out", "a.zarr"], "which images are inputs"),
        (["--task", "sr", "--truth", "b", "--out", "a.zarr"], "name the inputs too"),
        (["--task", "sr", "--axes", "yx", "--out", "a.zarr"], "are of inputs named"),
        (["--recipe", "planaria", "--out", "a.zarr"], "did you mean 'care-planaria'"),
        (["--recipe", "biosr", "--task", "denoise", "--out", "a.zarr"], "that it is sr"),
        (["--task", "sr", "--validation", "2", "--out", "a.zarr"], "--validation"),
    ],
)
def test_wrong_options_exit_with_2(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("data", "prepare", tmp_path, *arguments)
    assert result.exit_code == 2
    assert expected in told(result)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_preparation_leaves_nothing_half_and_ends_as_if_undisturbed(tmp_path):
    lab = lab_folder(tmp_path / "lab", pairs=12, shape=(4, 24, 24))
    arguments = [sys.executable, "-m", "unifmir", "data", "prepare", str(lab), "--task", "denoise"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    def started(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*arguments, "--patch", "8", "--out", str(out)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    began = time.monotonic()
    assert started(tmp_path / "calm.zarr").wait(timeout=120) == 0
    took = time.monotonic() - began
    expected = files_of(tmp_path / "calm.zarr")
    rng = random.Random(0)
    (tmp_path / "killed").mkdir()
    out = tmp_path / "killed/a.zarr"
    for _ in range(6):
        process = started(out)
        time.sleep(rng.uniform(0.3, 1.0) * took)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        if out.exists():
            assert files_of(out) == expected
    assert started(out).wait(timeout=120) == 0
    assert files_of(out) == expected
    assert [path.name for path in out.parent.iterdir()] == ["a.zarr"]

"""The napari plugin, in a session without a screen: `make napari-check` runs it where napari is."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unifmir.tasks import TASKS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("napari"),
    pytest.mark.skipif(
        find_spec("napari") is None, reason="napari is not installed: `make napari-check` does it"
    ),
    pytest.mark.skipif(
        "DISPLAY" not in os.environ and shutil.which("xvfb-run") is None,
        reason="napari's OpenGL needs an X server, if a made-up one: apt-get install xvfb",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session leaves its arrays."""
    return tmp_path_factory.mktemp("napari")


@pytest.fixture(scope="module")
def seen(folder: Path) -> Any:
    """What the session saw."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "NAPARI_CONFIG": ""}
    session = [sys.executable, "-m", "tests.helpers.napari_session", str(folder)]
    run = subprocess.run(
        session if "DISPLAY" in os.environ else ["xvfb-run", "-a", *session],
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads((folder / "seen.json").read_text("utf-8"))


@pytest.mark.parametrize("task", TASKS)
def test_a_result_is_that_of_the_command(task, seen, folder):
    result = folder / f"{task}.result.tif"
    more = ["--z-factor", "1"] if TASKS[task].isotropic_sampling else []
    run = [sys.executable, "-m", "unifmir", "restore", f"{task}.tif", "--task", task]
    subprocess.run(
        [*run, "--out", result.name, "--json", *more], cwd=folder, check=True, capture_output=True
    )
    restored = np.load(folder / f"{task}.npy")
    assert restored.dtype == np.float32
    assert restored.tobytes() == np.ascontiguousarray(tifffile.imread(result)).tobytes()


LAID_OUT: dict[str, dict[str, tuple[float, float]]] = {
    # Scale and translation of the result in those of the sample, by axis.
    "sr": {"y": (0.5, -0.25), "x": (0.5, -0.25)},
    "denoise": {"z": (1, 0), "y": (1, 0), "x": (1, 0)},
    "isotropic": {"z": (1, 0), "y": (1, 0), "x": (1, 0)},
    "projection": {"y": (1, 0), "x": (1, 0)},
    "volume": {"z": (1, 0), "y": (1, 0), "x": (1, 0)},
}


@pytest.mark.parametrize("task", TASKS)
def test_a_result_lies_where_the_sample_lies(task, seen):
    before, after = seen["tasks"][task]["before"], seen["tasks"][task]["after"]
    expected = LAID_OUT[task]
    assert after["labels"] == list(expected)
    rows = zip(before["labels"], before["scale"], before["units"], strict=True)
    known = {label: (scale, unit) for label, scale, unit in rows}
    for index, (axis, (step, offset)) in enumerate(expected.items()):
        # Planes that a model makes have no distance: they are laid out as the pixels are.
        scale, unit = known.get(axis, known["x"])
        assert after["scale"][index] == pytest.approx(step * scale)
        assert after["translate"][index] == pytest.approx(offset * scale)
        assert after["units"][index] == unit
    assert after["colormap"] == "green"
    if TASKS[task].normalization.invertible:
        assert after["contrast"] == before["contrast"]
    else:
        assert after["contrast"] != before["contrast"]
    assert seen["tasks"][task]["told"][-1].startswith("restored in ")


def test_progress_is_told_here_and_in_the_task_manager(seen):
    told = seen["tasks"]["denoise"]["told"]
    assert any(line.startswith("restoring, ") for line in told)
    title = TASKS["denoise"].title
    assert any(f"UniFMIR: {title}" in line for line in seen["task_manager"])


def test_a_part_that_is_tried_is_that_part_of_the_whole(seen):
    part = seen["part"]
    (plane, row, column), (planes, rows, columns) = part["first"], part["part"]["shape"]
    assert (plane, planes) == (3, 1)
    # The camera looks at 60, 70 of 128 x 128 pixels.
    assert abs(row + (rows - 1) / 2 - 60) <= 1
    assert abs(column + (columns - 1) / 2 - 70) <= 1
    assert 20 < rows < 128
    assert 20 < columns < 128
    assert part["part"]["scale"] == pytest.approx([2.0, 0.1, 0.1])
    place = [16.0, 0.1 * row, 5.0 + 0.1 * column]
    assert part["part"]["translate"] == pytest.approx(place)
    assert part["part"]["units"] == ["micrometer"] * 3
    assert part["error"] < 1e-5


def test_the_corners_of_a_turned_layer_are_those_of_its_result(seen):
    assert seen["turned"] < 1e-9


def test_a_cancelled_restoration_ends_its_process_and_leaves_nothing(seen):
    found = seen["cancelled"]
    assert found["ended"]
    assert found["seconds"] < 10
    assert found["told"] == "cancelled"
    assert found["layers"] == 1
    assert not found["busy"]


def test_what_cannot_be_restored_is_told(seen):
    assert "expected 3 letters" in seen["refused"]["axes"]
    said = seen["refused"]["z step"]
    assert said.startswith("Pollen grain, z interpolated does not say how far apart its planes are")
    assert "z_factor 4" in said
    assert "colour picture" in seen["refused"]["colours"]


def test_the_viewers_process_never_imports_torch(seen):
    assert seen["torch"] == []

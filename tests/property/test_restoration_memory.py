"""Gigapixels stream through, and go on after a kill; a stand-in is the network."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import psutil
import pytest

from tests.helpers.restoration_cases import SMALL, ChecksumSink, CountingSource
from unifmir.machine import resident_bytes
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import RestorationProgress, restore
from unifmir.restoration.journal import Journal
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan
from unifmir.tasks.base import Intensity

BOUND = 3 * 2**30
"""Bytes: of the smallest image here float32 would take 4 GB."""


class StatisticsSink(ChecksumSink):
    """What a sink on disk keeps, without the disk: a kill leaves what was flushed."""

    resumed = True


def run(folder: Path, side: int, die_at: int | None) -> None:
    """Restore; die after so many tiles. Writes what was done, and the largest memory."""
    peak, sinks = 0, []

    def on_progress(progress: RestorationProgress) -> None:
        nonlocal peak
        peak = max(peak, psutil.Process().memory_info().rss)
        if progress.tiles_done - before[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def sink_of(plan: RestorationPlan) -> StatisticsSink:
        sinks.append(StatisticsSink(plan.out_shape))
        return sinks[-1]

    journal = Journal(folder / "journal", source="generated", model="stand-in")
    before = [0]
    config = replace(SMALL.single("denoise"), in_channels=1)
    summary = restore(
        CountingSource((1, 1, 1, side, side)),
        sink_of,
        Predictor(lambda image: image, config),
        Options(tile=4096, halo=32),
        journal=journal,
        on_progress=on_progress,
    )
    figures = {
        "peak": peak,
        "pixels": sinks[0].pixels,
        "tiles": summary.tiles,
        "resumed": summary.tiles_resumed,
        "intensity": summary.plan.intensity_facts()["intensity"],
    }
    (folder / "figures.json").write_text(json.dumps(figures))


SMALLER, TILE, HALO = 8192, 2048, 32
"""67 megapixels in 25 tiles."""
AROUND = 14
"""Pixels that `local` reads around a tile besides (docs/restore.md)."""
ARRAYS = 8
"""Arrays of float32 of a tile's size that may be in memory at once.

Raw, restored, what the line leaves, its low frequencies and the sums between them: `local` grew by
88 MiB, 5.0 such arrays, the other intensities by 49 MiB. A whole result would be 256 MiB.
"""


def measure_growth(path: Path, intensity: Intensity) -> None:
    """Restore, and write by how many bytes the process grew at its largest."""
    config = replace(SMALL.single("denoise"), in_channels=1)
    predictor = Predictor(lambda image: image, config)
    options = Options(tile=TILE, halo=HALO, intensity=intensity)

    def restored(side: int) -> RestorationPlan:
        source = CountingSource((1, 1, 1, side, side))
        return restore(source, lambda plan: ChecksumSink(plan.out_shape), predictor, options).plan

    restored(64)  # what is imported on the way is no memory of the image
    before = resident_bytes("VmRSS")
    plan = restored(SMALLER)
    facts = {
        "grown": resident_bytes("VmHWM") - before,
        "adds_low_frequencies": plan.adds_low_frequencies,
        "kept": plan.kept,
        "tiles": len(plan.tiles),
    }
    path.write_text(json.dumps(facts))


@pytest.mark.slow
@pytest.mark.parametrize("intensity", get_args(Intensity))
def test_memory_is_that_of_a_tile_however_intensities_come_back(tmp_path, intensity):
    path = tmp_path / "figures.json"
    script = (
        "from pathlib import Path\n"
        "from tests.property.test_restoration_memory import measure_growth\n"
        f"measure_growth(Path({str(path)!r}), {intensity!r})\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)
    found = json.loads(path.read_text())
    assert found["adds_low_frequencies"] == (intensity == "local")
    assert not found["kept"]
    assert found["tiles"] > 16
    bound = ARRAYS * 4 * (TILE + 2 * (HALO + AROUND)) ** 2
    assert found["grown"] < bound < 4 * SMALLER**2


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "side",
    [
        pytest.param(32_000, id="1 gigapixel"),
        # Twenty times as long.
        pytest.param(142_000, id="20.2 gigapixels", marks=pytest.mark.long),
    ],
)
def test_gigapixels_take_little_memory_and_survive_a_kill(side, tmp_path):
    root = Path(__file__).resolve().parents[2]

    def start(die_at: int | None) -> int:
        script = (
            "from pathlib import Path\n"
            "from tests.property.test_restoration_memory import run\n"
            f"run(Path({str(tmp_path)!r}), {side}, {die_at})\n"
        )
        return subprocess.run([sys.executable, "-c", script], cwd=root).returncode

    assert start(die_at=40) == -signal.SIGKILL
    assert start(die_at=None) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["peak"] < BOUND
    assert figures["intensity"] == "local", "the low frequencies are streamed too"
    # The last two seconds before the kill are lost, no more.
    assert 0 < figures["resumed"] <= 40
    per_tile = side * side / figures["tiles"]
    assert figures["pixels"] > side * side - 1.1 * figures["resumed"] * per_tile

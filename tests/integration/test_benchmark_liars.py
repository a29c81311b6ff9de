"""Runtimes that lie are caught by a real benchmark: each has its word, and none is recommended."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from tests.compat.packages import network
from tests.helpers.short_benchmarks import plan_of, short
from unifmir.benchmarks.measure import benchmark_run as measure
from unifmir.benchmarks.measure.benchmark_run import benchmark
from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.tables.summary_table import summary_text
from unifmir.checkpoint.saving import save

pytestmark = pytest.mark.slow  # five runtimes, each in processes of its own

REPO = Path(__file__).resolve().parents[2]
SITE = """
from contextlib import ExitStack

from unifmir.export.runtimes import RUNTIMES

KEPT = ExitStack()
for name in ("sleeper", "painter", "fallen", "sandman"):
    KEPT.enter_context(RUNTIMES.extended(name, f"liars:{name.upper()}"))
"""
LIARS = '''
"""Runtimes that sleep, paint another picture, fall back, and slow their own clock."""

import time
from dataclasses import replace

from unifmir.export.runtimes.base import HostSession, Timing
from unifmir.export.runtimes.pytorch import ModuleRuntime


class Liar(ModuleRuntime):
    def __init__(self, name, change):
        self.name, self.change = name, change

    def open(self, source, *, device, threads):
        return self.change(super().open(source, device=device, threads=threads))


def sleeps(session):
    def compute(image):
        time.sleep(0.05)
        return session.compute(image)

    return replace(session, compute=compute)


def paints(session):
    return replace(session, compute=lambda image: 1.01 * session.compute(image))


def falls_back(session):
    return replace(session, fallbacks=("the accelerator did not load: it ran on the CPU",))


class SlowClock(HostSession):
    def timed(self, image):
        true = HostSession.timed(self, image)
        return Timing(0.2 * true.wall_ms, 0.2 * true.cpu_ms)


def slows_the_clock(session):
    return SlowClock(session.compute, session.ran, session.fallbacks)


SLEEPER = Liar("sleeper", sleeps)
PAINTER = Liar("painter", paints)
FALLEN = Liar("fallen", falls_back)
SANDMAN = Liar("sandman", slows_the_clock)
'''


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    """A benchmark of an honest runtime beside four that lie."""
    folder = tmp_path_factory.mktemp("liars")
    save(network("sr"), folder / "sr.safetensors")
    (folder / "sitecustomize.py").write_text(SITE)
    (folder / "liars.py").write_text(LIARS)
    with pytest.MonkeyPatch.context() as patch:
        short(patch)
        patch.setattr(measure, "_peaks", lambda *_: ())
        patch.syspath_prepend(folder)
        # The workers are processes of their own: they find the rows as these lines do here.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(REPO)]))
        rows: dict[str, object] = {}
        exec(SITE, rows)
        with cast("ExitStack", rows["KEPT"]):
            plan = plan_of(
                folder / "sr.safetensors",
                runtimes=("eager", "sleeper", "painter", "fallen", "sandman"),
                rounds=3,
                seconds=0.3,
            )
            return benchmark(plan, folder / "results.json")


@pytest.fixture(scope="module")
def rows(results) -> dict[str, Row]:
    """Row by runtime."""
    found = {row.subject.runtime: row for row in results.rows}
    assert all(row.error == "" for row in found.values())
    return found


def test_one_that_sleeps_is_as_slow_as_it_was_and_said_to_wait(rows):
    row = rows["sleeper"]
    assert row.latency is not None
    # It sleeps for 50 ms; waits for a core right beside its clock may be taken off too.
    assert row.latency.median_ms > 35
    assert row.ratio is not None
    assert row.ratio.ratio < 1
    assert row.word in ("waits", "wide")
    assert any("it waits for something else" in text for text in row.remarks)


def test_one_that_returns_another_picture_is_not_trusted(rows):
    row = rows["painter"]
    assert row.word == "differs"
    assert not row.ranked
    assert row.same_picture is not None
    assert not row.same_picture["passed"]
    # One per cent of a picture's intensities.
    assert 30 < row.same_picture["psnr_db"] < 60


def test_one_that_fell_back_is_not_trusted(rows):
    assert rows["fallen"].word == "moved"
    assert rows["fallen"].problems[0] == "the accelerator did not load: it ran on the CPU"
    assert not rows["fallen"].ranked


def test_one_whose_clock_is_slow_is_not_trusted(rows):
    assert rows["sandman"].word == "clock"
    assert not rows["sandman"].ranked


def test_none_of_them_is_what_to_use(results):
    text = summary_text(results)
    assert "use eager in fp32: nothing else that is trusted was faster" in text
    for word in ("differs", "moved", "clock"):
        assert f" {word}\n" in text

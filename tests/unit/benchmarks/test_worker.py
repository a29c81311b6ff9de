import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from unifmir import machine
from unifmir.benchmarks.measure import worker as worker_module
from unifmir.benchmarks.measure import worker_process
from unifmir.benchmarks.measure.model_spec import ModelSpec
from unifmir.benchmarks.measure.worker import Worker, answer, serve, settled
from unifmir.benchmarks.measure.worker_process import (
    KEPT_MEMORY,
    WorkerError,
    WorkerProcess,
    environment,
)
from unifmir.checkpoint.saving import save
from unifmir.export.runtimes.base import Clock, Timing
from unifmir.machine import resident_bytes
from unifmir.model import image_interface

LONG_S = 120.0
"""For one answer on a busy machine."""


@pytest.fixture
def opened(tiny_single, tmp_path):
    """Values of an `open` command for the tiny sr network."""
    model, image = tmp_path / "model.safetensors", tmp_path / "input.npy"
    save(tiny_single("sr"), model)
    np.save(image, np.random.default_rng(0).random((1, 1, 16, 16), dtype=np.float32))
    return {
        "runtime": "eager",
        "source": ModelSpec(model).to_dict(),
        "image": str(image),
        "device": "cpu",
        "threads": 1,
    }


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Put a few lines in the worker's place."""

    def install(code: str) -> None:
        (tmp_path / "stand_in_worker.py").write_text(code)
        monkeypatch.setattr(worker_process, "MODULE", "stand_in_worker")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return install


def test_the_commands_in_their_order(opened, tmp_path):
    with WorkerProcess(tmp_path / "worker", 1) as worker:
        told = worker.ask("open", timeout_s=LONG_S, **opened)
        assert told["output_shape"] == [1, 1, 32, 32]
        assert told["fallbacks"] == []
        assert told["ran"]["threads"] == 1
        assert told["import_ms"] > 100  # torch
        assert told["load_ms"] > 0
        assert told["first_run_ms"] > 0
        warm = worker.ask("warm_up", timeout_s=LONG_S, runs=20, seconds=0.5)
        assert 2 <= len(warm["wall_ms"]) <= 20
        visit = worker.ask("visit", timeout_s=LONG_S, runs=3, settling=True)
        assert len(visit["wall_ms"]) == len(visit["cpu_ms"]) == 3
        assert visit["device_ms"] == visit["copy_ms"] == []
        assert visit["process_cpu_ms"] >= sum(visit["cpu_ms"])
        worker.ask("save", timeout_s=LONG_S, path=str(tmp_path / "output.npy"))
        memory = worker.ask("memory", timeout_s=LONG_S)
        assert memory["peak_rss_bytes"] > memory["before_load_bytes"] > 50e6
        assert memory["device_bytes"] is None
    assert np.load(tmp_path / "output.npy").shape == (1, 1, 32, 32)


def test_what_a_checkpoint_makes_of_an_image_in_fp64(opened, tiny_single, tmp_path):
    image = np.load(opened["image"])
    with WorkerProcess(tmp_path / "worker", 1) as worker:
        source = ModelSpec.from_dict(opened["source"])
        worker.save_exact(source, image, tmp_path / "exact.npy", timeout_s=LONG_S)
    found = np.load(tmp_path / "exact.npy")
    with torch.inference_mode():
        expected = image_interface(tiny_single("sr")).double()(torch.from_numpy(image).double())
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)


@dataclass
class FakeRuns:
    """A session whose runs take a second by its clock, and lose their core for so long."""

    losses_ms: list[float]
    clock: float = 1.0
    """What its clock makes of a second."""
    ran: Mapping[str, Any] = field(default_factory=dict)
    fallbacks = ()
    lost_ms: float = 0.0

    def run(self, image):
        return image

    def timed(self, image):
        self.lost_ms += self.losses_ms.pop(0)
        return Timing(self.clock * 1000.0, self.clock * 700.0)


def visited(monkeypatch, opened, session: FakeRuns) -> dict[str, Any]:
    """What a visit of two runs says."""
    monkeypatch.setattr(worker_module, "queued_ms", lambda: session.lost_ms)
    monkeypatch.setattr(worker_module, "open_session", lambda *_, **__: session)
    worker = Worker()
    worker.open(**opened)
    return worker.visit(runs=2, settling=False)


@pytest.mark.parametrize(
    ("threads", "device", "wall_ms", "taken_off"),
    [
        (1, "cpu", [750.0, 700.0], True),
        (2, "cpu", [1000.0, 1000.0], False),
        (1, "cuda:0", [1000.0, 1000.0], False),
    ],
)
def test_time_without_a_core_is_taken_off_where_one_thread_computes(
    opened, monkeypatch, threads, device, wall_ms, taken_off
):
    # Of the second's 900 ms not all can have been in its time.
    session = FakeRuns([250.0, 900.0])
    visit = visited(monkeypatch, {**opened, "threads": threads, "device": device}, session)
    assert visit["wall_ms"] == wall_ms
    assert (visit["queued_ms"], visit["taken_off"]) == (250.0 + 300.0, taken_off)


@pytest.mark.parametrize("clock", [1.0, 0.2], ids=["honest", "slow clock"])
def test_a_core_lost_beside_the_clock_is_no_lie_of_the_clock(opened, monkeypatch, clock):
    session = FakeRuns([1800.0, 1800.0], clock)

    class TrueClock:
        def read(self):
            # Each run computed for 700 ms and had no core for 1800, of which 300 in its own time.
            return 700.0 * (2 - len(session.losses_ms)) + session.lost_ms, 0.0

    monkeypatch.setattr(worker_module, "Clock", TrueClock)
    assert visited(monkeypatch, opened, session)["told"] == pytest.approx(clock)


def test_a_wait_between_two_readings_is_read_again(monkeypatch):
    readings = iter([0.0, 40.0, 40.0, 40.0])
    monkeypatch.setattr(worker_module, "queued_ms", lambda: next(readings))
    passed = iter([(10.0, 0.0), (50.0, 0.0)])

    class TwoTimes(Clock):
        def read(self):
            return next(passed)

    assert worker_module.reading(TwoTimes()) == (50.0, 40.0)


@pytest.mark.slow
def test_an_error_is_an_answer_and_the_worker_goes_on(opened, tmp_path):
    missing = {**opened, "source": ModelSpec(tmp_path / "none.safetensors").to_dict()}
    with WorkerProcess(tmp_path / "worker", 1) as worker:
        with pytest.raises(WorkerError, match=r"none\.safetensors"):
            worker.ask("open", timeout_s=LONG_S, **missing)
        with pytest.raises(WorkerError, match="nothing is open"):
            worker.ask("visit", timeout_s=LONG_S, runs=1, settling=False)
        worker.ask("open", timeout_s=LONG_S, **opened)


def test_what_libraries_print_does_not_reach_the_answers(script, tmp_path):
    script(
        "import os, sys\n"
        "from unifmir.benchmarks.measure import worker\n"
        "class Loud(worker.Worker):\n"
        "    def memory(self):\n"
        "        print('a library speaks'); os.write(1, b'and a native one\\n')\n"
        "        return {'peak': 1}\n"
        "worker.Worker = Loud\n"
        "worker.main()\n"
    )
    with WorkerProcess(tmp_path / "worker", 1) as worker:
        assert worker.ask("memory", timeout_s=LONG_S) == {"peak": 1}
    messages = (tmp_path / "worker" / "stderr.txt").read_text()
    assert "and a native one" in messages


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.kill(os.getpid(), 9)", "want of memory"),
        ("import os; os.abort()", "SIGABRT"),
        ("raise RuntimeError('the library is broken')", "the library is broken"),
        ("import sys; sys.exit(3)", "status 3"),
    ],
)
def test_how_a_worker_died_is_told(script, tmp_path, code, told):
    script(f"import sys\nsys.stdin.readline()\n{code}\n")
    with (
        WorkerProcess(tmp_path / "worker", 1) as worker,
        pytest.raises(WorkerError, match=told) as caught,
    ):
        worker.ask("visit", timeout_s=LONG_S)
    assert "died during 'visit'" in str(caught.value)


def test_a_worker_that_hangs_is_ended(script, tmp_path):
    script("import time\ntime.sleep(600)\n")
    with WorkerProcess(tmp_path / "worker", 1) as worker:
        with pytest.raises(WorkerError, match="no answer to 'visit' within 1 s"):
            worker.ask("visit", timeout_s=1)
        with pytest.raises(WorkerError, match="died"):
            worker.ask("visit", timeout_s=1)


def test_a_worker_ends_when_nobody_asks_any_more():
    out = io.StringIO()
    serve(io.StringIO(json.dumps({"command": "memory"}) + "\n"), out)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["ok"] is True


@pytest.mark.parametrize("line", ["not json", '{"command": "dance"}', '{"command": "visit"}'])
def test_nonsense_is_answered(line):
    told = answer(Worker(), line)
    assert told["ok"] is False
    assert told["error"]


def test_warm_up_has_settled_when_the_last_five_agree():
    assert not settled([1.0, 1.0, 1.0])
    assert not settled([1.0, 1.0, 1.05, 1.0, 1.0])
    assert settled([9.0, 1.0, 1.01, 1.0, 1.0, 1.01])


def test_the_resident_set_is_read():
    assert 0 < resident_bytes("VmRSS") <= resident_bytes("VmHWM")


def test_the_resident_set_is_read_where_there_is_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "STATUS", tmp_path / "missing")
    assert resident_bytes("VmRSS") > 0
    assert resident_bytes("VmHWM") > 0


def test_a_worker_has_its_threads_and_does_not_spin(tmp_path):
    values = environment(tmp_path, 3)
    assert values["OMP_NUM_THREADS"] == values["MKL_NUM_THREADS"] == "3"
    assert values["OMP_WAIT_POLICY"] == "PASSIVE"
    assert values["NVIDIA_TF32_OVERRIDE"] == "0"


def test_memory_is_kept_unless_a_plain_process_is_wanted(tmp_path, monkeypatch):
    for name in KEPT_MEMORY:
        monkeypatch.delenv(name, raising=False)
    assert KEPT_MEMORY.items() <= environment(tmp_path, 1).items()
    assert not KEPT_MEMORY.keys() & environment(tmp_path, 1, keep_memory=False).keys()

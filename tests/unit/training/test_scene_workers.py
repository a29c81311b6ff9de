"""Scenes that change as a training goes, and the processes that simulate them ahead."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.helpers.waiting_process import ended_with_test
from unifmir.errors import CheckpointError, SimulationError
from unifmir.networks.base import Network
from unifmir.tasks import TASKS
from unifmir.training import scene_stream, scene_workers, training_run
from unifmir.training.configuration import RecipeChange, TrainingConfig
from unifmir.training.pool import Pool, joined, simulate_pool
from unifmir.training.scene_process import Scene, SceneRequest, simulate_scene
from unifmir.training.scene_stream import AHEAD, SceneStream
from unifmir.training.scene_workers import SceneProcess, SceneWorkers
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest

SIDES = {"sr": 24, "denoise": 24, "isotropic": 24, "projection": 20, "volume": 3}
WANTED = SceneRequest("sr", 7, 16, "shared")


@pytest.fixture(scope="module")
def workers() -> Iterator[SceneWorkers]:
    """One process that simulates scenes."""
    with SceneWorkers(1) as workers:
        yield workers


def same(one: Scene, two: Scene) -> bool:
    return all(
        a.dtype == b.dtype == np.float32 and np.array_equal(a, b)
        for a, b in zip(one, two, strict=True)
    )


@cache
def scene(number: int) -> Scene:
    return simulate_scene(replace(WANTED, index=number))


def numbers(stream: SceneStream, turn: int) -> list[int]:
    """Numbers of the scenes that a step draws from, by their pixels."""
    pool = Pool("sr", stream=stream).at(turn)
    made = [pool.pair(index) for index in range(len(pool))]
    return [next(n for n in range(10) if same(one, scene(n))) for one in made]


@pytest.mark.parametrize(
    "task",
    [
        # Light fields import PyTorch.
        pytest.param(task, marks=[pytest.mark.slow] * (task == "volume"))
        for task in SIDES
    ],
)
def test_another_process_simulates_the_same_scene_bit_for_bit(
    task: str, workers: SceneWorkers
) -> None:
    assert SIDES.keys() == TASKS.keys()
    wanted = SceneRequest(task, 3, SIDES[task], "own", index=2)
    assert same(workers.request(wanted).result(timeout=60), simulate_scene(wanted))


def test_new_scenes_take_the_place_of_the_oldest() -> None:
    stream = SceneStream(WANTED, 3, 0.5)
    assert numbers(stream, 0) == [0, 1, 2]
    assert numbers(stream, 1) == [0, 1, 2]
    assert numbers(stream, 2) == [1, 2, 3]
    assert numbers(stream, 7) == [3, 4, 5]
    assert numbers(SceneStream(WANTED, 3, 0.5), 7) == [3, 4, 5], "whatever was before"
    assert [stream.total(turns) for turns in (0, 1, 2, 3, 8)] == [3, 3, 3, 4, 6]


def test_without_new_ones_they_stay() -> None:
    assert numbers(SceneStream(WANTED, 2, 0.0), 9) == [0, 1]


def test_simulated_scenes_come_behind_the_stored_ones() -> None:
    images, targets = zip(scene(8), scene(9), strict=True)
    stored = Pool("sr", images, targets, "stored")
    recipe = replace(TASKS["sr"].training, scenes=2, scene_size=16, fresh_scenes=1.0)
    pool = joined(stored, simulate_pool("sr", recipe, 7, "shared")).at(4)
    assert len(pool) == 4
    assert same(pool.pair(1), (images[1], targets[1]))
    assert same(pool.pair(2), scene(4))
    assert same(pool.pair(3), scene(5))
    assert pool.origin.startswith("stored, and 2 images at a time, 1 new ones a step, simulated")


def test_few_more_than_those_of_a_step_are_held(workers: SceneWorkers) -> None:
    stream = SceneStream(WANTED, 2, 1.0)
    told: list[int] = []
    stream.start(workers, 0, 1000, told.append)
    for turn in range(3):
        stream.move(turn)
        assert sorted(stream._made) == list(range(turn, turn + 2 + AHEAD))
    for number in range(2, 4 + AHEAD):
        stream.scene(number)
    assert sorted({*told, 0, 1}) == list(range(4 + AHEAD))
    assert len(told) == len(set(told)), "each is told once"
    stream = SceneStream(WANTED, 2, 1.0)
    stream.start(workers, 0, 3, lambda _: None)
    assert sorted(stream._made) == [0, 1, 2, 3], "none behind those of the last step"


class Unwilling(SceneWorkers):
    """A process that takes up no scene, or never ends one."""

    taken: tuple[int, ...] = ()

    def request(self, wanted: SceneRequest) -> Future[Scene]:
        coming: Future[Scene] = Future()
        if wanted.index in self.taken:
            coming.set_running_or_notify_cancel()
        return coming


def test_a_scene_that_is_read_waits_for_no_other_one() -> None:
    told: list[int] = []
    with Unwilling(1) as workers:
        workers.taken = (0, 3)
        stream = SceneStream(WANTED, 4, 0.0)
        stream.start(workers, 0, 5, told.append)
        assert same(stream.scene(2), scene(2))
        assert same(stream.scene(2), scene(2))
        assert told == [2]
        assert not stream._made[0].done(), "a process has it"
        assert not stream._made[1].done(), "nobody has asked for it"


def test_a_process_that_is_killed_is_an_error_that_says_so() -> None:
    with SceneWorkers(1) as workers:
        workers.request(WANTED).result(timeout=60)
        os.kill(workers._processes[0]._process.pid, signal.SIGKILL)
        with pytest.raises(SimulationError, match=r"simulates images \(sr\) .*SIGKILL.*--resume"):
            workers.request(WANTED).result(timeout=60)


def test_what_cannot_be_simulated_is_an_error_with_its_reason(workers: SceneWorkers) -> None:
    coming = workers.request(replace(WANTED, task="nothing"))
    with pytest.raises(SimulationError, match=r"no image was simulated .*'nothing'"):
        coming.result(timeout=60)
    assert workers.request(WANTED).result(timeout=60)


def test_the_processes_end_with_the_training_and_have_little_priority() -> None:
    with SceneWorkers(1) as workers:
        workers.request(WANTED).result(timeout=60)
        (process,) = (psutil.Process(one._process.pid) for one in workers._processes)
        nice = process.nice()
        coming = [workers.request(replace(WANTED, size=200, index=n)) for n in range(4)]
    assert not process.is_running()
    assert nice >= 10
    assert all(one.cancelled() or isinstance(one.exception(), SimulationError) for one in coming)


ENDLESS = """
import sys, os, json
from unifmir.training.scene_workers import SceneProcess, SceneWorkers
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest
from unifmir.training.scene_process import SceneRequest
workers = SceneWorkers(1)
workers.request(SceneRequest("sr", 0, 16, "own")).result()
print(workers._processes[0]._process.pid, flush=True)
sys.stdin.read()
"""
"""A program without a guard of its main part, which is none of the processes' business."""


@pytest.mark.slow  # a process with one of its own
def test_the_processes_end_with_the_one_that_started_them_when_it_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    with ended_with_test(process) as started:
        assert started.stdout is not None
        worker = psutil.Process(json.loads(started.stdout.readline()))
        started.kill()
    _, alive = psutil.wait_procs([worker], timeout=30)
    assert not alive


class TestTraining:
    """Trainings whose scenes change; `once` is one that ran in this process without a stop."""

    CHANGE = RecipeChange(batch=2, patch=16, scenes=2, scene_size=24, fresh_scenes=0.5)
    CONFIG = TrainingConfig("finetune", ["sr"], init="any", steps=6, recipes={"sr": CHANGE})

    @pytest.fixture
    def network(self, tiny_single: Callable[[str], Network]) -> Network:
        return tiny_single("sr")

    def model(
        self,
        folder: Path,
        network: Network,
        *,
        workers: int,
        on_step: Callable[[int], None] = lambda _: None,
        fresh: float = 0.5,
        steps: int = 6,
    ) -> str | None:
        """Hash of the model of a training, which goes on where one was interrupted."""
        change = replace(self.CHANGE, fresh_scenes=fresh)
        config = replace(self.CONFIG, recipes={"sr": change}, steps=steps)
        request = TrainingRequest(
            folder / "model.safetensors", config, network, resume=True, workers=workers
        )
        watch = TrainingCallbacks(lambda _: None, lambda step, *_: on_step(step))
        source = training_run.train(request, watch)
        assert source is not None
        return source.sha256

    def test_it_gives_the_same_model_with_other_processes_and_after_a_stop(
        self, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        once = self.model(tmp_path / "once", network, workers=0)
        monkeypatch.setattr(training_run, "FEW_SCENES", 0)
        monkeypatch.setattr(training_run, "SAVE_EVERY", 2)

        def interrupt(step: int) -> None:
            if step == 3:  # behind the save after two
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.model(tmp_path / "stopped", network, workers=1, on_step=interrupt)
        assert self.model(tmp_path / "stopped", network, workers=1) == once
        assert self.model(tmp_path / "fixed", network, workers=0, fresh=0.0) != once
        with pytest.raises(CheckpointError, match="fresh_scenes"):
            self.refused(tmp_path / "other", network, interrupt)

    def test_it_begins_with_the_scenes_of_its_first_batches_and_draws_the_same(
        self, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change = replace(self.CHANGE, scenes=40, fresh_scenes=0.0)
        config = replace(self.CONFIG, recipes={"sr": change})
        monkeypatch.setattr(training_run, "SceneWorkers", Unwilling)
        told: list[str] = []
        found = []
        for workers in (1, 0):
            request = TrainingRequest(
                tmp_path / f"{workers}.safetensors", config, network, workers=workers
            )
            source = training_run.train(request, TrainingCallbacks(told.append, lambda *_: None))
            assert source is not None
            found.append(source.sha256)
        assert found[0] == found[1]
        assert 0 < len(told) <= 2 * 12, "six batches of two, and not forty"

    def test_the_processes_end_when_the_last_scene_is_there(
        self, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(training_run, "FEW_SCENES", 0)
        started: list[SceneProcess] = []
        monkeypatch.setattr(scene_workers, "SceneProcess", kept(SceneProcess, started))
        # Taken up at once, so that the step waits for it.
        monkeypatch.setattr(SceneStream, "scene", lambda self, n: self._made[n].result())

        def wait(step: int) -> None:
            if step == 6:
                for one in started:
                    one._process.wait(timeout=60)

        self.model(tmp_path, network, workers=1, on_step=wait, fresh=0.0)
        assert len(started) == 1

    def refused(self, folder: Path, network: Network, interrupt: Callable[[int], None]) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.model(folder, network, workers=0, on_step=interrupt)
        self.model(folder, network, workers=0, fresh=0.25)

    @pytest.mark.slow  # a process is killed
    def test_when_a_process_is_killed_the_training_can_go_on(
        self, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(training_run, "FEW_SCENES", 0)
        monkeypatch.setattr(scene_stream, "AHEAD", 0)
        started: list[SceneProcess] = []
        monkeypatch.setattr(scene_workers, "SceneProcess", kept(SceneProcess, started))

        def kill(step: int) -> None:
            if step == 1:
                os.kill(started[0]._process.pid, signal.SIGKILL)

        with pytest.raises(SimulationError, match="SIGKILL"):
            self.model(tmp_path / "killed", network, workers=1, on_step=kill, steps=30)
        assert (tmp_path / "killed" / "model.safetensors.state.pt").exists()
        again = self.model(tmp_path / "killed", network, workers=1, steps=30)
        assert again == self.model(tmp_path / "once", network, workers=0, steps=30)


def kept(kind: type[SceneProcess], made: list[SceneProcess]) -> Callable[[], SceneProcess]:
    """A maker of processes that remembers them."""

    def make() -> SceneProcess:
        made.append(kind())
        return made[-1]

    return make

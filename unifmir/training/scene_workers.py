"""Processes that simulate scenes while another one trains.

A process that has imported PyTorch cannot be forked safely, so each is started anew, with one
thread and little priority. It ends when its input does: with the training, however that ends.
"""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from math import prod
from typing import IO, Self, cast

import numpy as np
import psutil

from unifmir import machine
from unifmir.child_processes import child_environment
from unifmir.errors import SimulationError
from unifmir.training.scene_process import Scene, SceneRequest

MODULE = "unifmir.training.scene_process"
NICENESS = 10
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def fitting_workers() -> int:
    """Number of processes to start: one less than cores, as another one trains; 1 at least."""
    return max(1, machine.available_cores() - 1)


class SceneProcess:
    """One process that simulates scenes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(**dict.fromkeys(THREADS, "1")),
            # Ctrl-C goes to the group of the terminal; the one in charge ends its workers.
            start_new_session=True,
        )
        with suppress(psutil.Error):  # it has ended already: the first request says so
            process = psutil.Process(self._process.pid)
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else NICENESS)
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)

    def simulate(self, wanted: SceneRequest) -> Scene:
        """Have a scene simulated.

        Raises
        ------
        SimulationError
            The process has ended, or could not simulate it.
        """
        line = b""
        with suppress(OSError, ValueError):  # a broken pipe, or one that was closed
            self._input.write(wanted.to_line())
            self._input.flush()
            line = self._output.readline()
        if not line:
            raise SimulationError(
                f"a process that simulates images ({wanted.task}) {self._why()}: give the machine "
                "less to do or the training fewer of them (--workers), and go on with --resume"
            )
        told = json.loads(line)
        if "error" in told:
            raise SimulationError(f"{wanted.task}: no image was simulated ({told['error']})")
        return self._pixels(told["shapes"][0]), self._pixels(told["shapes"][1])

    def _pixels(self, shape: list[int]) -> np.ndarray:
        size = prod(shape) * np.dtype(np.float32).itemsize
        content = self._output.read(size)
        if len(content) < size:
            raise SimulationError(
                f"a process that simulates images {self._why()}; go on with --resume"
            )
        return np.frombuffer(bytearray(content), dtype=np.float32).reshape(shape)

    def _why(self) -> str:
        try:
            return machine.ending(self._process.wait(timeout=10))
        except subprocess.TimeoutExpired:
            return "closed its output without ending"

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):  # what was not sent before it ended
                pipe.close()


class SceneWorkers:
    """Several processes that simulate scenes, each started when there is one to simulate.

    Parameters
    ----------
    count : int
        Processes, 1 at least.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        # A thread waits for each process; what waits for a thread can be taken back.
        self._threads = ThreadPoolExecutor(count, "scenes")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: list[SceneProcess] = []
        self._closed = False

    def request(self, wanted: SceneRequest) -> Future[Scene]:
        """The scene to come; until a process takes it up, it can be cancelled."""
        return self._threads.submit(self._simulate, wanted)

    def _simulate(self, wanted: SceneRequest) -> Scene:
        if not hasattr(self._own, "process"):
            with self._lock:
                if self._closed:
                    raise SimulationError("the training ends")
                self._own.process = SceneProcess()
                self._processes.append(self._own.process)
        scene: Scene = self._own.process.simulate(wanted)
        return scene

    def end_processes(self) -> None:
        """End the processes, whatever they are doing; any thread may, and nothing comes after."""
        with self._lock:
            self._closed = True
        for process in self._processes:
            process.close()

    def close(self) -> None:
        """End the processes and the threads that wait for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.end_processes()
        self._threads.shutdown()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self.close()

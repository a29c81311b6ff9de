"""A worker process seen from outside: started, asked, diagnosed when it dies, always ended."""

import json
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np
from jaxtyping import Float32

from unifmir import machine
from unifmir.benchmarks.measure.model_spec import ModelSpec
from unifmir.child_processes import child_environment, kill_group
from unifmir.errors import BenchmarkError

MODULE = "unifmir.benchmarks.measure.worker"
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""glibc keeps what one run frees for the next. By default it gives large tensors back to the system
and has them mapped anew, page by page: of four processes that ran care-2d on 128 x 128 pixels,
each took 10,000 to 16,000 page faults a run, as chance had it, and 90 to 105 ms; with this none,
and 71 to 73 ms. ONNX Runtime and OpenVINO have arenas of their own that do the same."""
TAIL = 400
"""Last characters of a dead worker's messages that are shown."""


class WorkerError(BenchmarkError):
    """A worker died, hung, or could not do what it was asked."""


class WorkerProcess:
    """Worker process that holds one model.

    Parameters
    ----------
    folder : Path
        Where its input, messages and caches go; created.
    threads : int
        For the libraries that read their number of threads from the environment.
    keep_memory : bool
        See `KEPT_MEMORY`.
    """

    def __init__(self, folder: Path, threads: int, *, keep_memory: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._threads = folder, threads
        self._messages = folder / "stderr.txt"
        with self._messages.open("wb") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                encoding="utf-8",
                env=environment(folder, threads, keep_memory=keep_memory),
                # Ctrl-C goes to the group of the terminal; the one in charge ends its workers.
                start_new_session=True,
            )
        self._input = cast("IO[str]", self._process.stdin)
        self._output = cast("IO[str]", self._process.stdout)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, command: str, *, timeout_s: float, **values: Any) -> dict[str, Any]:
        """Send a command and wait for the answer.

        Raises
        ------
        WorkerError
            The worker says no, is dead, or does not answer in time, and then is ended.
        """
        try:
            self._input.write(json.dumps({"command": command, **values}) + "\n")
            self._input.flush()
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            self.close()
            raise WorkerError(
                f"no answer to {command!r} within {timeout_s:.0f} s: the process was ended; "
                "take a smaller workload or fewer threads"
            ) from None
        except (OSError, ValueError):  # a broken pipe, or one closed when the worker was ended
            line = None
        if line is None:
            raise WorkerError(f"the process died during {command!r}: {self._why()}")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise WorkerError(answer["error"])
        return answer

    def open(
        self,
        spec: ModelSpec,
        image: Float32[np.ndarray, "..."],
        *,
        runtime: str = "eager",
        device: str = "cpu",
        timeout_s: float,
    ) -> dict[str, Any]:
        """Have a model loaded and run once on a normalised image, in its input shape.

        Raises
        ------
        WorkerError
            As for `ask`.
        """
        return self.ask(
            "open",
            timeout_s=timeout_s,
            runtime=runtime,
            source=spec.to_dict(),
            image=self._saved(image),
            device=device,
            threads=self._threads,
        )

    def save_exact(
        self, spec: ModelSpec, image: Float32[np.ndarray, "..."], path: Path, *, timeout_s: float
    ) -> None:
        """Have what a checkpoint makes of a normalised image in fp64 written as .npy, float64.

        Raises
        ------
        WorkerError
            As for `ask`.
        """
        self.ask(
            "exact",
            timeout_s=timeout_s,
            source=spec.to_dict(),
            image=self._saved(image),
            threads=self._threads,
            path=str(path),
        )

    def _saved(self, image: Float32[np.ndarray, "..."]) -> str:
        """Path of the image, for the worker to read."""
        path = self._folder / "input.npy"
        np.save(path, image)
        return str(path)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process.poll() is None:
            # It leads a group of its own: with what it started, such as compilers.
            kill_group(self.pid)
        self._process.wait()
        self._reader.join(timeout=5)
        for pipe in (self._input, self._output):
            with suppress(OSError):  # what was not sent before it died
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # closed meanwhile
            for line in self._output:
                self._lines.put(line)
        self._lines.put(None)

    def _why(self) -> str:
        """How it ended, and its last messages."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.close()
            return "it closed its output without ending"
        lines = self._messages.read_text("utf-8", errors="replace").split("\n")
        tail = " / ".join(line.strip() for line in lines if line.strip())[-TAIL:]
        return f"{machine.ending(code)}{tail and f'; its last words: {tail}'}"


def environment(folder: Path, threads: int, *, keep_memory: bool = True) -> dict[str, str]:
    """The worker's environment: its threads, no spinning, no TF32, caches of its own."""
    return child_environment(
        OMP_NUM_THREADS=str(threads),
        MKL_NUM_THREADS=str(threads),
        # Threads that spin while they wait would take the cores from the model whose turn it is.
        OMP_WAIT_POLICY="PASSIVE",
        KMP_BLOCKTIME="0",
        GOMP_SPINCOUNT="0",
        NVIDIA_TF32_OVERRIDE="0",
        **(KEPT_MEMORY if keep_memory else {}),
        # A cold start that finds yesterday's compiled kernels is none.
        TORCHINDUCTOR_CACHE_DIR=str(folder / "compiled"),
        # One process: a pool of compilers would count as somebody else's.
        TORCHINDUCTOR_COMPILE_THREADS="1",
    )

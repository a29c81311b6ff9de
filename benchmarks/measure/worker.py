"""The process in which one model is timed: `python -m unifmir.benchmarks.measure.worker`.

One JSON object a line comes in, one goes out. Nothing but what the model needs is imported, so
that memory and cold start are the runtime's own.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import numpy as np

from unifmir.benchmarks.measure.model_spec import ModelSpec, module_of
from unifmir.errors import BenchmarkError, UnifmirError
from unifmir.export.opening import open_session
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import Clock, Session, Timing
from unifmir.machine import queued_ms, resident_bytes

SETTLED = 0.02
"""Warm-up ends when the last `LAST` runs differ by less than this part of the fastest."""
LAST = 5
MIN_WARM_UP = 2
"""Runs, even where there is no time for more. With the first one and the one whose output is
saved there are four: TorchScript makes its fused graph in the second."""

Answer = dict[str, Any]


class Worker:
    """State of the process between commands."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._image = np.empty(0, dtype=np.float32)
        self._before_load = 0
        self._alone = False
        self.commands: Mapping[str, Callable[..., Answer]] = {
            "open": self.open,
            "warm_up": self.warm_up,
            "visit": self.visit,
            "save": self.save,
            "exact": self.exact,
            "memory": self.memory,
            "quality": self.quality,
            "peaks": self.peaks,
        }

    def open(
        self, runtime: str, source: Mapping[str, Any], image: str, device: str, threads: int
    ) -> Answer:
        """Import the runtime, load the model, run it once."""
        started = Clock()
        row = RUNTIMES[runtime]
        row.require()
        if row.format is None:
            for name in ("checkpoint.loading", "model", "precision.variants"):
                importlib.import_module(f"unifmir.{name}")
        import_ms, _ = started.read()
        self._before_load = resident_bytes("VmRSS")
        self._image = np.load(image)
        # Of several threads one may have a core while another waits for it.
        self._alone = threads == 1 and device == "cpu"
        clock, wanted = Clock(), ModelSpec.from_dict(source)
        what = module_of(wanted) if row.format is None else wanted.path
        self._session = open_session(row, what, device=device, threads=threads, own_process=True)
        load_ms, _ = clock.read()
        clock = Clock()
        output = self._session.run(self._image)
        first_run_ms, _ = clock.read()
        return {
            "import_ms": import_ms,
            "load_ms": load_ms,
            "first_run_ms": first_run_ms,
            "ran": dict(self._session.ran),
            "fallbacks": list(self._session.fallbacks),
            "output_shape": list(output.shape),
        }

    def warm_up(self, runs: int, seconds: float) -> Answer:
        """Run until the times settle, at most so many runs and seconds."""
        taken: list[float] = []
        clock = Clock()
        while len(taken) < MIN_WARM_UP or (
            len(taken) < runs and clock.read()[0] < seconds * 1e3 and not settled(taken)
        ):
            taken.append(self._require_session().timed(self._image).wall_ms)
        return {"wall_ms": taken, "settled": settled(taken)}

    def visit(self, runs: int, settling: bool) -> Answer:
        """Run so many times under the clock; one more before, if the caches are to be filled."""
        session, whole = self._require_session(), Clock()
        if settling:
            session.run(self._image)
        clock = Clock()
        began_ms, before = reading(clock)
        taken = [self._timed(session) for _ in range(runs)]
        ended_ms, after = reading(clock)
        runs_ms = ended_ms - began_ms
        timings = [timing for timing, _ in taken]
        queued_in_runs_ms = sum(queued for _, queued in taken)
        on_device = timings[0].device_ms is not None
        return {
            "wall_ms": [
                timing.wall_ms - (queued if self._alone else 0) for timing, queued in taken
            ],
            "queued_ms": queued_in_runs_ms,
            "taken_off": self._alone,
            "cpu_ms": [t.cpu_ms for t in timings],
            "device_ms": [t.device_ms for t in timings] if on_device else [],
            "copy_ms": [t.copy_ms for t in timings] if on_device else [],
            "runs_ms": runs_ms,
            "told": told(
                sum(timing.wall_ms for timing in timings) - queued_in_runs_ms,
                runs_ms - waited(before, after),
            ),
            "process_cpu_ms": whole.read()[1],
        }

    def _timed(self, session: Session) -> tuple[Timing, float]:
        """Timing of one run, and how long the process was ready in it and had no core, in ms.

        Where it computes in one thread on the CPU, that time is other processes' and is taken off:
        a session that sleeps has it all.
        """
        before = queued_ms()
        timing = session.timed(self._image)
        # A wait beside the session's own clock is not in its time; what was computed is.
        queued = min(waited(before, queued_ms()), timing.wall_ms - timing.cpu_ms)
        return timing, max(0.0, queued)

    def save(self, path: str) -> Answer:
        """Write the output as .npy."""
        np.save(path, self._require_session().run(self._image))
        return {}

    def exact(self, source: Mapping[str, Any], image: str, threads: int, path: str) -> Answer:
        """Write what a checkpoint makes of an image in fp64 as .npy."""
        import torch

        from unifmir.model import in_fp64

        torch.set_num_threads(threads)
        module = in_fp64(module_of(ModelSpec.from_dict(source)))
        with torch.inference_mode():
            output = module(torch.from_numpy(np.load(image)).double())
        np.save(path, output.numpy())
        return {}

    def memory(self) -> Answer:
        """Largest resident set so far, and what the device says."""
        return {
            "peak_rss_bytes": resident_bytes("VmHWM"),
            "before_load_bytes": self._before_load,
            "device_bytes": None if self._session is None else self._session.device_bytes(),
        }

    def quality(self, config: dict[str, Any], images: int, seed: int) -> Answer:
        """Measure how well it restores held-out images."""
        from unifmir.config import MultiTaskConfig, config_from_dict
        from unifmir.training.evaluation import score_runner

        chosen = config_from_dict(config)
        if isinstance(chosen, MultiTaskConfig):
            raise BenchmarkError("a multi-task model is judged one task at a time")
        return dict(score_runner(self._require_session().run, chosen, images=images, seed=seed))

    def peaks(self, device: str, threads: int, seconds: float) -> Answer:
        """Measure the machine's peaks."""
        from unifmir.benchmarks.measure.peaks import measured

        return {"peaks": measured(device, threads, seconds)}

    def _require_session(self) -> Session:
        if self._session is None:
            raise BenchmarkError("nothing is open: send 'open' first")
        return self._session


def reading(clock: Clock) -> tuple[float, float | None]:
    """Wall time and time without a core, both in ms, read with no wait between the two."""
    while True:
        before, (passed_ms, _) = queued_ms(), clock.read()
        if queued_ms() == before:
            return passed_ms, before


def waited(before: float | None, after: float | None) -> float:
    """Time without a core between two readings, in ms; 0 where the system does not tell."""
    return 0.0 if before is None or after is None else after - before


def told(own_ms: float, passed_ms: float) -> float:
    """Part of the time that passed in runs which their session's own clock tells.

    Both without the time that the process had no core: on a busy machine it loses its core beside
    the session's clock too, which is no lie of that clock.
    """
    return own_ms / passed_ms if passed_ms > 0 else 1.0


def settled(taken: list[float]) -> bool:
    """Whether the last runs took the same time."""
    last = taken[-LAST:]
    return len(last) == LAST and max(last) - min(last) < SETTLED * min(last)


def answer(worker: Worker, line: str) -> Answer:
    """Do what one line says; errors are answers too."""
    try:
        request = json.loads(line)
        command = worker.commands[request.pop("command")]
        return {"ok": True, **command(**request)}
    except UnifmirError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:  # noqa: BLE001  # what libraries raise shares no base
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def serve(lines: TextIO, out: TextIO) -> None:
    """Answer line by line until the other side closes."""
    worker = Worker()
    for line in lines:
        out.write(json.dumps(answer(worker, line)) + "\n")
        out.flush()


def main() -> None:
    """Keep standard output for answers: whatever libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, own)
    own.flush()
    # Without the libraries' own endings, which may take seconds or crash (CUDA, OpenMP).
    os._exit(0)


if __name__ == "__main__":
    main()

"""The `unifmir` command with images, trainings and measurements that take a second, to be killed.

    python -m benchmarks.studies.small_commands restore cells.tif ...

It says `ready` on standard error when everything is imported and the command begins, and `ended`
when it ends, so that what kills it can choose moments of the command's own work. Every tile,
pair of images and synchronising of a file takes `LINGER_S` longer, so that many of these moments
fall between the parts of what must be whole.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.helpers.short_benchmarks import short
from tests.helpers.task_rows import change_task
from unifmir.benchmarks.measure import benchmark_run
from unifmir.cli.main import run
from unifmir.datasets import preparation
from unifmir.restoration import executor
from unifmir.tasks import TASKS
from unifmir.training import training_run

READY, ENDED = "ready", "ended"
LINGER_S = 0.15
_IMPORTED = (
    "onnx",
    "onnxruntime",
    "tifffile",
    "zarr",
    "unifmir.cli.choices",
    "unifmir.export.formats.onnx",
    "unifmir.export.formats.torchscript",
    "unifmir.export.pipeline",
    "unifmir.zoo.catalogue.adding",
    "unifmir.zoo.restore.files",
)


def main() -> None:
    """Run the command that the arguments are."""
    # A process that was started in the background ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    patch = pytest.MonkeyPatch()
    short(patch)
    patch.setattr(benchmark_run, "_peaks", lambda *_: ())
    patch.setattr(executor, "COMMIT_SECONDS", 0)  # every tile is written down
    patch.setattr(training_run, "SAVE_EVERY", 4)
    patch.setattr(training_run, "FEW_SCENES", 0)  # a process of their own simulates them
    recipe = replace(
        TASKS["sr"].training, scene_size=24, scenes=1, fresh_scenes=0.5, patch=16, batch=1
    )
    sizes = replace(TASKS["sr"].workloads, patch=((1, 16, 16),), image=((1, 20, 16),))
    change_task(patch, "sr", training=recipe, workloads=sizes)
    for name in _IMPORTED:
        importlib.import_module(name)
    patch.setattr(os, "fsync", _lingering(os.fsync))
    patch.setattr(executor, "restore_tile", _lingering(executor.restore_tile))
    for step in ("_seen", "_write_patches", "write_text"):
        patch.setattr(preparation, step, _lingering(getattr(preparation, step)))
    _say(READY)
    try:
        run()
    finally:
        _say(ENDED)


def _lingering(function: Callable[..., Any]) -> Callable[..., Any]:
    def lingering(*arguments: Any) -> Any:
        time.sleep(LINGER_S)
        return function(*arguments)

    return lingering


def _say(word: str) -> None:
    sys.stderr.write(f"{word}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()

"""The `unifmir` command with images, trainings and measurements that take a second, to be killed.

    python -m benchmarks.studies.small_commands restore cells.tif ...

It says `ready` on standard error when everything is imported and the command begins, so that what
kills it can choose moments of the command's own work.
"""

import importlib
import signal
import sys
from dataclasses import replace

import pytest

from tests.helpers.short_benchmarks import short
from tests.helpers.task_rows import change_task
from unifmir.benchmarks.measure import benchmark_run
from unifmir.cli.main import run
from unifmir.restoration import executor
from unifmir.tasks import TASKS
from unifmir.training import training_run

READY = "ready"
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
    recipe = replace(TASKS["sr"].training, scene_size=24, scenes=1, patch=16, batch=1)
    sizes = replace(TASKS["sr"].workloads, patch=((1, 16, 16),), image=((1, 20, 16),))
    change_task(patch, "sr", training=recipe, workloads=sizes)
    for name in _IMPORTED:
        importlib.import_module(name)
    sys.stderr.write(f"{READY}\n")
    sys.stderr.flush()
    run()


if __name__ == "__main__":
    main()

"""The embedded model from nothing: all tasks together, then each alone, and one file of them.

    python -m benchmarks.studies.train_embedded FOLDER [--at-once 2] [--start TASK=FILE]

First the preset `embedded`, then `embedded-TASK` for each task, from what the tasks had learned
together or from another file. Each is a run of `unifmir train` in a process of its own with one
thread; finished ones are not run again, and an interrupted one goes on. In the end FOLDER has
unifmir-small-sim.safetensors and its record, which the zoo takes as they are.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from unifmir.checkpoint.joining import join
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.saving import save
from unifmir.hashing import sha256_of
from unifmir.tasks import TASKS
from unifmir.training.training_record import (
    TrainingRecord,
    read_training_record,
    record_path,
    write_training_record,
)
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.reference_training import RECIPE

PRETRAINING = RECIPE
PRETRAINED = "pretrained.safetensors"
"""The file of what all tasks learned together, which the presets of single tasks start from."""


def main() -> None:
    """Train what is not there yet, join it, and write the model with its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at-once", type=int, default=1, help="tasks that are trained at a time")
    parser.add_argument("--start", nargs="*", default=[], metavar="TASK=FILE")
    asked = parser.parse_args()
    others = {task: Path(file) for task, file in (one.split("=", 1) for one in asked.start)}
    asked.folder.mkdir(parents=True, exist_ok=True)
    start = asked.folder / PRETRAINED
    train(PRETRAINING, start)

    def tune(task: str) -> None:
        train(fine_tuning(task), of(asked.folder, task), others.get(task, start))

    with ThreadPoolExecutor(asked.at_once) as pool:
        list(pool.map(tune, TASKS))
    networks = {task: load_file(of(asked.folder, task), task=task) for task in TASKS}
    out = asked.folder / f"{EMBEDDED}.safetensors"
    save(join(networks), out)
    records = {task: read_training_record(record_path(of(asked.folder, task))) for task in TASKS}
    origins = {task: sha256_of(file) for task, file in others.items()}
    record = joined_record(read_training_record(record_path(start)), records, origins)
    write_training_record(record, record_path(out))


def fine_tuning(task: str) -> str:
    """Name of the preset that goes on with one task."""
    return f"{PRETRAINING}-{task}"


def of(folder: Path, task: str) -> Path:
    """The file of a task's network."""
    return folder / f"{task}.safetensors"


def train(preset: str, out: Path, init: Path | None = None) -> None:
    """Run `unifmir train` with a preset, or go on with it, unless its model is there."""
    if out.exists():
        return
    stage = "finetune" if init else "pretrain"
    arguments = ["train", stage, "--preset", preset, "--out", str(out), "--resume"]
    arguments += ["--init", str(init)] if init else []
    subprocess.run(
        [sys.executable, "-m", "unifmir", *arguments],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def joined_record(
    start: TrainingRecord, tuned: Mapping[str, TrainingRecord], others: Mapping[str, str]
) -> TrainingRecord:
    """Facts of the whole training, from its parts; `others`: hashes of files to start from."""

    def told(what: str, parts: Sequence[str]) -> str:
        return "; ".join([f"all tasks together: {what}", *parts])

    # Those of a run that was interrupted are not known.
    hours = [one.hours for one in (start, *tuned.values()) if one.hours is not None]
    steps = [start.steps or 0, *(one.steps or 0 for one in tuned.values())]
    each = [
        f"then {task} alone: {one.steps} steps at {one.learning_rate}"
        for task, one in tuned.items()
    ]
    return replace(
        start,
        steps=sum(steps),
        hours=round(sum(hours), 2) if len(hours) == 1 + len(tuned) else None,
        learning_rate_schedule=told(
            f"{start.steps} steps, {start.learning_rate_schedule}",
            [*each, "each brought down so from its start"],
        ),
        data=told(
            start.data,
            [
                *(f"then alone: {one.data}" for one in tuned.values()),
                *(f"{task} from an earlier file, sha256 {h}" for task, h in others.items()),
            ],
        ),
        source="written by `python -m benchmarks.studies.train_embedded`",
    )


if __name__ == "__main__":
    main()

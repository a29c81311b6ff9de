"""Compare a task learned after all tasks together with the same learned from random weights.

    python -m benchmarks.studies.pretraining_gain START FOLDER [TASK...] [--steps N]

START is the model of the preset `embedded`, which has learned all tasks together. From it, and from
random weights, a network learns one task for the same steps on a hundredth, a tenth and all of the
scenes of the preset `embedded-TASK`. Trained models stay in FOLDER; an interrupted run goes on.
Writes benchmarks/results/pretraining-gain.json, on the held-out images of the README's table.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unifmir.benchmarks.studies.evaluate_embedded import IMAGES, SEED
from unifmir.benchmarks.studies.result_files import origin, provenance, write_result
from unifmir.benchmarks.studies.train_embedded import PRETRAINING, fine_tuning
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune
from unifmir.cli.output import known_errors
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.output_place import written_to
from unifmir.tasks import TASKS
from unifmir.text_tables import markdown_rows
from unifmir.training.configuration import preset_path, read_config
from unifmir.training.evaluation import evaluate
from unifmir.training.training_run import STATE_SUFFIX, TrainingCallbacks, TrainingRequest, train

SHARES = (0.01, 0.1, 1.0)
STARTS = ("random", "pretrained")
STEPS = 2000
COMPARED = ("sr", "denoise", "isotropic")
RESULT = "pretraining-gain.json"


def main() -> None:
    """Train what is not there yet, evaluate it, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("start", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--steps", type=int, default=STEPS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tasks = asked.tasks or list(COMPARED)
    setting = {"steps": asked.steps, "images": IMAGES, "seed": SEED}
    command = " ".join(
        ["python -m benchmarks.studies.pretraining_gain START FOLDER", *tasks]
        + ([f"--steps {asked.steps}"] if asked.steps != STEPS else [])
    )
    rows: list[dict[str, Any]] = []
    with known_errors():
        for task in tasks:
            TASKS.require(task)
        with written_to(asked.folder):
            asked.folder.mkdir(parents=True, exist_ok=True)
        for task in tasks:
            rows += measured(task, asked.start, asked.folder, asked.steps)
            write_result(RESULT, {**provenance(command), **setting, "rows": rows})


def measured(task: str, start: Path, folder: Path, steps: int) -> Iterator[dict[str, Any]]:
    """A row for each start and share of the scenes."""
    for share in SHARES:
        for begun in STARTS:
            out = folder / f"{task}-{begun}-{share:g}-{steps}.safetensors"
            scenes = max(1, round(share * preset_scenes(task)))
            if not out.exists():
                learn(task, begun, start, steps=steps, scenes=scenes, out=out)
            found = evaluate(load_file(out), task, images=IMAGES, seed=SEED).to_dict()
            row = {"task": task, "start": begun, "share": share, "scenes": scenes}
            print(json.dumps({**row, "gain_db": found["gain_db"]}), flush=True)
            yield {**row, "model": found["model"], "gain_db": found["gain_db"]}


def preset_scenes(task: str) -> int:
    """Scenes that the embedded model's network of a task learned from, alone."""
    return read_config(preset_path(fine_tuning(task))).recipe(task).scenes


def learn(task: str, begun: str, start: Path, *, steps: int, scenes: int, out: Path) -> None:
    """Train a task's network, or go on with a training that was stopped."""
    preset = read_config(preset_path(fine_tuning(task)))
    pretraining = read_config(preset_path(PRETRAINING))
    changed = replace(preset.recipes[task], scenes=scenes)
    config = replace(
        preset,
        init=str(start),
        intensities=pretraining.intensities,
        steps=steps,
        recipes={task: changed},
    )
    state = out.with_name(out.name + STATE_SUFFIX)
    request = TrainingRequest(out, config, network_of(task, begun, start), resume=state.exists())
    train(request, TrainingCallbacks(lambda _: None, lambda *_: None))


def network_of(task: str, begun: str, start: Path) -> Network:
    """The small network of a task, with random weights or with those that all tasks learned."""
    pretrained = prune(load_file(start), task)
    if begun == "pretrained":
        return pretrained
    torch.manual_seed(SEED)
    return build(pretrained.config)


def pretraining_gain_table(document: dict[str, Any]) -> str:
    """Gains over the best simple method by start and share of the scenes."""
    gains = {(r["task"], r["share"], r["start"]): r["gain_db"] for r in document["rows"]}
    scenes = {(r["task"], r["share"]): r["scenes"] for r in document["rows"]}
    rows = []
    for (task, share), count in scenes.items():
        scratch, tuned = (gains.get((task, share, start)) for start in STARTS)
        if scratch is None or tuned is None:
            continue
        figures = [f"{scratch:+.2f}", f"{tuned:+.2f}", f"{tuned - scratch:+.2f}"]
        rows.append([f"`{task}`", f"{share:.0%}", str(count), *figures])
    columns = [
        "task",
        "share",
        "scenes",
        "from random weights, dB",
        "pre-trained, dB",
        "difference",
    ]
    return (
        f"{markdown_rows(columns, rows)}\n\nFitted PSNR above that of the best simple method, "
        f"{document['images']} held-out images a task; {document['steps']} steps of each, the "
        f"steps that all tasks took together not counted. {origin(document)}"
    )


if __name__ == "__main__":
    main()

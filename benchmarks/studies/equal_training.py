"""The embedded model beside CARE networks that were trained as long on the same simulated images.

    python -m benchmarks.studies.equal_training FOLDER [TASK...]

A step of both is timed in turn in one run (CPU time, one thread), and a task's rival takes as many
steps as last as long as the embedded model's steps of that task did. Same images, patches, batches,
loss, schedule and precision, from the preset `embedded`. Trained models stay in FOLDER; an
interrupted run goes on. Writes benchmarks/results/equal-training.json, on the held-out images of
the README's table.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import unifmir
from unifmir.benchmarks.studies.evaluate_embedded import IMAGES, SEED, WEIGHTS
from unifmir.benchmarks.studies.result_files import origin, provenance, write_result
from unifmir.benchmarks.studies.train_embedded import PRETRAINING, fine_tuning
from unifmir.checkpoint.loading import load_file
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks import TASKS
from unifmir.text_tables import markdown_rows
from unifmir.training.configuration import TrainingConfig, preset_path, read_config
from unifmir.training.distribution import TrainingProcesses, fitting_precision
from unifmir.training.evaluation import Evaluation, evaluate
from unifmir.training.pool import simulate_pool
from unifmir.training.schedule import CONFIGS, Schedule
from unifmir.training.trainer import Training
from unifmir.training.training_run import STATE_SUFFIX, TrainingCallbacks, TrainingRequest, train
from unifmir.zoo import EMBEDDED

RIVALS = {
    "sr": "care-2d",
    "denoise": "care",
    "isotropic": "care",
    "projection": "care-projection",
    "volume": "vcd-net",
}
TIMED_SCENES, ROUNDS, STEPS = 4, 3, 4
RESULT = "equal-training.json"


def main() -> None:
    """Train what is not there yet, evaluate it, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="*", choices=[[], *RIVALS], default=[])
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    embedded = json.loads((WEIGHTS / f"{EMBEDDED}.evaluation.json").read_text("utf-8"))
    rows = [
        row(task, asked.folder, embedded["tasks"][task]) for task in asked.tasks or list(RIVALS)
    ]
    command = " ".join(["python -m benchmarks.studies.equal_training FOLDER", *asked.tasks])
    write_result(RESULT, {**provenance(command), "images": IMAGES, "seed": SEED, "rows": rows})


def row(task: str, folder: Path, embedded: dict[str, Any]) -> dict[str, Any]:
    """Figures of a task: both models on the held-out images, and how long the rival learned."""
    config = read_config(preset_path(PRETRAINING))
    out = folder / f"{RIVALS[task]}-{task}.safetensors"
    record = out.with_suffix(".steps.json")
    if not record.exists():
        ratio = as_long(config, task)
        steps = round(own_steps(config, task) * ratio)
        record.write_text(json.dumps({"steps": steps, "step_ratio": ratio}))
    plan = json.loads(record.read_text())
    # A rival of an earlier run may have learned as long as an embedded model before.
    share = plan["steps"] / (own_steps(config, task) * plan["step_ratio"])
    if not out.exists():
        train_rival(config, task, plan["steps"], out)
    found = evaluate(load_file(out), task, images=IMAGES, seed=SEED)
    print(task, plan, found.to_dict()["model"], flush=True)
    told = {"task": task, "rival": RIVALS[task], **plan, "time_share": round(share, 3)}
    return {**told, **_figures(found), "embedded": embedded}


def own_steps(config: TrainingConfig, task: str) -> int:
    """Steps of a task that the embedded model took: among the others, and alone."""
    alone = read_config(preset_path(fine_tuning(task)))
    return round((config.steps or 0) / len(TASKS)) + (alone.steps or 0)


def _figures(found: Evaluation) -> dict[str, Any]:
    shown = found.to_dict()
    return {name: shown[name] for name in ("model", "gain_db", "best_baseline")}


def as_long(config: TrainingConfig, task: str) -> float:
    """Steps of the rival in the time of one of the embedded model's, median over rounds."""
    recipe = replace(config.recipe(task), scenes=TIMED_SCENES)
    networks = {
        "embedded": build(CONFIGS[config.model]),
        "rival": unifmir.load(RIVALS[task], task=task),
    }
    trainings = {
        name: _training(network, task, recipe, config) for name, network in networks.items()
    }
    ratios = []
    for _ in range(ROUNDS + 1):
        spent = {}
        for name, training in trainings.items():
            began = time.process_time()
            training.run(until=training.step + STEPS)
            spent[name] = time.process_time() - began
        ratios.append(spent["embedded"] / spent["rival"])
    # The first round pages in the kernels.
    return sorted(ratios[1:])[ROUNDS // 2]


def _training(network: Network, task: str, recipe: Any, config: TrainingConfig) -> Training:
    return Training(
        network=network,
        pools={task: simulate_pool(task, recipe, SEED, "shared")},
        recipes={task: recipe},
        schedule=Schedule(config.learning_rate, (ROUNDS + 1) * STEPS),
        seed=SEED,
        order=[task],
        processes=TrainingProcesses("cpu", fitting_precision("cpu")),
    )


def train_rival(config: TrainingConfig, task: str, steps: int, out: Path) -> None:
    """Train the rival of a task from random weights, or go on with a training that was stopped."""
    own = replace(config, stage="finetune", tasks=[task], init=RIVALS[task], steps=steps)
    state = out.with_name(out.name + STATE_SUFFIX)
    request = TrainingRequest(
        out, own, unifmir.load(RIVALS[task], task=task), resume=state.exists()
    )
    train(request, TrainingCallbacks(lambda _: None, lambda *_: None))


def equal_training_table(document: dict[str, Any]) -> str:
    """Gains of both models over the best simple method, and their intensity slopes."""
    rows = [
        [
            f"`{one['task']}`",
            one["best_baseline"],
            f"{one['embedded']['gain_db']:+.1f}",
            f"{one['gain_db']:+.1f}",
            one["rival"],
            str(one["steps"]),
            f"{one['time_share']:.2f}",
            f"{one['embedded']['model']['slope']:.3f}",
            f"{one['model']['slope']:.3f}",
            f"{one['embedded']['model']['calibration']:.3f}",
            f"{one['model']['calibration']:.3f}",
        ]
        for one in document["rows"]
    ]
    columns = ["task", "simple method", "embedded, dB", "CARE, dB", "network", "steps", "time"]
    columns += ["slope", "slope, CARE", "calibration", "calibration, CARE"]
    table = markdown_rows(columns, rows)
    return (
        f"{table}\n\nFitted PSNR above that of the best simple method, {document['images']} "
        "held-out images a task; slope: of restored on true intensities, calibration: of true on "
        "restored ones, both unfitted. The network beside it had the same images, batches and "
        "loss; time: how long it learned, as a share of the embedded model's time for this task, "
        "among the others and alone. "
        f"{origin(document)}"
    )


if __name__ == "__main__":
    main()

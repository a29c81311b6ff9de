"""The embedded model beside CARE networks that were trained as long on the same simulated images.

    python -m benchmarks.studies.equal_training FOLDER [TASK...]

They are trained as `benchmarks.studies.train_references` does it, which also adds them to a zoo,
and stay in FOLDER; an interrupted run goes on. Writes benchmarks/results/equal-training.json, on
the held-out images of the README's table.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unifmir.benchmarks.studies.evaluate_embedded import IMAGES, SEED, WEIGHTS
from unifmir.benchmarks.studies.result_files import origin, provenance, write_result
from unifmir.benchmarks.studies.train_embedded import PRETRAINED, PRETRAINING, fine_tuning
from unifmir.benchmarks.studies.train_references import trained
from unifmir.checkpoint.loading import load_file
from unifmir.cli.output import known_errors
from unifmir.registry import require_known
from unifmir.text_tables import markdown_rows
from unifmir.training.configuration import preset_path, read_config
from unifmir.training.evaluation import Evaluation, evaluate
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.reference_training import embedded_steps

RIVALS = {
    "sr": "care-2d",
    "denoise": "care",
    "isotropic": "care",
    "projection": "care-projection",
    "volume": "vcd-net",
}
RESULT = "equal-training.json"


def main() -> None:
    """Train what is not there yet, evaluate it, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    embedded = json.loads((WEIGHTS / f"{EMBEDDED}.evaluation.json").read_text("utf-8"))
    with known_errors():
        for task in asked.tasks:
            require_known("task", task, RIVALS)
        rows = [row(task, asked.folder, embedded["tasks"][task]) for task in asked.tasks or RIVALS]
        command = " ".join(["python -m benchmarks.studies.equal_training FOLDER", *asked.tasks])
        write_result(RESULT, {**provenance(command), "images": IMAGES, "seed": SEED, "rows": rows})


def row(task: str, folder: Path, embedded: dict[str, Any]) -> dict[str, Any]:
    """Figures of a task: both models on the held-out images, and how long the rival learned."""
    out, length = trained(RIVALS[task], task, folder)
    # A rival of an earlier run may have learned as long as an embedded model before.
    share = length.steps / (embedded_steps(task) * length.step_ratio)
    found = evaluate(load_file(out), task, images=IMAGES, seed=SEED)
    print(task, length, found.to_dict()["model"], flush=True)
    told = {"task": task, "rival": RIVALS[task], **length.to_dict(), "time_share": round(share, 3)}
    return {**told, **_figures(found), "embedded": embedded}


def _figures(found: Evaluation) -> dict[str, Any]:
    shown = found.to_dict()
    return {name: shown[name] for name in ("model", "gain_db", "best_baseline")}


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
        f"restored ones, both unfitted. {_unlike()} Time: how long it learned, as a share of the "
        "embedded model's time for this task, among the others and alone. "
        f"{origin(document)}"
    )


def _unlike() -> str:
    """Sentences on what the embedded model learned from and its rivals did not, by the presets."""
    start = read_config(preset_path(PRETRAINING))
    images, losses, starts = [], [], []
    for task in RIVALS:
        alone = read_config(preset_path(fine_tuning(task)))
        first, then = start.recipe(task), alone.recipe(task)
        images.append(f"`{task}` {first.scenes:,} and {then.scenes:,}")
        if replace(then, scenes=first.scenes) != first:
            losses.append(f"`{task}`")
        if alone.init != PRETRAINED:
            starts.append(f"`{task}`")
    told = (
        f"The network beside it learned from the images of the preset `{PRETRAINING}` with its "
        "batches and loss; the embedded model, once it learned each task alone, from those and "
        f"more: {', '.join(images)}."
    )
    if losses:
        told += f" It learned {' and '.join(losses)} with another weighting of the loss then."
    if starts:
        told += (
            f" Its start for {' and '.join(starts)} had learned before, which is not in its time."
        )
    return told


if __name__ == "__main__":
    main()

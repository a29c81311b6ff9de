"""Photons that a network keeps: the same training with truths in two scalings, compared.

    python -m benchmarks.studies.shared_intensities [--steps N] [--images N]

trains the small single-task networks from random weights with `--intensities own` and `shared`,
same seed, scenes and steps, and measures both on held-out images, mapped back by the exact inverse
of the image's own scaling. Writes benchmarks/results/shared-intensities.json.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from unifmir.atomic import temporary_folder
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.checkpoint.loading import load_file
from unifmir.metrics.scores import mean_score, score
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks.base import TruthScaling
from unifmir.training.configuration import TrainingConfig
from unifmir.training.evaluation import make_runner, restore_scene, simulate_held_out
from unifmir.training.schedule import SMALL_CONFIG
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest, train

SEED = 0
TASKS_COMPARED = ("sr", "denoise")


def main() -> None:
    """Train and measure both scalings of each task, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500, help="optimiser steps of each training")
    parser.add_argument("--images", type=int, default=12, help="held-out images per task")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    command = "python -m benchmarks.studies.shared_intensities"
    document = {
        **provenance(f"{command} --steps {asked.steps} --images {asked.images}"),
        "steps": asked.steps,
        "images": asked.images,
        "seed": SEED,
        "rows": list(rows(asked.steps, asked.images)),
    }
    write_result("shared-intensities.json", document)


def rows(steps: int, images: int) -> Iterator[dict[str, Any]]:
    """One row for each task and scaling."""
    for task in TASKS_COMPARED:
        for intensities in get_args(TruthScaling):
            with temporary_folder() as folder:
                network = trained(task, intensities, steps, folder / "model.safetensors")
            yield {"task": task, "intensities": intensities, **measured(network, task, images)}


def trained(task: str, intensities: TruthScaling, steps: int, out: Path) -> Network:
    """The small network of a task, trained from the random weights of the seed."""
    torch.manual_seed(SEED)
    config = TrainingConfig("pretrain", tasks=[task], steps=steps, seed=SEED)
    start = build(replace(SMALL_CONFIG.single(task), intensities=intensities))
    request = TrainingRequest(out, config, start)
    train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
    return load_file(out)


def measured(network: Network, task: str, images: int) -> dict[str, float]:
    """Figures on held-out images: intensity slope, unfitted, and scores."""
    run = make_runner(network)
    scores = [
        score(restore_scene(run, scene, network.config), scene.target)
        for scene in simulate_held_out(task, images=images, seed=SEED)
    ]
    slopes = [one["slope"] for one in scores]
    return {**mean_score(scores), "slope_least": min(slopes), "slope_most": max(slopes)}


if __name__ == "__main__":
    main()

"""Quality and time of the embedded model with and without its middle group.

    python -m benchmarks.studies.fast [--images N]

writes benchmarks/results/fast-MODEL.json; `make tables` then writes docs/restore.md.
"""

import argparse
import time
from typing import Any

import numpy as np

import unifmir
from unifmir.benchmarks.plan.workloads import image_of, image_sizes, input_shape
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.checkpoint.pruning import prune, without_middle_group
from unifmir.networks.base import Network
from unifmir.tasks import TASKS
from unifmir.training.evaluation import Runner, make_runner, score_runner
from unifmir.zoo import EMBEDDED

ROUNDS = 7
SEED = 0


def main() -> None:
    """Measure every task and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12, help="held-out images per task")
    images = parser.parse_args().images
    network = unifmir.load(EMBEDDED)
    rows = [measured(prune(network, task), images) for task in TASKS]
    document = {
        **provenance(f"python -m benchmarks.studies.fast --images {images}"),
        "model": EMBEDDED,
        "images": images,
        "seed": SEED,
        "rows": rows,
    }
    write_result(f"fast-{EMBEDDED}.json", document)


def measured(single: Network, images: int) -> dict[str, Any]:
    """One task: quality and parameters of both, and how many times as fast the smaller one is."""
    short = without_middle_group(single)
    runs = [make_runner(network) for network in (single, short)]
    scores = [score_runner(run, single.config, images=images, seed=SEED) for run in runs]
    ratios = speed_ratios(runs, single)
    return {
        "task": single.task,
        "groups": len(single.config.body.depths),
        "parameters": [sum(p.numel() for p in n.parameters()) for n in (single, short)],
        "whole": scores[0],
        "fast": scores[1],
        "cpu_ratio": float(np.median(ratios)),
        "cpu_ratios": ratios,
    }


def speed_ratios(runs: list[Runner], single: Network) -> list[float]:
    """CPU time with over CPU time without, of runs in turn on one image."""
    _, size = next(iter(image_sizes("patch", single.task)))
    image = image_of(single.task, input_shape(single.config, size))
    found = []
    for run in runs:
        run(image)
    for _ in range(ROUNDS):
        taken = []
        for run in runs:
            began = time.process_time()
            run(image)
            taken.append(time.process_time() - began)
        found.append(taken[0] / taken[1])
    return found


if __name__ == "__main__":
    main()

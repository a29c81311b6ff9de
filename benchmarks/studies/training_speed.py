"""How fast the training of the small model is beside another commit's, in one interleaved run.

    python -m benchmarks.studies.training_speed REVISION [--rounds N] [--steps N]

writes benchmarks/results/training-speed.json. The two trees, and this one in both precisions, take
steps of each task in turn, each in a process of its own with one thread. Ratios are of medians over
the rounds, of the CPU time of a step: wall time on a machine that others use is theirs as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from unifmir.benchmarks.studies.against_commit import checked_out
from unifmir.benchmarks.studies.result_files import REPO, origin, provenance, write_result
from unifmir.tasks import TASKS

RESULT = "training-speed.json"
GOAL = 2.5
"""Times as many steps a second as before that were aimed at."""
VARIANTS = (("before", "fp32"), ("fp32", "fp32"), ("bf16", "bf16"))
"""Names of what is compared, and their precision; the first is the other commit's."""
PARTS = ("batch", "forward", "backward", "optimiser", "average")
_STEPS = """
import json, sys, time
from dataclasses import replace
import torch
from unifmir.model import build
from unifmir.tasks import TASKS
from unifmir.training.pool import simulate_pool
from unifmir.training.schedule import SMALL_CONFIG, Schedule
from unifmir.training import trainer

precision, count, former = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "before"
torch.set_num_threads(1)
spent = {}
def timed(name, owner, attribute):
    inner = getattr(owner, attribute)
    def outer(*arguments, **named):
        begun = time.perf_counter()
        try:
            return inner(*arguments, **named)
        finally:
            spent[name] = spent.get(name, 0) + time.perf_counter() - begun
    setattr(owner, attribute, outer)
timed("forward", trainer.Training, "_loss")
timed("average", trainer.Training, "_average")
timed("backward", torch.Tensor, "backward")
timed("optimiser", torch.nn.utils, "clip_grad_norm_")
if not former:
    timed("batch", trainer.Prefetched, "take")
found = {}
for task, row in TASKS.items():
    recipe = replace(row.training, scenes=2)
    torch.manual_seed(0)
    extra, scaling = {}, ()
    if not former:
        from unifmir.training.distribution import TrainingProcesses
        extra, scaling = {"processes": TrainingProcesses("cpu", precision)}, ("own",)
    training = trainer.Training(
        build(SMALL_CONFIG), {task: simulate_pool(task, recipe, 0, *scaling)}, {task: recipe},
        Schedule(1e-3, 1000), 0, (task,), **extra,
    )
    timed("optimiser", training.optimizer, "step")
    training.run(until=2)
    spent.clear()
    wall, cpu = time.perf_counter(), time.process_time()
    training.run(until=2 + count)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found[task] = {
        "wall_ms": 1000 * wall / count,
        "cpu_ms": 1000 * cpu / count,
        "shares": {name: value / wall for name, value in spent.items()},
    }
print(json.dumps(found))
"""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="of the other tree")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="unifmir-training-") as name,
        checked_out(chosen.revision, Path(name) / "tree") as other,
    ):
        rounds = [
            {
                variant: steps(other if variant == "before" else REPO, variant, chosen.steps)
                for variant, _ in VARIANTS
            }
            for _ in range(chosen.rounds)
        ]
    document = {
        **provenance(
            f"python -m benchmarks.studies.training_speed {chosen.revision} "
            f"--rounds {chosen.rounds} --steps {chosen.steps}"
        ),
        "rows": [row(task, rounds) for task in TASKS],
    }
    write_result(RESULT, document)
    for one in document["rows"]:
        print(one["task"], one["cpu_ratio"], one["shares"])


def steps(tree: Path, variant: str, count: int) -> dict[str, Any]:
    """Time of a step of each task, and the shares of its parts, in a tree of the code."""
    command = [sys.executable, "-c", _STEPS, dict(VARIANTS)[variant], str(count), variant]
    env = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tree, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(task: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Times of a task in all rounds, the ratios of medians, and the shares of the fastest way."""
    cpu = {name: [one[name][task]["cpu_ms"] for one in rounds] for name, _ in VARIANTS}
    wall = {name: [one[name][task]["wall_ms"] for one in rounds] for name, _ in VARIANTS}
    shares = {
        part: median(one["bf16"][task]["shares"].get(part, 0.0) for one in rounds) for part in PARTS
    }
    return {
        "task": task,
        "cpu_ms": cpu,
        "wall_ms": wall,
        "cpu_ratio": {
            name: round(median(cpu["before"]) / median(cpu[name]), 3) for name in ("fp32", "bf16")
        },
        "wall_ratio": {
            name: round(median(wall["before"]) / median(wall[name]), 3) for name in ("fp32", "bf16")
        },
        "shares": {part: round(share, 3) for part, share in shares.items()},
    }


def training_table(document: dict[str, Any]) -> str:
    """Steps per second beside the other commit's, and the share of each part of a step."""
    lines = [
        "| task | fp32 | bf16 | " + " | ".join(PARTS) + " |",
        "|" + "---|" * (3 + len(PARTS)),
    ]
    for one in document["rows"]:
        ratios, shares = one["cpu_ratio"], one["shares"]
        cells = [f"{100 * shares[part]:.0f} %" for part in PARTS]
        lines.append(
            f"| `{one['task']}` | {ratios['fp32']:.2f} | {ratios['bf16']:.2f} | "
            + " | ".join(cells)
            + " |"
        )
    reached = [one["task"] for one in document["rows"] if one["cpu_ratio"]["bf16"] >= GOAL]
    best = max(one["cpu_ratio"]["bf16"] for one in document["rows"])
    told = f"reached for {', '.join(reached)} alone" if reached else "reached for no task"
    if len(reached) == len(document["rows"]):
        told = "reached for every task"
    goal = f"The goal, {GOAL:g} times, is {told}: the best of bf16 is {best:.2f} times."
    return "\n".join([*lines, "", f"{goal} {origin(document)}"])


if __name__ == "__main__":
    main()

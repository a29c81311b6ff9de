"""How fast each runtime is beside the same runtime at another commit, in one interleaved run.

    python -m benchmarks.studies.against_commit REVISION [--model unifmir-full.pt] [--rounds N]

writes benchmarks/results/against-commit.json. `unifmir benchmark` of the two trees runs in turn,
so that a machine that slows down does so for both; ratios are of the medians over all rounds. The
other commit is checked out beside this one for the time of the run; both use this environment.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from unifmir.benchmarks.studies.result_files import REPO, provenance, write_result
from unifmir.zoo import EMBEDDED

RUNTIMES = ("eager", "native", "native-bf16", "onnxruntime", "openvino")

Row = tuple[str, str, str]
"""Task, runtime and precision."""
Times = dict[Row, tuple[float, float]]
"""Median wall and CPU time of one run of the network. Milliseconds."""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="of the other tree, such as HEAD~1")
    parser.add_argument("--model", default=EMBEDDED, help="zoo id or checkpoint")
    parser.add_argument("--task", action="append", help="repeatable; sr if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    tasks = chosen.task or ["sr"]
    with tempfile.TemporaryDirectory(prefix="unifmir-against-") as name:
        folder = Path(name)
        with checked_out(chosen.revision, folder / "tree") as other:
            rounds = [
                {
                    which: times(tree, chosen.model, tasks, folder / f"{which}-{number}.json")
                    for which, tree in (("before", other), ("after", REPO))
                }
                for number in range(chosen.rounds)
            ]
    document: dict[str, Any] = {
        **provenance(
            "python -m benchmarks.studies.against_commit "
            f"{chosen.revision} --model {Path(chosen.model).name} "
            f"{' '.join(f'--task {task}' for task in tasks)} --rounds {chosen.rounds}"
        ),
        "rows": list(compared(rounds)),
    }
    write_result("against-commit.json", document)
    for row in document["rows"]:
        print(f"{row['task']:11} {row['runtime']:12} {row['precision']:13} {row['wall_ratio']:.3f}")


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """Work tree of another commit, removed afterwards."""
    git = ["git", "-C", str(REPO), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def times(tree: Path, model: str, tasks: list[str], out: Path) -> Times:
    """Run `unifmir benchmark` of a tree once, one thread, on the image of its `patch` workload."""
    command = [sys.executable, "-m", "unifmir", "benchmark", "--model", model, "--images", "0"]
    command += ["--workload", "patch", "--threads", "1", "--out", str(out)]
    command += ["--rounds", "5", "--seconds", "1", "--samples", "5", "--no-keep-memory"]
    for flag, values in (("--runtime", RUNTIMES), ("--task", tasks)):
        command += [part for value in values for part in (flag, value)]
    for precision in ("fp32", "bf16-compute"):
        command += ["--precision", precision]
    env = {**os.environ, "PYTHONPATH": str(tree)}
    subprocess.run(command, cwd=tree, env=env, check=True, stdout=subprocess.DEVNULL)
    rows = json.loads(out.read_text("utf-8"))["rows"]
    return {
        (one["subject"]["task"], one["subject"]["runtime"], one["subject"]["precision"]): (
            one["latency"]["median_ms"],
            median(one["latency"]["cpu_ms"]),
        )
        for one in rows
        if one["latency"]
    }


def compared(rounds: list[dict[str, Times]]) -> Iterator[dict[str, Any]]:
    """One row a subject: both times of every round, and the ratio before / after of medians."""
    walls: dict[Row, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cpus: dict[Row, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in rounds:
        for which, found in one.items():
            for row, (wall, cpu) in found.items():
                walls[row][which].append(wall)
                cpus[row][which].append(cpu)
    for row, sides in walls.items():
        task, runtime, precision = row
        yield {
            "task": task,
            "runtime": runtime,
            "precision": precision,
            "before_ms": sides["before"],
            "after_ms": sides["after"],
            "wall_ratio": median(sides["before"]) / median(sides["after"]),
            "cpu_ratio": median(cpus[row]["before"]) / median(cpus[row]["after"]),
        }


if __name__ == "__main__":
    main()

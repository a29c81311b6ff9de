"""Cost of the checks of strangers' files to those who use their own: against another commit.

    python -m benchmarks.studies.trusted_paths REVISION [--rounds N] [COMMAND...]

writes benchmarks/results/trusted-paths.json. Commands: export of the embedded model in four
formats,
`verify` of each file, and `restore` of an image by the ONNX file, each in a process of its own with
one thread. Of each command the two trees run side by side, in an order that changes from round to
round, so that what drifts meets both. Ratios are of the medians of CPU time over all rounds, with
the interval in which 95 % of the ratios of resampled rounds lie.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tifffile

from unifmir.benchmarks.studies.against_commit import checked_out
from unifmir.benchmarks.studies.result_files import REPO, provenance, write_result
from unifmir.export.pipeline import artifact_name
from unifmir.samples import sample
from unifmir.zoo import EMBEDDED

FORMATS = ("safetensors", "onnx", "torchscript", "bioimageio")
_RESAMPLED = 2000

Sides = dict[str, list[tuple[float, float]]]
"""Wall and CPU seconds of each run of a command, by tree."""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="of the other tree, such as HEAD~1")
    parser.add_argument("commands", nargs="*", help="starts of those that are wanted, as verify")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    taken: dict[str, Sides] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="unifmir-trusted-") as name:
        folder = Path(name)
        with checked_out(chosen.revision, folder / "tree") as other:
            trees = {"before": other, "after": REPO}
            for which, tree in trees.items():
                (folder / which).mkdir()
                tifffile.imwrite(folder / which / "cells.tif", sample("sr").image)
                timed(tree, folder / which, ["export", *WHAT, "--out", "files"])
            for number in range(-1, chosen.rounds):  # the first compiles and fills caches
                for command, words in commands(number).items():
                    if not command.startswith(tuple(chosen.commands or [""])):
                        continue
                    for which in sorted(trees, reverse=number % 2 == 0):
                        both = timed(trees[which], folder / which, words)
                        if number >= 0:
                            taken[command][which].append(both)
    rows = [
        {
            "command": command,
            **{f"{which}_wall_s": [wall for wall, _ in sides[which]] for which in trees},
            **{f"{which}_cpu_s": [cpu for _, cpu in sides[which]] for which in trees},
            "wall_ratio": _ratio(sides, 0),
            "cpu_ratio": _ratio(sides, 1),
            "cpu_interval": _interval(sides),
        }
        for command, sides in taken.items()
    ]
    document: dict[str, Any] = {
        **provenance(
            f"python -m benchmarks.studies.trusted_paths {chosen.revision} --rounds {chosen.rounds}"
        ),
        "revision": chosen.revision,
        "rows": rows,
    }
    write_result("trusted-paths.json", document)
    for command, sides in taken.items():
        low, high = _interval(sides)
        print(f"{command:24} CPU {_ratio(sides, 1):.3f} ({low:.3f} to {high:.3f})")


def _ratio(sides: Sides, part: int) -> float:
    """Median after over median before: above 1 is slower now."""
    after, before = (median(one[part] for one in sides[which]) for which in ("after", "before"))
    return after / before


def _interval(sides: Sides) -> tuple[float, float]:
    """Ends of the interval in which 95 % of the ratios of CPU time of resampled rounds lie."""
    rng = np.random.default_rng(0)
    after, before = (
        np.median(rng.choice([cpu for _, cpu in sides[which]], (_RESAMPLED, len(sides[which]))), 1)
        for which in ("after", "before")
    )
    low, high = np.percentile(after / before, [2.5, 97.5])
    return float(low), float(high)


WHAT = ("--model", EMBEDDED, "--task", "sr", *(f"--format={name}" for name in FORMATS))


def commands(number: int) -> dict[str, list[str]]:
    """Words of each command in a round, in a folder that has an image and exported files."""
    files = {name: f"files/{artifact_name(name, 'sr')}" for name in FORMATS}
    restore = ["restore", "cells.tif", "--artifact", files["onnx"], "--tile", "128"]
    return {
        **{f"verify {name}": ["verify", file] for name, file in files.items()},
        "restore onnx": [*restore, "--out", f"restored-{number}.tif"],
        "export": ["export", *WHAT, "--out", f"out-{number}"],
    }


def timed(tree: Path, folder: Path, words: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one command of a tree in its folder, by one thread."""
    env = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    env |= {"XDG_CACHE_HOME": str(folder / "cache"), "UNIFMIR_TRUSTED": str(folder / "trusted")}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "unifmir", *words],
        cwd=folder,
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()

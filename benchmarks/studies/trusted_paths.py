"""Cost of the checks of strangers' files to those who use their own: against another commit.

    python -m benchmarks.studies.trusted_paths REVISION [--rounds N]

writes benchmarks/results/trusted-paths.json. The commands of the two trees run in turn, each in a
process of its own with one thread: export of the embedded model in four formats, `verify` of each
file, and `restore` of an image by the ONNX file. Ratios are of the medians over all rounds.
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

import tifffile

from unifmir.benchmarks.studies.against_commit import REPO, checked_out
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.samples import sample
from unifmir.zoo import EMBEDDED

FORMATS = ("safetensors", "onnx", "torchscript", "bioimageio")

Times = dict[str, tuple[float, float]]
"""Wall and CPU seconds of each command."""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="of the other tree, such as HEAD~1")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    taken: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="unifmir-trusted-") as name:
        folder = Path(name)
        with checked_out(chosen.revision, folder / "tree") as other:
            trees = {"before": other, "after": REPO}
            for which, tree in trees.items():  # compiles modules, and fills the caches
                commands(tree, folder / f"{which}-warm", folder / which)
            for number in range(chosen.rounds):
                for which, tree in trees.items():
                    out = folder / f"{which}-{number}"
                    for command, both in commands(tree, out, folder / which).items():
                        taken[command][which].append(both)
    rows = [
        {
            "command": command,
            **{f"{which}_wall_s": [wall for wall, _ in sides[which]] for which in trees},
            **{f"{which}_cpu_s": [cpu for _, cpu in sides[which]] for which in trees},
            "wall_ratio": _ratio(sides, 0),
            "cpu_ratio": _ratio(sides, 1),
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
    for row in rows:
        print(f"{row['command']:24} wall {row['wall_ratio']:.3f} CPU {row['cpu_ratio']:.3f}")


def _ratio(sides: dict[str, list[tuple[float, float]]], part: int) -> float:
    """Median after over median before: above 1 is slower now."""
    after, before = (median(one[part] for one in sides[which]) for which in ("after", "before"))
    return after / before


def commands(tree: Path, out: Path, state: Path) -> Times:
    """Run each command of a tree once. `state` is its user's folder, kept from run to run."""
    image = out.with_suffix(".tif")
    tifffile.imwrite(image, sample("sr").image)
    found = {}
    export = ["export", "--model", EMBEDDED, "--task", "sr", "--out", out]
    for name in FORMATS:
        export += ["--format", name]
    found["export"] = timed(tree, state, export)
    for path in sorted(out.glob("unifmir-sr.*")):
        if path.suffix in (".onnx", ".pt", ".zip", ".safetensors"):
            found[f"verify {path.suffix[1:]}"] = timed(tree, state, ["verify", path])
    restore = ["restore", image, "--artifact", out / "unifmir-sr.onnx", "--out", out / "restored"]
    found["restore onnx"] = timed(tree, state, [*restore, "--tile", "128"])
    return found


def timed(tree: Path, state: Path, arguments: list[Any]) -> tuple[float, float]:
    """Wall and CPU seconds of one command, by one thread."""
    env = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    env |= {"XDG_CACHE_HOME": str(state / "cache"), "UNIFMIR_TRUSTED": str(state / "trusted")}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "unifmir", *map(str, arguments)],
        cwd=tree,
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()

"""How long `unifmir restore` of a small image takes beside a bare `import torch`, and a refusal.

    python -m benchmarks.studies.start_up [--rounds 9]

writes benchmarks/results/start-up.json. Each round runs, in turn and each in a process of its own:
`import torch`; the command on a 64 x 64 image with the embedded model, with an exported ONNX file
and with a checkpoint; and the command on an image that holds NaN. What counts is the median over
the rounds of the ratio to the same round's import, in CPU seconds of the process and in wall time.
The kernels are compiled and the files read once before.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import tifffile

import unifmir
from unifmir.benchmarks.studies.result_files import provenance, write_result

TASK, SIDE = "sr", 64
IMPORT = "import torch"


def main() -> None:
    """Measure all in turn, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        commands = commands_in(Path(name))
        for command in commands.values():
            timed(command)
        found = [
            {what: timed(command) for what, command in commands.items()} for _ in range(rounds)
        ]
    write_result("start-up.json", document_of(found))


def commands_in(folder: Path) -> dict[str, list[str]]:
    """The commands by name, with their files in a folder."""
    rng = np.random.default_rng(0)
    values = rng.integers(100, 4000, (SIDE, SIDE)).astype(np.uint16)
    tifffile.imwrite(folder / "cells.tif", values)
    bad = values.astype(np.float32)
    bad[3, 4] = np.nan
    tifffile.imwrite(folder / "nan.tif", bad)
    network = unifmir.prune(unifmir.load("unifmir-small-sim"), TASK)
    (artifact,) = unifmir.export(network, folder / "out", formats=("onnx",))
    parent = folder / "out" / f"unifmir-{TASK}.safetensors"
    start = [sys.executable, "-m", "unifmir", "restore", "--device", "cpu", "--overwrite"]
    image = [*start, str(folder / "cells.tif")]
    return {
        IMPORT: [sys.executable, "-c", IMPORT],
        "embedded model": [*image, "--task", TASK],
        "onnx file": [*image, "--artifact", str(artifact.path)],
        "checkpoint": [*image, "--model", str(parent)],
        "refusal of NaN": [*start, str(folder / "nan.tif"), "--task", TASK],
    }


def timed(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    refused = command[-3].endswith("nan.tif")
    if done.returncode != (2 if refused else 0):
        raise SystemExit(f"{command} exited with {done.returncode}: {done.stderr.decode()}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu}


def document_of(found: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    """The medians of times and of ratios to the same round's import."""
    rows = []
    for what in found[0]:
        row: dict[str, object] = {"what": what}
        for clock in ("wall_s", "cpu_s"):
            row[clock] = round(median(one[what][clock] for one in found), 3)
            ratios = [one[what][clock] / one[IMPORT][clock] for one in found]
            row[f"{clock.removesuffix('_s')}_over_import"] = round(median(ratios), 3)
        rows.append(row)
    return {
        **provenance(f"python -m benchmarks.studies.start_up --rounds {len(found)}"),
        "rounds": len(found),
        "image": f"{SIDE} x {SIDE}, uint16",
        "rows": rows,
    }


if __name__ == "__main__":
    main()

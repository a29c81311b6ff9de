"""Whether a whole stack costs what its pixels cost: denoise of 41 x 626 x 1015, full size.

    python -m benchmarks.studies.whole_image [--precision fp32 ...] [--threads N]

writes benchmarks/results/whole-image.json: for each precision the time of restoring a stack of the
size of the paper's Planaria images, over the time its pixels take at the best rate of patches in
the same process, and the largest resident set of that process.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

from tests.golden.weights import filled
from unifmir.benchmarks.studies.full_size import SEED
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.machine import resident_bytes
from unifmir.model import build
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.samples import sample
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.predictors import predictor_for

SHAPE = (41, 626, 1015)
SIDES = (64, 128, 192, 256)
SLICES = 5
ROUNDS = 5


def main() -> None:
    """One process for each precision; write what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        print(json.dumps(measured(chosen.child, chosen.threads)))
        return
    rows = []
    for precision in chosen.precision or ["fp32"]:
        command = [
            sys.executable,
            "-m",
            "unifmir.benchmarks.studies.whole_image",
            "--child",
            precision,
        ]
        command += ["--threads", str(chosen.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(json.dumps(rows[-1]))
    asked = " ".join(f"--precision {precision}" for precision in chosen.precision)
    document = {
        **provenance(
            f"python -m benchmarks.studies.whole_image {asked} --threads {chosen.threads}"
        ),
        "shape": list(SHAPE),
        "rows": rows,
    }
    write_result("whole-image.json", document)


def measured(precision: str, threads: int) -> dict[str, Any]:
    """One row."""
    network = build(SingleTaskConfig("denoise", BodyConfig(), in_channels=SLICES))
    network.load_state_dict(filled(network.state_dict(), seed=SEED))
    choice = ModelChoice(precision=precision, device="cpu", threads=threads)
    predictor = predictor_for(choice, network)
    stack = stack_of(SHAPE)
    before = patch_seconds(predictor)
    wall, cpu = time.perf_counter(), time.process_time()
    restored = restore_array(stack, predictor)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resident_bytes("VmHWM")
    after = patch_seconds(predictor)
    if restored.shape != SHAPE or not np.isfinite(restored).all():
        raise SystemExit(f"the restored stack is {restored.shape}, or holds NaN or Inf")
    best = {kind: min(before[kind], after[kind]) for kind in before}
    return {
        "runtime": predictor.ran["runtime"],
        "precision": precision,
        "threads": threads,
        "seconds": {"wall": wall, "cpu": cpu},
        "best_patch_seconds_per_pixel": best,
        "over_pixels_at_best_patch_rate": {
            "wall": wall / (stack.size * best["wall"]),
            "cpu": cpu / (stack.size * best["cpu"]),
        },
        "peak_memory_bytes": peak,
    }


def stack_of(shape: tuple[int, ...]) -> np.ndarray:
    """A real stack, repeated to the shape."""
    real = sample("denoise").image
    repeats = [-(-wanted // found) for wanted, found in zip(shape, real.shape, strict=True)]
    rows, columns, planes = slice(shape[1]), slice(shape[2]), slice(shape[0])
    tiled = np.tile(real, repeats)[planes, rows, columns]
    return np.ascontiguousarray(tiled.astype(np.uint16))


def patch_seconds(predictor: Predictor) -> dict[str, Any]:
    """Least wall and CPU seconds a pixel, over patch sizes and rounds."""
    rng = np.random.default_rng(SEED)
    best = {"wall": np.inf, "cpu": np.inf}
    for _ in range(ROUNDS):
        for side in SIDES:
            patch = rng.random((1, SLICES, side, side), dtype=np.float32)
            wall, cpu = time.perf_counter(), time.process_time()
            predictor.run(patch)
            best["wall"] = min(best["wall"], (time.perf_counter() - wall) / side**2)
            best["cpu"] = min(best["cpu"], (time.process_time() - cpu) / side**2)
    return best


if __name__ == "__main__":
    main()

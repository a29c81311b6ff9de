"""What the fast way through the Swin body gains over the plain one, in PyTorch on this CPU.

    python -m benchmarks.pytorch_paths [--size 128 256] [--compiled] [--out FILE]

Times the plain reference (tests/plain_swin.py), the network as it is, and with `--compiled` what
torch.compile makes of it, for sr at the paper's size and at the embedded model's. One thread, CPU
time, in turn; what counts is the ratio of the medians.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from tests.golden.weights import filled
from tests.plain_swin import plain
from unifmir import machine
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.model import build
from unifmir.training.recipe import SMALL_CONFIG

SEED = 21
CONFIGS = {
    "full": MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig()),
    "embedded": SMALL_CONFIG,
}


def compared(name: str, size: int, rounds: int, compiled: bool) -> dict[str, Any]:
    """Medians of CPU time in turn, in milliseconds, and what they are of the plain one's."""
    network = build(CONFIGS[name].single("sr"))
    network.load_state_dict(filled(network.state_dict(), seed=SEED))
    image = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(SEED))
    paths: dict[str, Callable[[Tensor], Tensor]] = {"plain": plain(network), "eager": network}
    if compiled:
        made: nn.Module = torch.compile(network, dynamic=False)  # type: ignore[assignment]
        paths["compiled"] = made
    spent: dict[str, list[float]] = {path: [] for path in paths}
    with torch.inference_mode():
        expected = paths["plain"](image)
        largest = {
            path: float((run(image) - expected).abs().max() / expected.abs().max())
            for path, run in paths.items()
        }
        for _ in range(rounds):
            for path, run in paths.items():
                start = time.process_time()
                run(image)
                spent[path].append(1e3 * (time.process_time() - start))
    medians = {path: median(times) for path, times in spent.items()}
    return {
        "network": name,
        "size_px": size,
        "rounds": rounds,
        "cpu_ms": spent,
        "faster_than_plain": {path: medians["plain"] / ms for path, ms in medians.items()},
        "largest_difference_over_largest_value": largest,
    }


def main(arguments: Sequence[str]) -> None:
    """Print or write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[128, 256], help="pixels a side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compiled", action="store_true", help="torch.compile too; takes minutes")
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {
        "machine": machine.description(),
        "torch": torch.__version__,
        "results": [
            compared(name, size, wanted.rounds, wanted.compiled)
            for name in CONFIGS
            for size in wanted.size
        ],
    }
    text = json.dumps(results, indent=1)
    if wanted.out is None:
        print(text)
    else:
        wanted.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

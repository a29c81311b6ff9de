"""How fast full-size networks are in every runtime, in one interleaved run on one thread.

    python -m benchmarks.studies.full_size FOLDER
    python -m benchmarks.studies.full_size_speed FOLDER [--rounds N]

writes benchmarks/results/full-size-speed-INSTRUCTIONS.json, named by the widest instructions of the
processor. The network written out and the runtimes compute the same crop of the task's sample in
turn, each in a process of its own that keeps the memory it frees, as those of `unifmir benchmark`
do: whether a process does so by itself is chance, and decides up to a third of the time of the
network written out. Ratios are medians over the rounds of the CPU time of one and the other: wall
time on a machine that others use is theirs as well. Left out are the runtimes that compile for
minutes (`compiled`, `aotinductor`).
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from unifmir.benchmarks.measure.worker_process import KEPT_MEMORY
from unifmir.benchmarks.studies.full_size import NAME
from unifmir.benchmarks.studies.measured_tables import full_size_speed, full_size_speed_table
from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.checkpoint.pruning import prune
from unifmir.checkpoint.saving import save
from unifmir.compare import compare, tolerance_of
from unifmir.cost.dispatcher import count_dispatched
from unifmir.errors import MissingExtraError
from unifmir.export.base import ExportJob
from unifmir.export.cases import calibration_inputs, example
from unifmir.export.credit import Credit
from unifmir.export.formats import FORMATS
from unifmir.export.formats.onnx import DEFAULT_OPSET
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes import RUNTIMES
from unifmir.machine import instructions
from unifmir.precision.element_types import Precision
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.load import load

PLAIN = "plain"
RUNTIMES_COMPARED = {
    **dict.fromkeys((PLAIN, "eager", "native", "torchscript", "onnxruntime", "openvino"), "fp32"),
    "native-bf16": "bf16",
}
"""Their arithmetic."""
SIDES = {"sr": 256, "denoise": 256, "isotropic": 256, "projection": 64, "volume": 96}
"""Pixels of the crops, or what the task makes of them: 96 are 24 lenses.

256 x 256 pixels are what `restore` gives a network at once on a CPU (`tile_size.RUN_PIXELS`), and
a light field of 24 lenses a side is 264 wide. Projection takes minutes for that many.
"""
CALLS = {"native": 2, "native-bf16": 3}
"""Calls of a round; of others one."""
CHANNELS, PIXELS = 256, 64
"""Shape of the convolution whose rate is the peak, as in `benchmarks.measure.peaks`."""


def cpu_s(call: Callable[[], Any], calls: int) -> float:
    """CPU time of one of several calls in a row."""
    begun = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - begun) / calls


def peak_gmac_per_s(dtype: torch.dtype, rounds: int) -> float:
    """Best rate of PyTorch's convolution, by CPU time."""
    conv = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, dtype=dtype)
    image = torch.randn(1, CHANNELS, PIXELS, PIXELS, dtype=dtype)
    with torch.inference_mode():
        best = min(cpu_s(lambda: conv(image), 5) for _ in range(rounds))
    return 9e-9 * CHANNELS**2 * PIXELS**2 / best


def process() -> ProcessPoolExecutor:
    """A process of one thread, which imports what it needs."""
    return ProcessPoolExecutor(
        1, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    )


_turn: list[Callable[[], Any]] = []
"""The call that this process makes in its turn."""


def written(checkpoint: Path, task: str, format_name: str, folder: Path) -> Path:
    """A file of a format, of the plain network."""
    network = prune(load(checkpoint), task)
    path = folder / f"{task}{FORMATS[format_name].suffix}"
    job = ExportJob(
        network=network,
        module=network,
        example=example(network.config, "network"),
        lineage=lineage_of(
            network.config, "network", Precision("fp32"), save(network, folder / "parent")
        ),
        recipe=PrecisionRecipe("fp32"),
        opset=DEFAULT_OPSET,
        credit=Credit(),
    )
    FORMATS[format_name].write(job, path)
    return path


def first_picture(
    checkpoint: Path, task: str, runtime: str, file: Path | None, image: np.ndarray
) -> tuple[np.ndarray, str]:
    """Open a runtime in this process; returns what it makes of an image, and by what it ran."""
    source = file or prune(load(checkpoint), task).eval()
    session = RUNTIMES[runtime].open(source, device="cpu", threads=1)
    _turn[:] = [partial(session.run, image)]
    return np.array(session.run(image)), str(session.ran["provider"])


def next_turn(calls: int) -> float:
    """CPU time of one of several calls in a row."""
    return cpu_s(_turn[0], calls)


def missing() -> dict[str, str]:
    """Runtimes that this machine cannot run, and what each needs."""
    reasons = {}
    for name in RUNTIMES_COMPARED:
        try:
            RUNTIMES[name].require()
        except MissingExtraError as error:
            reasons[name] = str(error)
    return reasons


def measured(
    task: str, checkpoint: Path, runtimes: list[str], rounds: int, peaks: dict[str, float]
) -> Any:
    """Rows of one task."""
    network = prune(load(checkpoint), task).eval()
    config = network.config
    # The second crop: weights are rounded for the first.
    image = calibration_inputs(config, "network", [sample(task).image], side=SIDES[task])[1].numpy()
    with torch.inference_mode():
        wanted = network(torch.from_numpy(image)).numpy()
    spent: dict[str, list[float]] = {name: [] for name in runtimes}
    with ExitStack() as ends:
        folder = Path(ends.enter_context(TemporaryDirectory()))
        processes = {name: ends.enter_context(process()) for name in runtimes}
        pictures, providers = {}, {}
        for name, one in processes.items():
            wanted_format, file = RUNTIMES[name].format, None
            if wanted_format:
                # By a process that ends: memory that writing it takes is no part of running it.
                with process() as writer:
                    file = writer.submit(written, checkpoint, task, wanted_format, folder).result()
            opened = one.submit(first_picture, checkpoint, task, name, file, image)
            pictures[name], providers[name] = opened.result()
        for _ in range(rounds):
            for name, one in processes.items():
                spent[name].append(one.submit(next_turn, CALLS.get(name, 1)).result())
    gmac = count_dispatched(network, image.shape).macs / 1e9
    for name in runtimes:
        arithmetic = RUNTIMES_COMPARED[name]
        found = compare(wanted, pictures[name])
        bar = tolerance_of(arithmetic)
        ratios = [a / b for a, b in zip(spent[PLAIN], spent[name], strict=True)]
        yield {
            "task": task,
            "input": list(image.shape),
            "runtime": name,
            "provider": providers[name],
            "times_as_fast": median(ratios),
            "slowest_round": min(ratios),
            "fastest_round": max(ratios),
            "psnr_db": found.psnr_db if np.isfinite(found.psnr_db) else None,
            "max_abs_over_std": found.max_abs_over_std,
            "same_picture": not bar.failures(found),
            "share_of_peak": gmac / median(spent[name]) / peaks[arithmetic],
        }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where `full_size` wrote the checkpoint")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.update(KEPT_MEMORY)
    without = missing()
    runtimes = [name for name in RUNTIMES_COMPARED if name not in without]
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    peaks = {
        name: peak_gmac_per_s(types[name], options.rounds)
        for name in {RUNTIMES_COMPARED[runtime] for runtime in runtimes}
    }
    rows = []
    for task in TASKS:
        for row in measured(task, options.folder / NAME, runtimes, options.rounds, peaks):
            rows.append(row)
            print(task, row["runtime"], f"{row['times_as_fast']:.2f}", flush=True)
    command = f"python -m benchmarks.studies.full_size_speed FOLDER --rounds {options.rounds}"
    document = {
        **provenance(command),
        "rounds": options.rounds,
        "instructions": instructions(),
        "rows": rows,
        "missing": without,
    }
    write_result(full_size_speed((instructions() or ["other"])[-1]), document)
    print(full_size_speed_table(document))


if __name__ == "__main__":
    main()

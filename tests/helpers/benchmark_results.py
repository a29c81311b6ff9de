"""Made-up benchmark results for tests: single rows, and a whole run with known answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unifmir.benchmarks.measure.results import (
    ColdStart,
    Energy,
    Latency,
    MemoryUse,
    Peak,
    Ratio,
    Results,
    Row,
)
from unifmir.benchmarks.plan.subject import Subject

TASKS = ("sr", "denoise", "isotropic", "projection", "volume")
MACHINE = {
    "processor": "Example CPU 3.0 GHz",
    "cores": 8,
    "memory_bytes": 34359738368,
    "system": "Linux",
    "gpu": None,
    "driver": None,
}
PEAKS = (Peak("cpu", "fp32", 900.0, 24.0),)


def subject(model: str = "m", task: str = "sr", **changes: Any) -> Subject:
    """A subject of sensible defaults."""
    values: dict[str, Any] = {
        "runtime": "onnxruntime",
        "precision": "fp32",
        "device": "cpu",
        "workload": "image",
        "input_shape": (1, 512, 512),
    }
    return Subject(model, task, **{**values, **changes})


def latency(rounds_ms: Any, **changes: Any) -> Latency:
    """A latency of one sample per round; its interval is that of the rounds' middle half."""
    rounds = [float(value) for value in rounds_ms]
    low, median, high = np.percentile(rounds, [25, 50, 75]).tolist()
    values: dict[str, Any] = {
        "rounds_ms": tuple((value,) for value in rounds),
        "cpu_ms": tuple(rounds),
        "median_ms": median,
        "interval_ms": (low, high),
        "p90_ms": float(np.percentile(rounds, 90)),
        "p99_ms": float(np.percentile(rounds, 99)),
        "minimum_ms": min(rounds),
        "variation": float(np.std(rounds) / np.mean(rounds)),
    }
    return Latency(**{**values, **changes})


def around(median_ms: float, *, noise: float = 0.01, rounds: int = 12, seed: int = 0) -> Latency:
    """A latency of rounds that scatter log-normally by `noise`."""
    scatter = np.random.default_rng(seed).normal(0, noise, rounds)
    return latency(median_ms * np.exp(scatter - np.median(scatter)))


def quality_of(
    psnr_db: float, ssim: float = 0.9, nrmse: float = 0.03, **more: Any
) -> dict[str, Any]:
    """Quality as a row has it."""
    known = {"psnr_db": psnr_db, "ssim": ssim, "nrmse": nrmse, "slope": 1.0, "images": 8}
    return {**known, "dataset": "simulated", **more}


def row(about: Subject | None = None, **changes: Any) -> Row:
    """A row with a latency around 100 ms and counts, unless changed."""
    values: dict[str, Any] = {
        "subject": about or subject(),
        "ran": {"provider": "CPUExecutionProvider", "threads": 4, "tf32": False},
        "counts": {"parameters": 1_000_000, "flops": 2e9, "traffic_bytes": 1e8},
        "latency": around(100.0),
    }
    return Row(**{**values, **changes})


def results(*rows: Row, **changes: Any) -> Results:
    """Results of one made-up machine."""
    values: dict[str, Any] = {
        "command": "unifmir benchmark --quick",
        "commit": "abc1234",
        "created": "2026-01-02T03:04:05+00:00",
        "machine": MACHINE,
        "versions": {"torch": "2.13.0", "onnxruntime": "1.31.1"},
        "settings": {"rounds": 12, "threads": 4, "seed": 0},
        "peaks": PEAKS,
        "rows": rows,
    }
    return Results(**{**values, **changes})


_MODELS: dict[str, dict[str, Any]] = {
    # Parameters, FLOP per pixel, traffic in bytes per pixel, share of the peak, PSNR.
    "unifmir-sr-f-actin": {"of": (11.8e6, 2.6e5, 2.9e4, 0.17, 31.4)},
    "care": {"of": (1.0e6, 1.3e4, 3.5e2, 0.42, 29.1)},
    "unet": {"of": (7.8e6, 4.0e4, 1.2e3, 0.48, 29.8)},
    "enlcn": {"of": (43.1e6, 1.4e6, 6.0e4, 0.29, 31.0)},
}
_VARIANTS = (
    ("unifmir-sr-f-actin", "torch", "fp32", 0.8),
    ("unifmir-sr-f-actin", "onnxruntime", "fp32", 1.0),
    ("unifmir-sr-f-actin", "onnxruntime", "fp16", 0.98),
    ("care", "onnxruntime", "fp32", 1.0),
    ("unet", "onnxruntime", "fp32", 1.0),
    ("enlcn", "torch", "fp32", 1.0),
)
_SIZES = (64, 128, 256, 512)


def realistic(*, seed: int = 0) -> Results:
    """Five tasks of six rows, with sweeps, one untrusted row per task, one error, one mixed GPU."""
    rows = []
    for index, task in enumerate(TASKS):
        for workload, side in [("image", 384), *((f"sweep-{n}", s) for n, s in enumerate(_SIZES))]:
            rows += _group(task, workload, side, seed + 100 * index + side)
    return results(*rows)


def _group(task: str, workload: str, side: int, seed: int) -> list[Row]:
    base = None
    made = []
    for number, (model, runtime, precision, speed) in enumerate(_VARIANTS):
        about = subject(
            model, task, runtime=runtime, precision=precision, workload=workload,
            input_shape=(1, side, side),
        )  # fmt: skip
        parameters, per_pixel, traffic, share, psnr = _MODELS[model]["of"]
        random = np.random.default_rng([seed, number])
        growth = (about.pixels / 384**2) ** 0.06 * float(np.exp(random.normal(0, 0.04)))
        per_pixel *= 1 + 0.5 * TASKS.index(task)
        flops = per_pixel * about.pixels
        median_ms = growth * flops / (share * speed * 900e9) * 1e3
        timed = around(median_ms, noise=0.01 + 0.01 * number, seed=seed + number)
        base = base or (about.key, timed)
        made.append(
            row(
                about,
                counts=_counts(parameters, flops, traffic * about.pixels),
                latency=timed,
                ratio=_ratio(base, timed),
                cold=ColdStart(900.0, 300.0 + 10 * number, 1.5 * median_ms),
                memory=MemoryUse(int(4e8 + parameters * 8), int(3e8)),
                energy=Energy(None, "no RAPL counter on this machine"),
                quality=quality_of(psnr - 0.01 * (precision == "fp16") + TASKS.index(task), 0.87,
                                   0.031, slope=0.98),
                same_picture={"max_abs_over_std": 3.1e-6, "psnr_db": 110.0},
                problems=("another process took 31 % of the CPU",) if number == 4 else (),
            )
        )  # fmt: skip
    if task == "volume" and workload == "image":
        made[-1] = row(
            made[-1].subject, counts=made[-1].counts, latency=None, error="out of memory"
        )
    return made


def _counts(parameters: float, flops: float, traffic_bytes: float) -> Mapping[str, Any]:
    return {
        "parameters": int(parameters),
        "macs": flops / 2,
        "flops": flops,
        "bops": flops / 2 * 32 * 32,
        "traffic_bytes": traffic_bytes,
        "weight_bytes": int(4 * parameters),
        "file_bytes": int(4.1 * parameters),
    }


def _ratio(base: tuple[str, Latency], own: Latency) -> Ratio:
    pairs = zip(base[1].rounds_ms, own.rounds_ms, strict=True)
    ratios = [theirs[0] / ours[0] for theirs, ours in pairs]
    low, median, high = np.percentile(ratios, [25, 50, 75]).tolist()
    return Ratio(base[0], median, (low, high), median)

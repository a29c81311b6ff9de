"""Speed of every runtime that is here, for `unifmir doctor`: a short benchmark."""

from dataclasses import replace

from unifmir.atomic import temporary_folder
from unifmir.benchmarks.measure.benchmark_run import benchmark
from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.devices import device_named, present_devices
from unifmir.export.runtimes import RUNTIMES
from unifmir.machine import instructions
from unifmir.zoo import EMBEDDED
from unifmir.zoo.doctor import checkups
from unifmir.zoo.doctor.diagnose import Diagnosis, Speed

ROUNDS, SECONDS, SAMPLES, BUDGET_S = 3, 0.3, 3, 20.0
"""Least rounds, seconds and samples, one after each start, and the seconds from which on none is
added."""


def with_speeds(found: Diagnosis, task: str) -> Diagnosis:
    """A diagnosis with the runtimes timed: half a minute to a minute, each in a process of its own.

    Parameters
    ----------
    found : Diagnosis
    task : str
        Task whose image and model, those that ship with the package, are run.

    Raises
    ------
    UnknownNameError
        No such task.
    """
    return replace(found, task=task, speeds=tuple(_speeds(task)))


def _speeds(task: str) -> list[Speed]:
    """Every runtime that is here, on every device, the fastest first."""
    results = [(device, _measured(task, device)) for device in _timed_devices()]
    rows = [(device, row) for device, found in results for row in found.rows]
    reference = next(
        (
            row.latency.median_ms
            for device, row in rows
            if device == "cpu" and row.subject.runtime == "eager" and row.latency
        ),
        None,
    )
    return sorted(
        (_speed(device, row, reference) for device, row in rows),
        key=lambda one: one.median_ms or float("inf"),
    )


def _timed_devices() -> list[str]:
    """The devices that run the embedded model: those of PyTorch."""
    return [one.name for one in present_devices() if one.kind.torch_type is not None]


def _measured(task: str, device: str) -> Results:
    """A short benchmark of the embedded model."""
    here = tuple(name for name in RUNTIMES if _is_quick(name) and checkups.runs_here(name))
    low = "fp16-compute" if not device_named(device).is_cpu else "bf16-compute"
    plan = BenchmarkPlan(
        models=(EMBEDDED,),
        tasks=(task,),
        runtimes=here,
        precisions=("fp32", low) if _computes_low(device) else ("fp32",),
        device=device,
        rounds=ROUNDS,
        seconds=SECONDS,
        samples=SAMPLES,
        budget_s=BUDGET_S,
        quick=True,
    )
    with temporary_folder() as folder:
        return benchmark(plan, folder / "doctor.json")


def _is_quick(runtime: str) -> bool:
    try:
        return not RUNTIMES[runtime].slow_start
    except ImportError:
        return False


def _computes_low(device: str) -> bool:
    """Whether two-byte arithmetic may be faster: on every GPU, and on processors made for it."""
    made_for_it = {"avx512_bf16", "amx_bf16", "bf16"} & set(instructions())
    return not device_named(device).is_cpu or bool(made_for_it)


def _speed(device: str, row: Row, reference: float | None) -> Speed:
    median = row.latency.median_ms if row.latency else None
    ratio = reference / median if reference and median else None
    same = None if row.same_picture is None else bool(row.same_picture["passed"])
    problems = (*row.problems, *([row.error] if row.error else []))
    subject = row.subject
    return Speed(device, subject.runtime, subject.precision, median, ratio, same, problems)

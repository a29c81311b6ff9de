"""Benchmarks that take a second: tiny images, short visits."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from tests.helpers.task_rows import change_task
from unifmir.benchmarks.measure import timed_subject
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.tasks import TASKS, base
from unifmir.tasks.base import Size, Workloads

TINY = {
    "sr": ((1, 16, 16),),
    "denoise": ((2, 16, 16),),
    "isotropic": ((4, 8, 8),),
    "projection": ((50, 16, 16),),
    "volume": ((1, 6, 6),),
}


@dataclass(frozen=True, slots=True)
class TinyWorkloads(Workloads):
    """Images that take no time."""

    tiny: tuple[Size, ...] = ()
    pair: tuple[Size, ...] = ((1, 16, 16), (1, 20, 16))


def short(patch: pytest.MonkeyPatch) -> None:
    """Visits of 10 ms, and tiny images."""
    for name in ("MIN_VISIT_S", "QUICK_MIN_VISIT_S", "QUICK_WARM_UP_S", "WARM_UP_S"):
        patch.setattr(timed_subject, name, 0.01)
    patch.setattr(base, "WORKLOADS", (*base.WORKLOADS, "tiny", "pair"))
    for task, tiny in TINY.items():
        rows = asdict(TASKS[task].workloads)
        change_task(patch, task, workloads=TinyWorkloads(**rows, tiny=tiny))


def plan_of(*models: Path, **changes: object) -> BenchmarkPlan:
    """A plan that takes a second."""
    plan = BenchmarkPlan(
        models=tuple(map(str, models)),
        runtimes=("eager",),
        threads=1,
        workloads=("tiny",),
        rounds=2,
        seconds=0.02,
        samples=2,
        budget_s=0.001,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of BenchmarkPlan

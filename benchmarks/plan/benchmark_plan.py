"""Plan of a benchmark, with its defaults and checks."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from unifmir.devices import chosen_device
from unifmir.errors import BenchmarkError
from unifmir.export.runtimes import RUNTIMES
from unifmir.json_values import JsonOutput
from unifmir.machine import default_threads
from unifmir.precision.element_types import PRECISIONS
from unifmir.registry import require_known
from unifmir.tasks import TASKS, base
from unifmir.zoo.doctor.checkups import runs_here

USUAL_RUNTIMES = ("eager", "native", "native-bf16", "onnxruntime")
"""Runtimes of a model where none is named, if they are here: the plain network, which the others
are compared with, and what restores for users."""
REFERENCE_RUNTIMES, QUICK_REFERENCE_RUNTIMES = ("eager", "onnxruntime"), ("onnxruntime",)
"""Runtimes of reference models that are only named, where none is."""
ROUNDS, SECONDS, SAMPLES = 15, 10.0, 30
"""Least rounds, seconds and samples of a subject: 30 samples and 10 s are what
OpenVINO's benchmark_app and trtexec agree on for CPUs, 15 rounds are five after each start."""
QUICK_ROUNDS, QUICK_SECONDS, QUICK_SAMPLES = 9, 0.9, 9
TARGET, QUICK_TARGET = 0.03, 0.08
"""Half width of the ratio's 95 % interval at which a subject is started no more."""
BUDGET_S, QUICK_BUDGET_S = 300.0, 240.0
"""Seconds after which the subjects that read one image are started no more, within the target or
not; the least starts are made whatever they take."""

Number = TypeVar("Number", int, float)


def _given(value: Number | None, default: Number) -> Number:
    """A value that is given, be it 0, which is refused later; else the default."""
    return default if value is None else value


def _present(names: tuple[str, ...]) -> tuple[str, ...]:
    """The runtimes that are here; the plain network needs nothing more."""
    return tuple(name for name in names if runs_here(name)) or ("eager",)


@dataclass(frozen=True, slots=True)
class BenchmarkPlan(JsonOutput):
    """Models, runtimes and images to compare, and how thoroughly; None: the (quick) default."""

    models: tuple[str, ...] = ()
    """Zoo ids, names of reference models, checkpoint files. The first is the baseline."""
    artifacts: tuple[Path, ...] = ()
    """Files of `unifmir export`, run as they are."""
    tasks: tuple[str, ...] = ()
    """Empty: every task of every model."""
    runtimes: tuple[str, ...] = ()
    """Names in `unifmir.export.runtimes.RUNTIMES`; empty: those of `USUAL_RUNTIMES` that are
    here."""
    reference_runtimes: tuple[str, ...] = ()
    """Runtimes of the reference models that are only named. Empty: those of `runtimes`, if somebody
    named these, else `REFERENCE_RUNTIMES`."""
    precisions: tuple[str, ...] = ()
    """Empty: fp32, or what a runtime computes in by itself, as native-bf16 does."""
    device: str = "cpu"
    """`auto` or a name of `unifmir.devices`."""
    threads: int | None = None
    """Threads on the CPU; the cores of the machine by default."""
    keep_memory: bool = True
    """Whether processes keep what a run frees for the next (`process.KEPT_MEMORY`): times are
    then steady, and on Linux PyTorch is up to 2.6 times as fast as in a plain process."""
    workloads: tuple[str, ...] | None = None
    rounds: int | None = None
    seconds: float | None = None
    """Seconds of measurement a subject and image, warm-up not counted."""
    samples: int | None = None
    target: float | None = None
    """Half width of the interval of the ratio to the baseline that ends a subject's starts; 0.03 is
    3 %."""
    budget_s: float | None = None
    """Seconds after which no start is added to those that read one image."""
    seed: int = 0
    """Seed of the order within each round."""
    baseline: str = ""
    """`model`, `model/runtime` or `model/runtime/precision`; the first model in fp32 eager."""
    images: int = 0
    """Held-out images that the quality is measured on; 0: it is not measured."""
    quick: bool = False
    """An answer in a minute or two: fewer rounds, a wider target, patches only."""

    def settled(self) -> "BenchmarkPlan":
        """The plan with every default filled in.

        Raises
        ------
        BenchmarkError
            Something in it is unknown or makes no sense.
        UnknownNameError
            A task is unknown.
        """
        quick = self.quick
        references = QUICK_REFERENCE_RUNTIMES if quick else REFERENCE_RUNTIMES
        plan = replace(
            self,
            device=chosen_device(self.device).name,
            models=tuple(dict.fromkeys(self.models)),
            artifacts=tuple(Path(path) for path in dict.fromkeys(self.artifacts)),
            runtimes=self.runtimes or _present(USUAL_RUNTIMES),
            reference_runtimes=self.reference_runtimes
            or (() if self.runtimes else _present(references)),
            threads=default_threads() if self.threads is None else self.threads,
            workloads=self.workloads or (("quick",) if quick else ("patch", "image")),
            rounds=_given(self.rounds, QUICK_ROUNDS if quick else ROUNDS),
            seconds=_given(self.seconds, QUICK_SECONDS if quick else SECONDS),
            samples=_given(self.samples, QUICK_SAMPLES if quick else SAMPLES),
            target=_given(self.target, QUICK_TARGET if quick else TARGET),
            budget_s=_given(self.budget_s, QUICK_BUDGET_S if quick else BUDGET_S),
        )
        plan.check()
        return plan

    def check(self) -> None:
        """An error as of `settled` if something is unknown or makes no sense."""
        if not self.models and not self.artifacts:
            raise BenchmarkError("nothing to benchmark: give a model, or an exported file")
        for task in self.tasks:
            TASKS.require(task)
        for what, names, known in (
            ("runtime", (*self.runtimes, *self.reference_runtimes), RUNTIMES),
            ("precision", self.precisions, PRECISIONS),
            ("workload", self.workloads or (), base.WORKLOADS),
        ):
            for name in names:
                require_known(what, name, known, BenchmarkError)
        for path in self.artifacts:
            if not path.is_file():
                raise BenchmarkError(f"{path}: no such file; make it with `unifmir export`")
        for what in ("threads", "rounds", "seconds", "samples", "target", "budget_s"):
            value = getattr(self, what)
            if value is not None and value <= 0:
                raise BenchmarkError(f"{what} is {value}: expected more than 0")

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; files by name: where they lie is nobody else's business."""
        models = [Path(model).name for model in self.models]
        artifacts = [path.name for path in self.artifacts]
        return {**JsonOutput.to_dict(self), "models": models, "artifacts": artifacts}

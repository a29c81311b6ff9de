"""Check that what is timed computes the same picture as the model in fp32 eager."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.benchmarks.measure.model_spec import ModelSpec
from unifmir.benchmarks.measure.worker_process import WorkerProcess
from unifmir.benchmarks.plan.groups import Candidate, PreparedModel
from unifmir.benchmarks.plan.workloads import image_of
from unifmir.compare import FP32, LOW_PRECISION, Tolerance, beside_fp64, compare, may_be_rounding
from unifmir.errors import ImageError
from unifmir.interfaces import INTERFACES
from unifmir.tasks import TASKS

TIMEOUT_S = 3600.0
"""Time limit of one run of a model, loading included."""


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """Comparison of one subject's output with that of fp32 eager."""

    figures: Mapping[str, Any]
    """`max_abs_over_std`, `psnr_db`, `identical`, `reference` (the arithmetic that it was held
    against, "fp64" where fp32 itself rounds too much to tell), `tolerance`, `passed`."""
    problems: tuple[str, ...]
    by_a_hair: bool = False
    """Whether what is missed is the tolerance of fp32 alone, by a model with fresh weights, whose
    values no training held in bounds: the picture is the same to the bar of low precision."""


class OutputChecker:
    """Outputs of the subjects of one group, and of their models in fp32 eager."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._threads = threads
        self._outputs: dict[str, Path] = {}
        self._expected: dict[str, Path] = {}
        self._exact: dict[str, Path] = {}

    def save_output(self, candidate: Candidate, worker: WorkerProcess) -> None:
        """Have a subject's output saved, to be checked later."""
        path = self._folder / f"output-{len(self._outputs):03d}.npy"
        worker.ask("save", timeout_s=TIMEOUT_S, path=str(path))
        subject = candidate.subject
        self._outputs[subject.key] = path
        if candidate.model and subject.runtime == "eager" and subject.precision == "fp32":
            self._expected.setdefault(candidate.model.origin.sha256, path)

    def check(self, candidate: Candidate) -> OutputCheck | None:
        """Compare a subject's output with that of fp32 eager; None if the model is not at hand.

        Where fp32 eager may be at fault itself, the output is held against the network in fp64.
        """
        path = self._expected_output(candidate)
        if path is None:
            return None
        tolerance = _tolerance(candidate)
        expected, output = np.load(path), np.load(self._outputs[candidate.subject.key])
        reference = "fp32"
        try:
            found = compare(expected, output)
            if may_be_rounding(found, tolerance) and candidate.model is not None:
                exact = np.load(self._exact_output(candidate, candidate.model))
                in_fp64, bars = compare(exact, output), beside_fp64(compare(exact, expected))
                if not bars.failures(in_fp64):
                    found, reference, tolerance = in_fp64, "fp64", bars
        except ImageError as error:
            return OutputCheck({"tolerance": tolerance.name, "passed": False}, (str(error),))
        failures = tolerance.failures(found)
        values = found.to_dict()
        figures = {name: values[name] for name in ("max_abs_over_std", "psnr_db", "identical")}
        return OutputCheck(
            {
                **figures,
                "reference": reference,
                "tolerance": tolerance.name,
                "passed": not failures,
            },
            tuple(f"not the same picture as fp32 eager: {text}" for text in failures),
            by_a_hair=candidate.fresh and may_be_rounding(found, tolerance),
        )

    def _exact_output(self, candidate: Candidate, model: PreparedModel) -> Path:
        """The output of the model in fp64, run for this alone."""
        key, subject = model.origin.sha256, candidate.subject
        if key not in self._exact:
            folder = self._folder / f"exact-{len(self._exact):03d}"
            with WorkerProcess(folder, self._threads) as worker:
                worker.save_exact(
                    ModelSpec(model.file, task=subject.task),
                    image_of(subject.task, subject.input_shape),
                    folder / "output.npy",
                    timeout_s=TIMEOUT_S,
                )
            self._exact[key] = folder / "output.npy"
        return self._exact[key]

    def _expected_output(self, candidate: Candidate) -> Path | None:
        """The output of fp32 eager, run for this alone if it is not a subject itself."""
        if candidate.model is None:
            parent = candidate.file.lineage.parent["sha256"] if candidate.file else ""
            return self._expected.get(parent)
        key = candidate.model.origin.sha256
        if key not in self._expected:
            subject = candidate.subject
            folder = self._folder / f"expected-{len(self._expected):03d}"
            with WorkerProcess(folder, self._threads) as worker:
                worker.open(
                    ModelSpec(candidate.model.file, task=subject.task),
                    image_of(subject.task, subject.input_shape),
                    timeout_s=TIMEOUT_S,
                )
                worker.ask("save", timeout_s=TIMEOUT_S, path=str(folder / "output.npy"))
            self._expected[key] = folder / "output.npy"
        return self._expected[key]


def _tolerance(candidate: Candidate) -> Tolerance:
    """fp32 is held to the fp32 bar, except in a task where results are square roots.

    There equal passes may differ by any part of the standard deviation: `unifmir verify` compares
    the squares; here the low-precision bar tells a wrong picture from a right one. It holds for
    all models of the task, so that their rows are judged alike.
    """
    rows = (INTERFACES[name] for name in TASKS[candidate.subject.task].interfaces)
    if candidate.subject.precision != "fp32" or any(row.square_root for row in rows):
        return LOW_PRECISION
    return FP32

"""Which modules stay in fp32, why, and the proof on the calibration inputs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.compare import LOW_PRECISION, Comparison, Tolerance, compare
from unifmir.errors import ExportError
from unifmir.precision import PRECISIONS
from unifmir.precision.islands import island_rules, parts
from unifmir.precision.ranges import RangeReport, measure_ranges
from unifmir.precision.variants import computing, fast_on_cpu, first_nonfinite, stored

MIN_LOW_SHARE = 0.5
"""Part of the parameters that must be in the low precision. Below half, a file is over three
quarters of its fp32 size: called fp16, it would promise what it does not give."""


@dataclass(frozen=True, slots=True)
class Step:
    """One enlargement of the islands and what it gave."""

    part: str
    """The part of the network that went to fp32."""
    alone_psnr_db: float
    """PSNR with this part alone in the low precision; -inf if that gives NaN or Inf."""
    low_share: float
    """Part of the parameters still in the low precision."""
    psnr_db: float | None
    """Worst PSNR of the computing variant after this step; None if the step was not taken,
    because it would leave too little in the low precision."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; inf becomes None."""
        return {
            "part": self.part,
            "alone_psnr_db": _json(self.alone_psnr_db),
            "low_share": self.low_share,
            "psnr_db": None if self.psnr_db is None else _json(self.psnr_db),
        }


@dataclass(frozen=True, slots=True)
class PrecisionPlan:
    """What computes in which precision, and what that does to the picture.

    An island is a module whose *own* operations and weights are fp32; the modules inside it have
    entries of their own. So a residual stream can be fp32 while its branches are fp16.
    """

    precision: str
    islands: dict[str, str]
    """Module name -> reason."""
    ranges: RangeReport
    acceptance: dict[str, tuple[Comparison, ...]]
    """`stored` and `computing` -> a comparison with fp32 for each calibration input."""
    failures: dict[str, tuple[str, ...]]
    """`stored` and `computing` -> what misses the tolerance."""
    tolerance: Tolerance
    low_share: float
    """Part of the parameters in the low precision."""
    steps: tuple[Step, ...] = ()
    """Enlargements of the islands, in order. In a plan that did not pass they are what was
    tried; its islands and figures are those before the first."""
    blame: str = ""
    """Where a plan that did not pass goes wrong."""

    @property
    def passed(self) -> bool:
        """Whether both variants are the same picture and enough is in the low precision."""
        return self.passed_as("stored") and self.passed_as("computing")

    def passed_as(self, variant: str) -> bool:
        """The same for one variant, `stored` or `computing`."""
        enough = self.precision == "fp32" or self.low_share >= MIN_LOW_SHARE
        return enough and not self.failures[variant]

    def worst_psnr_db(self, variant: str) -> float:
        """Over the calibration inputs; inf if all are identical."""
        return min(c.psnr_db for c in self.acceptance[variant])

    def wrapped(self, name: str = "network") -> "PrecisionPlan":
        """The same plan for a module that holds this one as its child `name`.

        The wrapper's own operations are fp32: they read and give a user's image.
        """
        rows = []
        for row in self.ranges.rows:
            caller = "" if row.caller is None else _under(name, row.caller)
            rows.append(replace(row, name=_under(name, row.name), caller=caller))
        outer = replace(self.ranges.row(""), kind="", caller=None, source=name)
        islands = {_under(name, key): reason for key, reason in self.islands.items()}
        if self.precision != "fp32":
            islands = {"": "image interface: reads and gives a user's image", **islands}
        ranges = replace(self.ranges, rows=(outer, *rows))
        return replace(self, islands=islands, ranges=ranges)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for reports."""
        return {
            "precision": self.precision,
            "passed": self.passed,
            "islands": dict(self.islands),
            "low_share": self.low_share,
            "tolerance": self.tolerance.to_dict(),
            "acceptance": {
                key: [c.to_dict() for c in rows] for key, rows in self.acceptance.items()
            },
            "failures": {key: list(found) for key, found in self.failures.items()},
            "steps": [step.to_dict() for step in self.steps],
            "blame": self.blame,
            "ranges": self.ranges.to_dict(),
        }


def _under(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if name else prefix


def _json(value: float) -> float | None:
    return value if isfinite(value) else None


def plan_precision(
    module: nn.Module,
    precision: str,
    inputs: Sequence[Tensor],
    *,
    tolerance: Tolerance = LOW_PRECISION,
) -> PrecisionPlan:
    """Decide what must stay in fp32, and hold the result against fp32.

    Parameters
    ----------
    module : module
        Takes one float32 tensor; in eval mode, float32, on the CPU or a GPU.
    precision : {"fp32", "fp16", "bf16"}
    inputs : sequence of Tensor
        Calibration inputs: real images, normalised, as the module takes them.
    tolerance : Tolerance
        What both variants are held to on each input.

    Returns
    -------
    PrecisionPlan
        Where `passed` is false, with the figures of the plan by rule and what was tried beyond.

    Raises
    ------
    ExportError
        Unknown precision, no inputs, or NaN or Inf already in fp32.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    ranges = measure_ranges(module, inputs)
    with torch.no_grad():
        expected = [module(image) for image in inputs]
    if not all(bool(torch.isfinite(image).all()) for image in expected):
        raise ExportError(
            "the module gives NaN or Inf in fp32 on the calibration inputs, first in "
            f"{first_nonfinite(module, inputs[0])!r}: check its weights and normalisation"
        )
    islands = {} if precision == "fp32" else island_rules(module, ranges, precision)
    trial = _Trial(module, precision, ranges, list(inputs), expected, tolerance)
    plan = trial.run(islands)
    if plan.passed:
        return plan
    steps, better = trial.enlarge(plan)
    if better is not None:
        return replace(better, steps=steps)
    return replace(plan, steps=steps, blame=trial.blame(plan, steps))


@dataclass(frozen=True, slots=True)
class _Trial:
    """Runs plans on the calibration inputs."""

    module: nn.Module
    precision: str
    ranges: RangeReport
    inputs: list[Tensor]
    expected: list[Tensor]
    tolerance: Tolerance

    def plan(self, islands: dict[str, str]) -> PrecisionPlan:
        """A plan that has not been run."""
        share = self.low_share(islands)
        empty: dict[str, tuple[str, ...]] = {"stored": (), "computing": ()}
        return PrecisionPlan(
            self.precision, islands, self.ranges, {}, empty, self.tolerance, share
        )

    def run(self, islands: dict[str, str]) -> PrecisionPlan:
        """A plan with its acceptance."""
        plan = self.plan(islands)
        acceptance = {
            "stored": self.compare(stored(self.module, plan)),
            "computing": self.compare(computing(self.module, plan)),
        }
        failures = {
            key: tuple(text for row in rows for text in self.tolerance.failures(row))
            for key, rows in acceptance.items()
        }
        return replace(plan, acceptance=acceptance, failures=failures)

    def compare(self, variant: nn.Module) -> tuple[Comparison, ...]:
        with fast_on_cpu():
            actual = [variant(image) for image in self.inputs]
        return tuple(
            compare(wanted.cpu().numpy(), got.cpu().numpy())
            for wanted, got in zip(self.expected, actual, strict=True)
        )

    def low_share(self, islands: Iterable[str]) -> float:
        """Part of the parameters in the low precision, by number."""
        if self.precision == "fp32":
            return 0.0
        low = {row.name for row in self.ranges.rows} - set(islands)
        counts = {
            name: sum(p.numel() for p in child.parameters(recurse=False))
            for name, child in self.module.named_modules()
        }
        total = sum(counts.values())
        return sum(counts[name] for name in low) / total if total else 1.0

    def enlarge(self, plan: PrecisionPlan) -> tuple[tuple[Step, ...], PrecisionPlan | None]:
        """Move whole parts to fp32, the one with the largest error of its own first."""
        ran = [row.name for row in self.ranges.rows]
        groups = {
            part: low
            for part, names in parts(self.module, ran).items()
            if (low := [name for name in names if name not in plan.islands])
        }
        alone = {part: self.alone(names) for part, names in groups.items()}
        islands, steps = dict(plan.islands), []
        for part in sorted(groups, key=lambda part: (alone[part], part)):
            reason = f"part of {part}, which alone gives {alone[part]:.1f} dB in {self.precision}"
            larger = islands | dict.fromkeys(groups[part], reason)
            share = self.low_share(larger)
            if share < MIN_LOW_SHARE:
                # Too large a part to give up; a smaller one may still do.
                steps.append(Step(part, alone[part], share, None))
                continue
            islands = larger
            better = self.run(islands)
            steps.append(Step(part, alone[part], share, better.worst_psnr_db("computing")))
            if better.passed:
                return tuple(steps), better
        return tuple(steps), None

    def alone(self, low: Sequence[str]) -> float:
        """Worst PSNR, dB, with nothing but the modules `low` in the low precision."""
        islands = {row.name: "" for row in self.ranges.rows if row.name not in low}
        variant = computing(self.module, self.plan(islands))
        return min((c.psnr_db for c in self.compare(variant)), default=inf)

    def blame(self, plan: PrecisionPlan, steps: Sequence[Step]) -> str:
        """Where a plan goes wrong."""
        for image, result in zip(self.inputs, plan.acceptance["computing"], strict=True):
            if not result.finite:
                name = first_nonfinite(computing(self.module, plan), image)
                return f"NaN or Inf first in {name!r}, for the input of shape {tuple(image.shape)}"
        if not steps:
            return f"all but {plan.low_share:.0%} of the parameters need fp32"
        first = steps[0]
        return (
            f"the largest error comes from {first.part}: alone in {self.precision} it gives "
            f"{first.alone_psnr_db:.1f} dB; all together give "
            f"{plan.worst_psnr_db('computing'):.1f} dB"
        )

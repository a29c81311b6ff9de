"""Which modules stay in fp32, why, and the proof on the calibration inputs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.compare import LOW_PRECISION, Comparison, Tolerance, compare
from unifmir.errors import ExportError
from unifmir.precision import PRECISIONS
from unifmir.precision.islands import INTERFACE_REASON, island_rules, parts
from unifmir.precision.ranges import RangeReport, measure_ranges
from unifmir.precision.variants import computing, fast_on_cpu, first_nonfinite, stored

VARIANTS: dict[str, Callable[[nn.Module, "PrecisionPlan"], nn.Module]] = {
    "stored": stored,
    "computing": computing,
}
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
    """Worst PSNR after this step; None if the step was not taken,
    because it would leave too little in the low precision."""

    failures: tuple[str, ...] = ()
    """What still misses the tolerance after this step."""
    given_back: bool = False
    """Whether later steps made it needless, so that the part is in the low precision again."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; inf becomes None."""
        return {
            "failures": list(self.failures),
            "given_back": self.given_back,
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
    """Variant (`stored`, `computing`) -> a comparison with fp32 for each calibration input."""
    missed: dict[str, tuple[str, ...]]
    """Variant -> what misses the tolerance, a sentence each."""
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
        """Whether the variants are the same picture and enough is in the low precision."""
        return all(self.passed_as(variant) for variant in self.missed)

    def passed_as(self, variant: str) -> bool:
        """The same for one variant, `stored` or `computing`, that the plan was made for."""
        return not self._too_little and not self.missed[variant]

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the plan did not pass, a sentence each; empty if it did."""
        found = [f"{variant}: {text}" for variant, texts in self.missed.items() for text in texts]
        if self._too_little:
            found.append(
                f"only {self.low_share:.0%} of the parameters can be {self.precision}, "
                f"at least {MIN_LOW_SHARE:.0%} are needed to be worth it"
            )
        return (*found, self.blame) if self.blame else tuple(found)

    @property
    def _too_little(self) -> bool:
        return self.precision != "fp32" and self.low_share < MIN_LOW_SHARE

    def worst_psnr_db(self, variant: str | None = None) -> float:
        """Over the calibration inputs, of one variant or of all; inf if all are identical."""
        rows = self.acceptance if variant is None else {variant: self.acceptance[variant]}
        return min(c.psnr_db for row in rows.values() for c in row)

    def fitted(self, module: nn.Module) -> "PrecisionPlan":
        """The plan with the names of a module that has or lacks the image interface around it.

        The interface's own operations are fp32: they read and give a user's image.

        Raises
        ------
        ExportError
            The plan is for another network.
        """
        names = {name for name, _ in module.named_modules()}
        for plan in (self, self._wrapped(), self._unwrapped()):
            ran = {row.name for row in plan.ranges.rows}
            if ran and ran <= names:
                return plan
        first = next(row.name for row in self.ranges.rows if row.name not in names)
        raise ExportError(
            f"this precision plan is for another network: {type(module).__name__} has no module "
            f"{first!r}. Run `plan_precision` on this one."
        )

    def _wrapped(self) -> "PrecisionPlan":
        rows = [
            replace(
                row,
                name=_inside(row.name),
                caller="" if row.caller is None else _inside(row.caller),
            )
            for row in self.ranges.rows
        ]
        outer = replace(self.ranges.row(""), kind="interface", caller=None, source=INNER)
        islands = {_inside(name): reason for name, reason in self.islands.items()}
        if self.precision != "fp32":
            islands = {"": INTERFACE_REASON, **islands}
        return replace(self, islands=islands, ranges=replace(self.ranges, rows=(outer, *rows)))

    def _unwrapped(self) -> "PrecisionPlan":
        rows = [
            replace(
                row,
                name=_outside(row.name),
                caller=_outside(row.caller) if row.caller else None,
            )
            for row in self.ranges.rows
            if row.name
        ]
        islands = {_outside(name): reason for name, reason in self.islands.items() if name}
        return replace(self, islands=islands, ranges=replace(self.ranges, rows=tuple(rows)))

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
            "missed": {key: list(found) for key, found in self.missed.items()},
            "failures": list(self.failures),
            "steps": [step.to_dict() for step in self.steps],
            "blame": self.blame,
            "ranges": self.ranges.to_dict(),
        }


INNER = "network"
"""Name of the network inside its image interface."""


def _inside(name: str) -> str:
    return f"{INNER}.{name}" if name else INNER


def _outside(name: str) -> str:
    return "" if name == INNER else name.removeprefix(f"{INNER}.")


def _figure(psnr_db: float) -> str:
    return "holds NaN or Inf" if psnr_db == -inf else f"has {psnr_db:.1f} dB"


def _json(value: float) -> float | None:
    return value if isfinite(value) else None


def plan_precision(
    module: nn.Module,
    precision: str,
    inputs: Sequence[Tensor],
    *,
    tolerance: Tolerance = LOW_PRECISION,
    variants: Sequence[str] = tuple(VARIANTS),
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
        What the variants are held to on each input.
    variants : sequence of {"stored", "computing"}
        Those that will be used, and so must pass. Storing alone often needs fewer islands.

    Returns
    -------
    PrecisionPlan
        Where `passed` is false, with the figures of the plan by rule and what was tried beyond.

    Raises
    ------
    ExportError
        Unknown precision or variant, no inputs, or NaN or Inf already in fp32.
    """
    if not variants or not set(variants) <= set(VARIANTS):
        raise ExportError(f"unknown variants {list(variants)}: some of {', '.join(VARIANTS)}")
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
    trial = _Trial(module, precision, ranges, list(inputs), expected, tolerance, variants)
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
    variants: Sequence[str]

    def plan(self, islands: dict[str, str]) -> PrecisionPlan:
        """A plan that has not been run."""
        share = self.low_share(islands)
        return PrecisionPlan(self.precision, islands, self.ranges, {}, {}, self.tolerance, share)

    def run(self, islands: dict[str, str]) -> PrecisionPlan:
        """A plan with its acceptance."""
        plan = self.plan(islands)
        acceptance = {
            variant: self.compare(VARIANTS[variant](self.module, plan))
            for variant in VARIANTS
            if variant in self.variants
        }
        missed = {
            key: tuple(text for row in rows for text in self.tolerance.failures(row))
            for key, rows in acceptance.items()
        }
        return replace(plan, acceptance=acceptance, missed=missed)

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
            reason = (
                f"part of {part}: with nothing else in {self.precision} the result "
                f"{_figure(alone[part])}"
            )
            larger = islands | dict.fromkeys(groups[part], reason)
            share = self.low_share(larger)
            if share < MIN_LOW_SHARE:
                # Too large a part to give up; a smaller one may still do.
                steps.append(Step(part, alone[part], share, None))
                continue
            islands = larger
            better = self.run(islands)
            failures = tuple(text for found in better.missed.values() for text in found)
            psnr_db = better.worst_psnr_db()
            steps.append(Step(part, alone[part], share, psnr_db, failures))
            if better.passed:
                return self.give_back(better, steps, groups)
        return tuple(steps), None

    def give_back(
        self, plan: PrecisionPlan, steps: Sequence[Step], groups: dict[str, list[str]]
    ) -> tuple[tuple[Step, ...], PrecisionPlan]:
        """Return parts to the low precision that the last step, which made it pass, replaces."""
        kept = []
        for step in steps[:-1]:
            returned = {} if step.psnr_db is None else dict.fromkeys(groups[step.part])
            smaller = {k: reason for k, reason in plan.islands.items() if k not in returned}
            trial = self.run(smaller) if returned else plan
            given_back = bool(returned) and trial.passed
            plan = trial if given_back else plan
            kept.append(replace(step, given_back=given_back))
        return (*kept, steps[-1]), plan

    def alone(self, low: Sequence[str]) -> float:
        """Worst PSNR, dB, with nothing but the modules `low` in the low precision."""
        islands = {row.name: "" for row in self.ranges.rows if row.name not in low}
        make = VARIANTS["computing" if "computing" in self.variants else "stored"]
        variant = make(self.module, self.plan(islands))
        return min((c.psnr_db for c in self.compare(variant)), default=inf)

    def blame(self, plan: PrecisionPlan, steps: Sequence[Step]) -> str:
        """Where a plan goes wrong."""
        for index, result in enumerate(plan.acceptance.get("computing", ())):
            if not result.finite:
                name = first_nonfinite(computing(self.module, plan), self.inputs[index])
                return f"NaN or Inf first in {name!r}, for calibration input {index}"
        if not steps:
            return f"all but {plan.low_share:.0%} of the parameters need fp32"
        first = steps[0]
        return (
            f"the largest error comes from {first.part}: with nothing else in {self.precision} "
            f"the result {_figure(first.alone_psnr_db)}, with all parts it "
            f"{_figure(plan.worst_psnr_db())}"
        )

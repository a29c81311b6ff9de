"""Which modules stay in fp32, why, and the proof on the calibration inputs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from unifmir.compare import LOW_PRECISION, Comparison, Tolerance, compare
from unifmir.errors import ExportError
from unifmir.json_values import JsonOutput
from unifmir.precision.element_types import ELEMENT_TYPES, Variant
from unifmir.precision.islands import island_rules, parts
from unifmir.precision.ranges import RangeReport, measured
from unifmir.precision.recipe import PrecisionRecipe
from unifmir.precision.variants import VARIANTS, computing, fast_on_cpu, first_nonfinite

MIN_LOW_SHARE = 0.5
"""Part of the parameters that must be in the low precision. Below half, a file is over three
quarters of its fp32 size: called fp16, it would promise what it does not give."""
TRIED_SHARE = 0.75
"""Part of the allowed differences that a trial may show. A runtime rounds fp16 arithmetic elsewhere
than the module that is tried: of an accepted plan of the embedded projection that had 60 dB here,
ONNX Runtime made 58.6 dB."""


Missing = dict[Variant, tuple[int, ...]]
"""Variant -> numbers of the images at which it misses what is allowed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An image that the variants must restore as fp32 does, besides the calibration inputs."""

    interface: Callable[[nn.Module], nn.Module]
    """Function from the planned module, or a variant of it, to the module that takes the image."""
    image: Float32[np.ndarray, "..."]
    """Image in the shape and range that the interface takes."""
    expected: Float32[np.ndarray, "..."]
    """Result of the planned module behind its interface, in fp32."""


@dataclass(frozen=True, slots=True)
class Step(JsonOutput):
    """One enlargement of the islands and what it gave."""

    written = ("failures", "given_back", "part", "alone_psnr_db", "low_share", "psnr_db")

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
    """Sentences on what still misses the tolerance after this step."""
    given_back: bool = False
    """Whether later steps made it needless, so that the part is in the low precision again."""


@dataclass(frozen=True, slots=True)
class PrecisionPlan(JsonOutput):
    """A recipe, and the evidence for what it does to the picture."""

    written = (
        *("precision", "passed", "islands", "low_share", "tolerance", "acceptance", "missed"),
        *("failures", "steps", "blame", "ranges"),
    )

    recipe: PrecisionRecipe
    ranges: RangeReport
    """Magnitudes that the recipe was made from."""
    acceptance: dict[str, tuple[Comparison, ...]]
    """Variant (`stored`, `computing`) -> a comparison with fp32 for each calibration input; then,
    if they pass, for each trial, or for the first that misses."""
    missed: dict[str, tuple[str, ...]]
    """Variant -> what misses the tolerance, a sentence each."""
    tolerance: Tolerance
    low_share: float
    """Part of the parameters in the low precision."""
    steps: tuple[Step, ...] = ()
    """Enlargements of the islands, in order. In a plan that did not pass they are what was
    tried; its islands and figures are those before the first."""
    blame: str = ""
    """Sentence on where a plan that did not pass goes wrong."""

    @property
    def precision(self) -> str:
        """The recipe's precision, a name in `ELEMENT_TYPES`."""
        return self.recipe.precision

    @property
    def islands(self) -> Mapping[str, str]:
        """The recipe's islands: module name -> reason why it stays in fp32."""
        return self.recipe.islands

    @property
    def passed(self) -> bool:
        """Whether the variants are the same picture and enough is in the low precision."""
        return all(self.passed_as(variant) for variant in self.missed)

    def passed_as(self, variant: str) -> bool:
        """Whether one variant, `stored` or `computing`, that the plan was made for passed."""
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
        """Over inputs and trials, of one variant or of all; inf if all are identical."""
        rows = self.acceptance if variant is None else {variant: self.acceptance[variant]}
        return min(c.psnr_db for row in rows.values() for c in row)


def _figure(psnr_db: float) -> str:
    return "holds NaN or Inf" if psnr_db == -inf else f"has {psnr_db:.1f} dB"


def plan_precision(
    module: nn.Module,
    precision: str,
    inputs: Sequence[Tensor],
    *,
    tolerance: Tolerance = LOW_PRECISION,
    variants: Sequence[str] = tuple(VARIANTS),
    trials: Sequence[Trial] = (),
) -> PrecisionPlan:
    """Decide what must stay in fp32, and hold the result against fp32.

    Parameters
    ----------
    module : module
        Takes one float32 tensor; in eval mode, float32, on the CPU or a GPU.
    precision : {"fp32", "fp16", "bf16"}
    inputs : sequence of Tensor
        Calibration inputs: real images, normalised, in the shape the module takes.
    tolerance : Tolerance
        What the variants are held to on each input.
    variants : sequence of {"stored", "computing"}
        Those that will be used, and so must pass. Storing alone often needs fewer islands.
    trials : sequence of Trial
        What the variants are held to besides, at `TRIED_SHARE` of the tolerance. No ranges are
        measured on them.

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
    if precision not in ELEMENT_TYPES:
        raise ExportError(f"unknown precision {precision!r}: one of {', '.join(ELEMENT_TYPES)}")
    ranges, expected = measured(module, inputs)
    if not all(bool(torch.isfinite(image).all()) for image in expected):
        raise ExportError(
            "the module gives NaN or Inf in fp32 on the calibration inputs, first in "
            f"{first_nonfinite(module, inputs[0])!r}: check its weights and normalisation"
        )
    islands = {} if precision == "fp32" else island_rules(module, ranges, precision)
    order = list(range(len(inputs), len(inputs) + len(trials)))
    accepting = _Acceptance(
        module, precision, ranges, inputs, expected, tolerance, variants, trials, order
    )
    plan, missing = accepting.run(islands)
    if plan.passed:
        return plan
    steps, better = accepting.enlarge(plan, missing)
    if better is not None:
        return replace(better, steps=steps)
    return replace(plan, steps=steps, blame=accepting.blame(plan, steps))


@dataclass(frozen=True, slots=True)
class _Acceptance:
    """Runs variants on the calibration inputs and trials, and holds them against fp32."""

    module: nn.Module
    precision: str
    ranges: RangeReport
    inputs: Sequence[Tensor]
    expected: Sequence[Tensor]
    tolerance: Tolerance
    variants: Sequence[str]
    trials: Sequence[Trial]
    order: list[int]
    """Numbers of the trials, in the order in which they are tried."""

    def recipe(self, islands: dict[str, str]) -> PrecisionRecipe:
        """The recipe with these islands."""
        return PrecisionRecipe(self.precision, islands, self.ranges.callers)

    def run(self, islands: dict[str, str]) -> tuple[PrecisionPlan, Missing]:
        """Make the variants with these islands and hold them against fp32."""
        recipe = self.recipe(islands)
        acceptance: dict[str, tuple[Comparison, ...]] = {}
        missed: dict[str, tuple[str, ...]] = {}
        missing: Missing = {}
        for variant in VARIANTS:
            if variant in self.variants:
                found = self.tried(VARIANTS[variant](self.module, recipe))
                failures = {i: self.bars(i).failures(row) for i, row in found.items()}
                acceptance[variant] = tuple(found.values())
                missed[variant] = tuple(text for texts in failures.values() for text in texts)
                missing[variant] = tuple(i for i, texts in failures.items() if texts)
        share = self.low_share(islands)
        plan = PrecisionPlan(recipe, self.ranges, acceptance, missed, self.tolerance, share)
        return plan, missing

    def bars(self, index: int) -> Tolerance:
        """Bars for the image of a number: inputs are counted first, then trials."""
        trial = index >= len(self.inputs)
        return self.tolerance.tightened(TRIED_SHARE) if trial else self.tolerance

    def compare(self, variant: nn.Module, index: int) -> Comparison:
        """Hold what a variant makes of an image against fp32."""
        with fast_on_cpu():
            if index < len(self.inputs):
                wanted, got = self.expected[index].cpu().numpy(), variant(self.inputs[index])
            else:
                trial = self.trials[index - len(self.inputs)]
                image = torch.from_numpy(trial.image).to(self.inputs[0].device)
                wanted, got = trial.expected, trial.interface(variant)(image)
        return compare(wanted, got.cpu().numpy())

    def tried(self, variant: nn.Module) -> dict[int, Comparison]:
        """A comparison for each input; if they pass for each trial, or for one that misses.

        In fp32, where a variant is the module itself, weight for weight, nothing is run. The trial
        that missed last time goes first: most steps fail there.
        """
        if self.precision == "fp32":
            same = (image.cpu().numpy() for image in self.expected)
            return {index: compare(image, image) for index, image in enumerate(same)}
        found = {index: self.compare(variant, index) for index in range(len(self.inputs))}
        if any(self.bars(index).failures(row) for index, row in found.items()):
            return found
        tried: dict[int, Comparison] = {}
        for index in tuple(self.order):
            tried[index] = self.compare(variant, index)
            if self.bars(index).failures(tried[index]):
                self.order.remove(index)
                self.order.insert(0, index)
                return found | {index: tried[index]}
        return found | {index: tried[index] for index in sorted(tried)}

    def used(self, islands: dict[str, str], missing: Missing) -> float:
        """Largest part used up of what is allowed, with these islands, where it was missed."""
        recipe = self.recipe(islands)
        return max(
            self.bars(index).used(self.compare(made, index))
            for variant, images in missing.items()
            if images
            for made in [VARIANTS[variant](self.module, recipe)]
            for index in images
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

    def enlarge(
        self, plan: PrecisionPlan, missing: Missing
    ) -> tuple[tuple[Step, ...], PrecisionPlan | None]:
        """Move whole parts to fp32, the one with the largest error of its own first.

        Where that leads nowhere, each time the one after which the least is missed: errors have
        signs, and without the largest ones the rest may be further off.
        """
        ran = [row.name for row in self.ranges.rows]
        groups = {
            part: low
            for part, names in parts(self.module, ran).items()
            if (low := [name for name in names if name not in plan.islands])
        }
        alone = {part: self.alone(names) for part, names in groups.items()}
        steps, better = self.grow(plan, missing, groups, alone, signed=False)
        if better is None:
            steps, better = self.grow(plan, missing, groups, alone, signed=True)
        return steps, better

    def grow(
        self,
        plan: PrecisionPlan,
        missing: Missing,
        groups: dict[str, list[str]],
        alone: dict[str, float],
        *,
        signed: bool,
    ) -> tuple[tuple[Step, ...], PrecisionPlan | None]:
        """Enlarge the islands by errors of parts alone, or (`signed`) by what is missed without."""
        islands, left, steps = dict(plan.islands), dict(groups), list[Step]()
        while left:
            larger = {
                part: islands | dict.fromkeys(names, self.reason(part, alone[part]))
                for part, names in left.items()
            }
            missed = {
                part: self.used(grown, missing) if signed else 0.0 for part, grown in larger.items()
            }
            part = min(left, key=lambda part: (missed[part], alone[part], part))
            del left[part]
            share = self.low_share(larger[part])
            if share < MIN_LOW_SHARE:
                # Too large a part to give up; a smaller one may still do.
                steps.append(Step(part, alone[part], share, None))
                continue
            islands = larger[part]
            better, missing = self.run(islands)
            failures = tuple(text for found in better.missed.values() for text in found)
            psnr_db = better.worst_psnr_db()
            steps.append(Step(part, alone[part], share, psnr_db, failures))
            if better.passed:
                return self.give_back(better, steps, groups)
        return tuple(steps), None

    def reason(self, part: str, alone: float) -> str:
        """Sentence on why a part goes to fp32."""
        return f"part of {part}: with nothing else in {self.precision} the result {_figure(alone)}"

    def give_back(
        self, plan: PrecisionPlan, steps: Sequence[Step], groups: dict[str, list[str]]
    ) -> tuple[tuple[Step, ...], PrecisionPlan]:
        """Return parts to the low precision that the last step, which made it pass, replaces."""
        kept = []
        for step in steps[:-1]:
            returned = {} if step.psnr_db is None else dict.fromkeys(groups[step.part])
            smaller = {k: reason for k, reason in plan.islands.items() if k not in returned}
            trial = self.run(smaller)[0] if returned else plan
            given_back = bool(returned) and trial.passed
            plan = trial if given_back else plan
            kept.append(replace(step, given_back=given_back))
        return (*kept, steps[-1]), plan

    def alone(self, low: Sequence[str]) -> float:
        """Worst PSNR, dB, with nothing but the modules `low` in the low precision."""
        islands = {row.name: "" for row in self.ranges.rows if row.name not in low}
        make = VARIANTS["computing" if "computing" in self.variants else "stored"]
        variant = make(self.module, self.recipe(islands))
        return min(self.compare(variant, index).psnr_db for index in range(len(self.inputs)))

    def blame(self, plan: PrecisionPlan, steps: Sequence[Step]) -> str:
        """Sentence on where a plan goes wrong."""
        for index, result in enumerate(plan.acceptance.get("computing", ())):
            if not result.finite and index < len(self.inputs):
                name = first_nonfinite(computing(self.module, plan.recipe), self.inputs[index])
                return f"NaN or Inf first in {name!r}, for calibration input {index}"
        if not steps:
            return f"all but {plan.low_share:.0%} of the parameters need fp32"
        worst = min(steps, key=lambda step: step.alone_psnr_db)
        return (
            f"the largest error comes from {worst.part}: with nothing else in {self.precision} "
            f"the result {_figure(worst.alone_psnr_db)}, with all parts it "
            f"{_figure(plan.worst_psnr_db())}"
        )

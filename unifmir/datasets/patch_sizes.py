"""Sizes of a dataset's patches, from the images that there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

from unifmir.datasets.dataset_manifest import Lengths
from unifmir.errors import ImageError
from unifmir.images.base import times
from unifmir.tasks.base import TaskSpec

SIDE = 128
"""Pixels; the paper's largest patch (Ma et al. 2024, Methods)."""
PLANES = 16
"""Planes of a patch where stacks are cut along z too; `SIDE` where slices along z are learned."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Shapes of a pair, as (z, y, x)."""

    input: Lengths
    truth: Lengths | None
    magnification: int


@dataclass(frozen=True, slots=True)
class PatchSizes:
    """Sizes of all patches of a dataset, as (z, y, x)."""

    patch: Lengths
    truth: Lengths | None
    magnification: int
    unit: int = 1
    """Pixels along y and x that are one lens."""

    def problem(self, seen: Survey) -> str | None:
        """Why a pair has no patch of these sizes; None where it has."""
        if seen.magnification != self.magnification:
            return (
                f"its truth is {seen.magnification} times as finely sampled, those of most pairs "
                f"{self.magnification} times"
            )
        if (seen.truth is None) != (self.truth is None):
            return "some have a truth, and others have none: prepare them apart"
        if any(length % self.unit for length in seen.input[1:]):
            return (
                f"it has {seen.input[1]} x {seen.input[2]} pixels, expected whole lenses of "
                f"{self.unit}: rectify it first"
            )
        both = [(seen.input, self.patch)]
        if seen.truth is not None and self.truth is not None:
            both.append((seen.truth, self.truth))
        for have, need in both:
            if any(length < part for length, part in zip(have, need, strict=True)):
                return (
                    f"it has {times(have)} pixels (z, y, x), less than a patch of {times(need)}: "
                    "ask for smaller ones (--patch, --planes)"
                )
        whole = self.truth is not None and self.patch[0] != self.truth[0]
        if whole and seen.truth is not None:
            planes = (seen.input[0], seen.truth[0])
            if planes != (self.patch[0], self.truth[0] if self.truth else 0):
                return f"it has {planes[0]} planes, those of most pairs {self.patch[0]}"
        return None


def patch_sizes(
    task: TaskSpec, survey: Mapping[str, Survey], *, side: int | None, planes: int | None
) -> PatchSizes:
    """Choose the sizes of patches.

    Parameters
    ----------
    task : TaskSpec
    survey : mapping of str to Survey
        Of all pairs; empty ones give the default sizes.
    side : int, optional
        Pixels of the input along y and x that the user asks for; less along an axis that is
        shorter in all images.
    planes : int, optional
        Planes that the user asks for; only where a stack gives a stack.

    Raises
    ------
    ImageError
        A light field's patch is no whole number of lenses.
    """
    unit = isqrt(task.simulation.views) or 1
    seen = list(survey.values())
    magnification = _commonest([one.magnification for one in seen] or [1])
    has_truth = bool(_commonest([one.truth is not None for one in seen] or [True]))
    cut = "z" in task.input_axes and "z" in task.output_axes
    rows, columns = (
        _length(side, SIDE, [one.input[axis] for one in seen], unit) for axis in (1, 2)
    )
    if side is not None and side % unit:
        raise ImageError(f"a patch of {side} pixels is no whole number of lenses of {unit}")
    if cut:
        default = SIDE if task.isotropic_sampling else PLANES
        deep = _length(planes, default, [one.input[0] for one in seen], 1)
        inside, outside = deep, deep
    else:
        inside = _commonest([one.input[0] for one in seen] or [1])
        outside = _commonest([one.truth[0] for one in seen if one.truth is not None] or [1])
    truth = (outside, rows * magnification, columns * magnification) if has_truth else None
    return PatchSizes((inside, rows, columns), truth, magnification, unit)


def _length(wanted: int | None, default: int, there: list[int], unit: int) -> int:
    """Length of a patch along one axis: as asked for, and at most what some image has."""
    if wanted is not None:
        return min([wanted, max(there, default=wanted)])
    least = min([default, *there])
    return max(unit, least // unit * unit)


def _commonest(values: list[int]) -> int:
    return max(sorted(set(values)), key=values.count)

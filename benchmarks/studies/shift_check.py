"""How often the check of `unifmir data prepare` finds a shift that is there, or one that is not.

    python -m benchmarks.studies.shift_check [--scenes N]

writes benchmarks/results/shift-check.json. Small parts of simulated pairs lie as they should, or
the truth is taken some pixels beside the input. The check believes a shift where halves of the
images agree; beside it stands what the whole images alone say.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np

from unifmir.benchmarks.studies.result_files import provenance, write_result
from unifmir.datasets import pair_checks
from unifmir.datasets.pair_checks import shift_between
from unifmir.datasets.pair_image import PairImage
from unifmir.datasets.preparation_request import MOST_SHIFT_PX
from unifmir.images import ArraySource
from unifmir.simulate import SimulatedPair, generator, simulate_pair
from unifmir.tasks import TASKS

RESULT = "shift-check.json"
MAGNIFICATIONS = {"sr": 2, "denoise": 1}
"""Task -> pixels of the truth for each of the input's."""
SIDE, SIDES = 80, (24, 64)
"""Side of a scene, and the range of those of the parts. Pixels of the input."""
SHIFTS = (3, 8)
"""Smallest and largest shift along the axis of the larger, in the truth's pixels."""
SHIFTED = 2
"""Shifted parts for each that is not."""

Shift = tuple[float, float] | None


def main() -> None:
    """Count, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300, help="of each task")
    scenes: int = parser.parse_args().scenes
    found: Counter[str] = Counter()
    for task, times in MAGNIFICATIONS.items():
        for index in range(scenes):
            scene = simulate_pair(task, generator(task, 0, "shift check", index), SIDE)
            rng = np.random.default_rng([index, times])
            for kind, image, truth in _parts(scene, rng):
                believed, whole = _shifts(image, truth, times)
                found[f"{kind}_pairs"] += 1
                found[kind] += _is_apart(believed)
                found[f"{kind}_by_whole"] += _is_apart(whole)
    command = f"python -m benchmarks.studies.shift_check --scenes {scenes}"
    write_result(RESULT, {**provenance(command), **found})
    print(dict(found))


def _shifts(image: PairImage, truth: PairImage, times: int) -> tuple[Shift, Shift]:
    """Shift that is believed, and that of the whole image alone."""
    believed = shift_between(image, truth, times)
    if believed is not None:
        return believed, believed
    # Any number of halves that agree.
    with patch.object(pair_checks, "AGREEING_HALVES", 0):
        return None, shift_between(image, truth, times)


def _is_apart(shift: Shift) -> bool:
    """Whether a pair would be set aside."""
    return shift is not None and max(map(abs, shift)) > MOST_SHIFT_PX


def _parts(
    scene: SimulatedPair, rng: np.random.Generator
) -> Iterator[tuple[str, PairImage, PairImage]]:
    """One part as it should lie, and some whose truth is taken beside the input."""
    spec, times = TASKS[scene.task], MAGNIFICATIONS[scene.task]
    for number in range(1 + SHIFTED):
        side = int(rng.integers(SIDES[0], SIDES[1] + 1))
        reach = -(-SHIFTS[1] // times)
        first = rng.integers(reach, SIDE - side - reach + 1, 2)
        shift = np.zeros(2, int)
        if number:
            large = int(rng.integers(SHIFTS[0], SHIFTS[1] + 1))
            other = int(rng.integers(-large, large + 1))
            shift[:] = rng.permutation([large * int(rng.choice([-1, 1])), other])
        kind = "shifted" if number else "aligned"
        start = first * times + shift
        image = _cut(scene.image, first, side)
        truth = _cut(scene.target, start, side * times)
        yield (
            kind,
            PairImage(ArraySource(image, spec.input_axes), spec.input_axes),
            PairImage(ArraySource(truth, spec.output_axes), spec.output_axes),
        )


def _cut(image: np.ndarray, first: np.ndarray, side: int) -> np.ndarray:
    y, x = (slice(start, start + side) for start in map(int, first))
    part: np.ndarray = image[..., y, x]
    return np.ascontiguousarray(part)


def shift_check_table(document: dict[str, Any]) -> str:
    """Sentence on false and true alarms."""
    one = document
    return (
        f"Of {one['aligned_pairs']:,} simulated pairs of {SIDES[0]} to {SIDES[1]} pixels that lie "
        f"as they should {one['aligned']:,} seem to be more than {MOST_SHIFT_PX:g} pixels apart "
        f"({one['aligned_by_whole']:,} by the whole image alone); of {one['shifted_pairs']:,} that "
        f"are {SHIFTS[0]} to {SHIFTS[1]} pixels apart {one['shifted']:,} do "
        f"({one['shifted_by_whole']:,})."
    )


if __name__ == "__main__":
    main()

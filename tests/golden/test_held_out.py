"""The held-out scenes are fixed: a simulator that draws others makes figures incomparable.

`python -m tests.golden.test_held_out` writes their figures anew, after a change of the simulator
that is meant; every declared evaluation has to be measured again then.
"""

import json
from pathlib import Path

import pytest

from unifmir.atomic import write_text
from unifmir.tasks import TASKS
from unifmir.training.evaluation import simulate_held_out

FIGURES = Path(__file__).with_name("held_out.json")
SCENES = 12
"""All that the declared evaluations are of."""
FIRST = 2
"""Scenes that are looked at each time; the slow tests look at all."""
TOLERANCE = 1e-3
"""Light before the camera differs between processors and versions by rounding alone."""
NOISE_TOLERANCE = 0.05
"""Where rounding leads a camera to another random number, all that follow are others."""

Figures = dict[str, str | float]


def figures(task: str, scenes: int) -> list[Figures]:
    """Kind, mean and deviation of the light, and deviation of the noise, of held-out scenes."""
    return [
        {
            "kind": scene.kind,
            "expected_mean": round(float(scene.expected.mean()), 5),
            "expected_deviation": round(float(scene.expected.std()), 5),
            "truth_mean": round(float(scene.target.mean()), 5),
            "truth_deviation": round(float(scene.target.std()), 5),
            "noise_deviation": round(float((scene.image - scene.expected).std()), 5),
        }
        for scene in simulate_held_out(task, images=scenes, seed=0)
    ]


def require_fixed(task: str, scenes: int) -> None:
    """Compare the first scenes of a task with the figures that were fixed."""
    fixed: list[Figures] = json.loads(FIGURES.read_text("utf-8"))[task]
    assert len(fixed) == SCENES
    for one, other in zip(figures(task, scenes), fixed[:scenes], strict=True):
        assert one.pop("kind") == other.pop("kind")
        noise = other.pop("noise_deviation")
        assert one.pop("noise_deviation") == pytest.approx(noise, rel=NOISE_TOLERANCE)
        assert one == pytest.approx(other, rel=TOLERANCE, abs=1e-4)


@pytest.mark.parametrize("task", list(TASKS))
def test_the_first_held_out_scenes_are_those_that_were_fixed(task: str) -> None:
    require_fixed(task, FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_all_held_out_scenes_are_those_that_were_fixed(task: str) -> None:
    require_fixed(task, SCENES)


if __name__ == "__main__":
    write_text(
        FIGURES, json.dumps({task: figures(task, SCENES) for task in TASKS}, indent=1) + "\n"
    )

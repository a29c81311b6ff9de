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
SCENES = 2
TOLERANCE = 1e-3
"""Light before the camera differs between processors and versions by rounding alone."""


def figures(task: str) -> list[dict[str, str | float]]:
    """Kind, and mean and deviation of the light, of the first held-out scenes of a task."""
    return [
        {
            "kind": scene.kind,
            "expected_mean": round(float(scene.expected.mean()), 5),
            "expected_deviation": round(float(scene.expected.std()), 5),
            "truth_mean": round(float(scene.target.mean()), 5),
            "truth_deviation": round(float(scene.target.std()), 5),
        }
        for scene in simulate_held_out(task, images=SCENES, seed=0)
    ]


@pytest.mark.parametrize("task", list(TASKS))
def test_the_first_held_out_scenes_are_those_that_were_fixed(task: str) -> None:
    fixed = json.loads(FIGURES.read_text("utf-8"))[task]
    found = figures(task)
    assert len(found) == len(fixed) == SCENES
    for one, other in zip(found, fixed, strict=True):
        assert one.pop("kind") == other.pop("kind")
        assert one == pytest.approx(other, rel=TOLERANCE, abs=1e-4)


if __name__ == "__main__":
    write_text(FIGURES, json.dumps({task: figures(task) for task in TASKS}, indent=1) + "\n")

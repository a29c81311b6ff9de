"""A simulated scene of a training, and the process that simulates scenes for another one.

A line of JSON comes in; a line goes out, and the pixels of both images as float32 after it. Nothing
is imported but what simulating needs.
"""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import IO

import numpy as np
from jaxtyping import Float32

from unifmir.simulate import generator, normalize_pair, simulate_pair
from unifmir.tasks.base import TruthScaling

Scene = tuple[Float32[np.ndarray, "..."], Float32[np.ndarray, "..."]]
"""A normalised image and its truth."""


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """All that decides one scene."""

    task: str
    seed: int
    size: int
    """Side: pixels, or lenses."""
    intensities: TruthScaling
    index: int = 0

    def to_line(self) -> bytes:
        """The request as a line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def simulate_scene(wanted: SceneRequest) -> Scene:
    """Simulate a scene of a training.

    Returns
    -------
    image, target : ndarray, shapes of the task's axes, float32
        Normalised, as networks take and give them; volume in [-1, 1].
    """
    rng = generator(wanted.task, wanted.seed, "train", wanted.index)
    image, target = normalize_pair(simulate_pair(wanted.task, rng, wanted.size), wanted.intensities)
    return (
        np.ascontiguousarray(image, dtype=np.float32),
        np.ascontiguousarray(target, dtype=np.float32),
    )


def answer(lines: Iterable[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    for line in lines:
        try:
            scene = simulate_scene(SceneRequest(**json.loads(line)))
        except Exception as error:  # noqa: BLE001 - told to the process that asked, which raises it
            told = {"error": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps(told).encode() + b"\n")
        else:
            shapes = {"shapes": [part.shape for part in scene]}
            answers.write(json.dumps(shapes).encode() + b"\n")
            for part in scene:
                answers.write(part.data)
        answers.flush()


def main() -> None:
    """Answer on standard output, where nothing else may print."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # The input ends with the process that holds its other end, however that ends.
    answer(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

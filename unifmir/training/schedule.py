"""Recipe of a training: learning rates, schedule, and the small model."""

from dataclasses import dataclass
from math import cos, pi

from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.tasks.projection import PROJECTION
from unifmir.tasks.volume import VOLUME

PAPER_LEARNING_RATE = 5e-5
"""Ma et al. 2024, Methods, "Training details"; Adam with beta 0.9 and 0.999."""
SCRATCH_LEARNING_RATE = 1e-3
"""Learning rate from random weights in a few thousand steps; see `Schedule`."""
WARM_UP_STEPS = 100


SMALL_CONFIG = MultiTaskConfig(
    body=BodyConfig(embed_dim=32, depths=(2, 2), num_heads=(4, 4), mlp_hidden=64),
    projector=ProjectorConfig(
        planes=PROJECTION.simulation.planes,
        features=32,
        blocks=8,
        match_features=8,
        random_features=32,
    ),
    view_unet=ViewUNetConfig(
        views=VOLUME.simulation.views,
        planes=VOLUME.simulation.result_planes,
        stem_features=64,
        entry_features=24,
        encoder=(32, 48, 64, 64, 64),
    ),
    tail_features=32,
    volume_tail_features=32,
)
"""The embedded model: 1.1 M parameters, every part of the paper's network, fewer of each."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate over the steps: a short warm-up, then half a cosine down to a hundredth.

    The paper halves 5e-5 once in 500 epochs over 196,418 pairs; in a few thousand steps from
    random weights that rate barely moves, hence a higher one that is brought down.
    """

    learning_rate: float
    steps: int

    def rate(self, step: int) -> float:
        """Learning rate of a step counted from 0."""
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.learning_rate * warm * (0.01 + 0.99 * (1 + cos(pi * step / self.steps)) / 2)

"""Recipe of a training: schedule of the rate, and the networks."""

from dataclasses import dataclass
from math import cos, pi

from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.tasks.projection import PROJECTION
from unifmir.tasks.volume import VOLUME
from unifmir.training.configuration import WARM_UP_STEPS, Rates

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
"""Sizes of the embedded model: every part of the network of the paper, fewer of each. It has 1.1 M
parameters with one body, and 1.4 M with a network for each task."""
PAPER_CONFIG = MultiTaskConfig(
    body=BodyConfig(),
    projector=ProjectorConfig(planes=PROJECTION.simulation.planes),
    view_unet=ViewUNetConfig(views=VOLUME.simulation.views, planes=VOLUME.simulation.result_planes),
)
"""The paper's network, with the planes of the simulated volumes."""
CONFIGS = {"small": SMALL_CONFIG, "paper": PAPER_CONFIG}
"""Networks that start from random weights, by the names of `TrainingConfig.model`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate over the steps.

    The paper halves 5e-5 once in 500 epochs over 196,418 pairs; in a few thousand steps from
    random weights that rate barely moves, hence a higher one that warms up and is brought down.
    """

    learning_rate: float
    steps: int
    kind: Rates = "cosine"
    halve_at: float = 0.4
    """Share of the steps after which `halved` halves the rate."""
    warm_up: int = WARM_UP_STEPS
    """Steps over which `cosine` brings the rate up from 0."""

    @property
    def words(self) -> str:
        """Course of the rate, for people."""
        if self.kind == "halved":
            return f"constant, halved after {100 * self.halve_at:g} % of the steps"
        warm_up = f"linear warm-up over {self.warm_up} steps, then " if self.warm_up else ""
        return f"{warm_up}half a cosine down to a hundredth"

    def rate(self, step: int) -> float:
        """Learning rate of a step counted from 0."""
        if self.kind == "halved":
            return self.learning_rate / (1 if step < self.halve_at * self.steps else 2)
        warm = min(1.0, (step + 1) / max(1, self.warm_up))
        return self.learning_rate * warm * (0.01 + 0.99 * (1 + cos(pi * step / self.steps)) / 2)

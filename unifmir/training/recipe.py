"""How a model is trained: what the paper says, and what differs here and why."""

from dataclasses import dataclass
from math import cos, pi

from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.simulate.scenes import SURFACE_PLANES, VOLUME_PLANES

PAPER_LEARNING_RATE = 5e-5
"""Ma et al. 2024, Methods, "Training details"; Adam with beta 0.9 and 0.999."""
SCRATCH_LEARNING_RATE = 1e-3
"""From random weights in a few thousand steps; see `Schedule`."""
FIRST_STAGE_WEIGHT = {"projection": 0.001, "volume": 0.1}
"""Weight of the loss of the first stage's output when fine-tuning, for the tasks that have two."""
PRETRAINING_FIRST_STAGE_WEIGHT = {"projection": 0.001, "volume": 1.0}
"""The same when training together. The paper gives weights for fine-tuning only; from random
weights the volume's U-Net needs the direct way: behind a body that starts by giving a constant it
had learned nothing after 1,700 steps."""
L1_SHARE = {"sr": 0.5, "denoise": 0.5, "isotropic": 0.5, "projection": 0.5, "volume": 0.0}
"""Weight of L1 in the mixed loss, the rest is L2. The paper has 0.5. A volume is dark in 97 % of
its voxels, and the likeliest value, which L1 asks for, is dark wherever a network is unsure."""
WARM_UP_STEPS = 100


@dataclass(frozen=True, slots=True)
class TaskRecipe:
    """One task's share of the training."""

    scene_size: int
    """Side of a simulated image: pixels, or lenses for volume."""
    scenes: int
    """Simulated images in the pool."""
    patch: int
    """Side of a training patch: pixels of the network's input, or lenses."""
    batch: int


SMALL: dict[str, TaskRecipe] = {
    "sr": TaskRecipe(scene_size=96, scenes=400, patch=32, batch=4),
    "denoise": TaskRecipe(scene_size=96, scenes=240, patch=48, batch=4),
    "isotropic": TaskRecipe(scene_size=64, scenes=120, patch=48, batch=4),
    "projection": TaskRecipe(scene_size=80, scenes=240, patch=64, batch=2),
    "volume": TaskRecipe(scene_size=12, scenes=300, patch=8, batch=2),
}
"""Patches of an hour on one CPU core; the paper's (4/128 sr, 32/64 denoise and isotropic, 4/64
projection, 1/16 volume) assume a GPU."""

SMALL_CONFIG = MultiTaskConfig(
    body=BodyConfig(embed_dim=32, depths=(2, 2), num_heads=(4, 4), mlp_hidden=64),
    projector=ProjectorConfig(
        planes=SURFACE_PLANES, features=32, blocks=8, match_features=8, random_features=32
    ),
    view_unet=ViewUNetConfig(
        views=121,
        planes=VOLUME_PLANES,
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

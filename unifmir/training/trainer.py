"""The training loop.

Loss and optimiser are the paper's (Ma et al. 2024, Methods, equation 2): Adam with beta 0.9 and
0.999; 0.5 L1 + 0.5 L2 while training all tasks, L1 when fine-tuning one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unifmir.atomic import writing
from unifmir.checkpoint.serialization import read_raw
from unifmir.errors import CheckpointError
from unifmir.json_values import Count, JsonValues, read_values
from unifmir.networks.base import Network
from unifmir.networks.multitask import UniFMIR
from unifmir.networks.projection import ProjectionRestoration
from unifmir.networks.volume import VolumeRestoration
from unifmir.tasks import TASKS
from unifmir.tasks.base import TrainingRecipe
from unifmir.training.pool import Pool, cut_batch
from unifmir.training.schedule import Schedule

logger = logging.getLogger(__name__)

AVERAGE_DECAY = 0.998
"""Decay per step of the running average of the weights, the weights that are kept: the last
steps of a short training are noisy."""
GRADIENT_NORM = 1.0
"""Norm that the gradients of a step are clipped to."""
STATE_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class _Progress(JsonValues):
    """How far a training is."""

    step: Count
    losses: dict[str, list[float]]


@dataclass(slots=True)
class Training:
    """A training in progress.

    Parameters
    ----------
    network : Network
        Trained in place.
    pools : mapping from task to Pool
    recipes : mapping from task to TrainingRecipe
    schedule : Schedule
    seed : int
    order : sequence of str
        Tasks of successive steps, repeated.
    """

    network: Network
    pools: Mapping[str, Pool]
    recipes: Mapping[str, TrainingRecipe]
    schedule: Schedule
    seed: int
    order: Sequence[str]
    mixed_loss: bool = True
    """0.5 L1 + 0.5 L2, the paper's pre-training loss; else L1, its fine-tuning loss."""
    step: int = 0
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Task -> hash of the dataset that it is trained on; none for simulated images."""
    stopping: bool = False
    """Set from outside to end `run` after the step it is at."""
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Per task, the loss of each of its steps."""
    optimizer: torch.optim.Adam = field(init=False)
    average: Network = field(init=False)
    """The network with the averaged weights."""

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.Adam(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=self.schedule.learning_rate,
            betas=(0.9, 0.999),
        )
        self.average = deepcopy(self.network).eval()

    def run(
        self,
        *,
        until: int | None = None,
        on_step: Callable[[int, str, float], None] | None = None,
    ) -> None:
        """Train up to a step, the schedule's last if none is given.

        Stopping between two steps and going on later gives the same weights, bit for bit.
        """
        self.network.train()
        device = next(self.network.parameters()).device
        for step in range(self.step, until or self.schedule.steps):
            task = self.order[step % len(self.order)]
            inputs, targets = cut_batch(
                self.pools[task], self.network.config, self.recipes[task], self.seed, step
            )
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule.rate(step)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(inputs.to(device), targets.to(device), task)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
            self.optimizer.step()
            self._average(step)
            self.step = step + 1
            value = float(loss.detach())
            self.losses.setdefault(task, []).append(value)
            if on_step is not None:
                on_step(self.step, task, value)
            if self.stopping:
                break
        self.network.eval()

    def _loss(self, inputs: Tensor, targets: Tensor, task: str) -> Tensor:
        stages: tuple[Tensor, ...]
        if isinstance(self.network, UniFMIR):
            stages = self.network.stages(inputs, task)
        elif isinstance(self.network, ProjectionRestoration | VolumeRestoration):
            stages = self.network.stages(inputs)
        else:
            stages = (self.network(inputs),)
        recipe = TASKS[task].training
        share = recipe.l1_share if self.mixed_loss else 1.0
        loss = restoration_loss(stages[-1], targets, l1_share=share)
        if len(stages) > 1:
            first = restoration_loss(stages[0], targets, l1_share=share)
            weight = recipe.first_stage_weight
            if self.mixed_loss:
                weight = recipe.pretraining_first_stage_weight
            loss = loss + weight * first
        return loss

    @torch.no_grad()
    def _average(self, step: int) -> None:
        # Early on the average would remember random weights: it starts as a plain mean.
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        kept, now = self.average.state_dict(), self.network.state_dict()
        for key, value in now.items():
            if value.is_floating_point():
                kept[key].lerp_(value, 1 - decay)
            else:
                kept[key].copy_(value)

    def _identity(self) -> dict[str, Any]:
        """All that a training that goes on must have in common with the one that was saved."""
        return {
            "schema": STATE_SCHEMA,
            "datasets": dict(self.datasets),
            "seed": self.seed,
            "order": list(self.order),
            "learning_rate": self.schedule.learning_rate,
            "steps": self.schedule.steps,
            "mixed_loss": self.mixed_loss,
            "intensities": self.network.config.intensities,
        }

    def save(self, path: Path) -> None:
        """Write everything needed to go on, all or nothing."""
        state = {
            **self._identity(),
            "step": self.step,
            "losses": self.losses,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with writing(path) as aside:
            torch.save(state, aside)

    def resume(self, path: Path) -> None:
        """Take up a saved training of the same network, seed and schedule.

        Raises
        ------
        CheckpointError
            The file is another training's.
        """
        try:
            state = read_raw(path).content
        except CheckpointError as error:
            raise CheckpointError(f"{path.name}: not a training state ({error})") from error
        if not isinstance(state, dict):
            raise CheckpointError(
                f"{path.name}: not a training state, but a {type(state).__name__}"
            )
        for key, value in self._identity().items():
            if state.get(key) != value:
                raise CheckpointError(
                    f"{path.name} was saved with {key} = {state.get(key)!r:.80}, this training has "
                    f"{value}; use the same options, or train without --resume"
                )
        try:
            progress = read_values(_Progress, {key: state[key] for key in ("step", "losses")})
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self._check_taken_up(progress)
        # What PyTorch raises of states that are none, wherever that is.
        except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path.name} is damaged, or another network's ({error}); train without --resume"
            ) from error
        self.step, self.losses = progress.step, progress.losses

    def _check_taken_up(self, progress: "_Progress") -> None:
        """Refuse a state that cannot be of this training, though it fits the network."""
        taken = sum(map(len, progress.losses.values()))
        if not taken == progress.step <= self.schedule.steps or set(progress.losses) - set(
            self.order
        ):
            raise CheckpointError(
                f"{progress.step} steps and {taken} losses, of {self.schedule.steps} steps for "
                f"{', '.join(self.order)}"
            )
        for weight in (*self.network.state_dict().values(), *self.average.state_dict().values()):
            if not weight.isfinite().all():
                raise CheckpointError("weights that are NaN or infinite")
        for weight, kept in self.optimizer.state.items():
            for value in kept.values():
                fits = isinstance(value, Tensor) and value.shape in (weight.shape, ())
                if not fits or not value.isfinite().all():
                    raise CheckpointError("a state of the optimiser that is not its weights'")


def restoration_loss(
    restored: Float[Tensor, "*axes"], target: Float[Tensor, "*axes"], *, l1_share: float
) -> Float[Tensor, ""]:
    """Loss of normalised images, equation 2 of the paper, as means.

    It is 0.5 L1 + 0.5 L2 when pre-training, L1 when fine-tuning.
    """
    loss = l1_share * F.l1_loss(restored, target)
    return loss + (1 - l1_share) * F.mse_loss(restored, target)

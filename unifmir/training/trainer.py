"""The training loop.

Loss and optimiser are the paper's (Ma et al. 2024, Methods, equation 2): Adam with beta 0.9 and
0.999; 0.5 L1 + 0.5 L2 while training all tasks, L1 when fine-tuning one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unifmir.atomic import writing
from unifmir.checkpoint.pruning import kept_keys
from unifmir.checkpoint.serialization import read_raw, tensors_sha256
from unifmir.errors import CheckpointError, ClusterError
from unifmir.json_values import Count, JsonValues, read_values
from unifmir.native.window_attention import attention_in_c
from unifmir.networks.base import Network
from unifmir.tasks.base import TrainingRecipe
from unifmir.training.configuration import AVERAGE_DECAY, CLIP_NORM, Supervision
from unifmir.training.contextual_loss import contextual_bilateral
from unifmir.training.distribution import Part, TrainingProcesses, parts_of
from unifmir.training.losses import restoration_loss, stages_of
from unifmir.training.pool import Pool, cut_batch
from unifmir.training.prefetching import Prefetched
from unifmir.training.schedule import Schedule
from unifmir.training.self_supervision import (
    blind_spot_loss,
    diagonal_halves,
    fitted_errors,
    hide_pixels,
)
from unifmir.training.vgg_features import VggFeatures

logger = logging.getLogger(__name__)

STATE_SCHEMA = 6


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
    processes: TrainingProcesses = field(default_factory=lambda: TrainingProcesses("cpu", "fp32"))
    """Processes that share the steps; the first one's pools alone are read."""
    supervision: Supervision = "pairs"
    features: VggFeatures | None = None
    """Network whose features the contextual bilateral loss compares; None: pixels are compared."""
    mixed_loss: bool = True
    """0.5 L1 + 0.5 L2, the paper's pre-training loss; else L1, its fine-tuning loss."""
    accumulate: int = 1
    """Parts that each process takes its share of a batch in, one after the other."""
    clip_norm: float = CLIP_NORM
    """Norm that the gradients of a step are clipped to; 0: they are not."""
    average_decay: float = AVERAGE_DECAY
    """Decay per step of the running average of the weights; 0: it is the weights themselves."""
    step: int = 0
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Task -> hash of the dataset that it is trained on; none for simulated images."""
    stopping: bool = False
    """Set from outside to end `run` after the step it is at, in all processes."""
    stopped: bool = field(default=False, init=False)
    """Whether `run` has ended before the step that it was to go up to."""
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Per task, the loss of each of its steps."""
    optimizer: torch.optim.Adam = field(init=False)
    average: Network = field(init=False)
    """The network with the averaged weights."""
    waited_s: float = field(default=0.0, init=False)
    """Time that steps waited for their batches."""
    ran_s: float = field(default=0.0, init=False)
    """Time that steps took, and waiting for their batches."""
    _averaged: tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]] = field(init=False)
    """Numbers of the average and of the network, and pairs of counts: looked up once."""
    _started_from: str = field(init=False)
    """Hash of the weights before the first step."""

    def __post_init__(self) -> None:
        self._started_from = tensors_sha256(self.network.state_dict())
        self.optimizer = torch.optim.Adam(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=self.schedule.learning_rate,
            betas=(0.9, 0.999),
            fused=True,
        )
        self.average = deepcopy(self.network).eval()
        kept, now = self.average.state_dict(), self.network.state_dict()
        floats = [key for key, value in now.items() if value.is_floating_point()]
        self._averaged = (
            [kept[key] for key in floats],
            [now[key] for key in floats],
            [(kept[key], now[key]) for key in now.keys() - set(floats)],
        )

    def require_same_everywhere(self) -> None:
        """Refuse processes that would go on from other weights.

        Raises
        ------
        ClusterError
            This one would.
        """
        if self.processes.count == 1:
            return
        here = (self.step, tensors_sha256(self.network.state_dict()))
        if self.processes.shared(here) != here:
            raise ClusterError(
                f"process {self.processes.number} starts from other weights than the first one: "
                "all need the same files, and where they resume, a folder that they share"
            )

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
        last = until or self.schedule.steps
        ahead = Prefetched(self.batch, self.step, last if self.processes.number == 0 else 0)
        with ahead as batches, attention_in_c(self.network):
            for step in range(self.step, last):
                began = monotonic()
                batch = self._batch(batches, step)
                if batch is None:
                    self.stopped = True
                    break
                self.waited_s += monotonic() - began
                task, value = self.take_step(step, *batch)
                self.ran_s += monotonic() - began
                self.step = step + 1
                self.losses.setdefault(task, []).append(value)
                if on_step is not None:
                    on_step(self.step, task, value)
        self.network.eval()

    def _batch(
        self, batches: Prefetched[tuple[Tensor, Tensor]], step: int
    ) -> tuple[Tensor, Tensor] | None:
        """The batch that the first process has cut, in all of them; None: it has been stopped."""
        if self.processes.number:
            return self.processes.shared(None)
        try:
            batch = None if self.stopping else batches.take(step)
        except BaseException:
            self.processes.shared(None)  # so that none waits for a step that does not come
            raise
        return self.processes.shared(batch)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalised batch of a step, shape and range as `cut` gives it; later than any before."""
        task = self.order[step % len(self.order)]
        return self.cut(self.pools[task].at(self.turn(task, step)), step)

    def turn(self, task: str, step: int) -> int:
        """How many steps before a step were the task's; of the last one, how many it has."""
        rounds, rest = divmod(step, len(self.order))
        return rounds * self.order.count(task) + self.order[:rest].count(task)

    def cut(self, pool: Pool, step: int) -> tuple[Tensor, Tensor]:
        """Batch of a step from a pool, as the network (N, C, H, W) and the loss take it.

        Normalised; the second part is what `restoration_loss` or `blind_spot_loss` compares with.
        """
        inputs, targets = cut_batch(
            pool, self.network.config, self.recipes[pool.task], self.seed, step
        )
        if self.supervision == "blind-spots":
            return hide_pixels(inputs, targets, np.random.default_rng([self.seed, step, 1]))
        return inputs, targets

    @torch.no_grad()
    def errors(self, network: Network, pool: Pool) -> tuple[float, ...]:
        """Mean square error of a network on each image of another pool, as noisy images tell it.

        Each is judged once, by a batch of windows of it, always the same ones: by other frames,
        or each half of the pixels by the other. After the line that fits all of them best: a model
        trained otherwise has other units.
        """
        found = []
        device = next(network.parameters()).device
        for number in range(len(pool.images)):
            here = slice(number, number + 1)
            alone = replace(pool, images=pool.images[here], targets=pool.targets[here])
            recipe = self.recipes[pool.task]
            inputs, targets = cut_batch(alone, self.network.config, recipe, self.seed, number)
            if self.supervision == "blind-spots":
                halves = diagonal_halves(inputs)
                inputs = torch.cat(halves)
                middle = inputs.shape[1] // 2
                targets = torch.cat(halves[::-1])[:, middle : middle + 1]
            restored = stages_of(network.eval(), inputs.to(device), pool.task)[-1]
            found.append((restored.flatten().cpu(), targets.flatten()))
        return fitted_errors(found)

    def take_step(self, step: int, inputs: Tensor, targets: Tensor) -> tuple[str, float]:
        """Learn from a normalised batch, shapes as `cut` gives it; returns its task and loss."""
        task = self.order[step % len(self.order)]
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step)
        self.optimizer.zero_grad(set_to_none=True)
        fabric, total = self.processes.fabric, torch.zeros((), device=self.processes.fabric.device)
        whole = self._needs_whole_batches(task)
        for part, truth, weight in self._parts(inputs, targets, whole=whole):
            loss = weight * self._loss(fabric.to_device(part), fabric.to_device(truth), task)
            fabric.backward(loss)
            total += loss.detach()
        if not whole:
            learning = [one.grad for one in self.network.parameters() if one.grad is not None]
            total = self.processes.add_up(learning, total)
        if self.clip_norm:
            fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        if self.processes.number == 0:
            self._average(step)
        return task, float(total)

    def _parts(self, inputs: Tensor, targets: Tensor, *, whole: bool) -> list[Part]:
        if whole:
            return [(inputs, targets, 1.0)]
        counts = torch.ones(len(inputs))
        if self.supervision == "blind-spots":
            counts = targets[:, 1].flatten(1).sum(dim=1)
        here, of = self.processes.number, self.processes.count
        return parts_of(inputs, targets, counts, self.accumulate, here, of)

    def _needs_whole_batches(self, task: str) -> bool:
        """Whether a task's network normalises by its batch: a part's mean would be another."""
        return any(key.endswith(".running_mean") for key in kept_keys(self.network, task))

    def _loss(self, inputs: Tensor, targets: Tensor, task: str) -> Tensor:
        with self.processes.fabric.autocast():
            stages = stages_of(self.network, inputs, task)
        stages = tuple(stage.float() for stage in stages)
        if self.supervision == "blind-spots":
            return blind_spot_loss(stages[-1], targets)
        if self.supervision == "repeats":
            return F.mse_loss(stages[-1], targets)
        recipe = self.recipes[task]
        loss = self._compared(stages[-1], targets, recipe)
        if len(stages) > 1:
            first = self._compared(stages[0], targets, recipe)
            weight = recipe.first_stage_weight
            if self.mixed_loss:
                weight = recipe.pretraining_first_stage_weight
            loss = loss + weight * first
        return loss

    def _compared(self, restored: Tensor, targets: Tensor, recipe: TrainingRecipe) -> Tensor:
        if self.features is not None:
            return contextual_bilateral(restored, targets, self.features)
        if not self.mixed_loss:
            return restoration_loss(restored, targets, l1_share=1.0)
        share, equal = recipe.l1_share, recipe.equal_weight
        return restoration_loss(restored, targets, l1_share=share, equal_weight=equal)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        # Early on the average would remember random weights: it starts as a plain mean.
        decay = min(self.average_decay, (1 + step) / (10 + step))
        kept, now, others = self._averaged
        torch._foreach_lerp_(kept, now, 1 - decay)
        for one, other in others:
            one.copy_(other)

    def _identity(self) -> dict[str, Any]:
        """All that a training that goes on must have in common with the one that was saved."""
        return {
            "schema": STATE_SCHEMA,
            "datasets": dict(self.datasets),
            "images": {task: len(self.pools[task]) for task in self.order},
            "trained weights": sum(p.requires_grad for p in self.network.parameters()),
            "seed": self.seed,
            "order": list(self.order),
            "learning_rate": self.schedule.learning_rate,
            "steps": self.schedule.steps,
            "schedule": self.schedule.kind,
            "halve_at": self.schedule.halve_at,
            "warm_up": self.schedule.warm_up,
            "clip_norm": self.clip_norm,
            "average_decay": self.average_decay,
            "recipes": {task: asdict(self.recipes[task]) for task in self.order},
            "mixed_loss": self.mixed_loss,
            "features": self.features and self.features.sha256,
            "precision": self.processes.precision,
            "supervision": self.supervision,
            "intensities": self.network.config.intensities,
            # Last, so that an option that has an entry of its own is what is named.
            "weights it starts from (init, renew, adapters)": self._started_from,
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

"""Simulated pairs in memory, and the batches cut from them.

A batch depends only on the seed and the step, so that an interrupted training goes on as if it
had not been: there is no random state to save.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from unifmir.config import ModelConfig, MultiTaskConfig, SingleConfig
from unifmir.errors import CheckpointError
from unifmir.interfaces import interface_of
from unifmir.registry import resolve
from unifmir.simulate import generator, normalize_pair, simulate_pair
from unifmir.tasks import TASKS
from unifmir.tasks.base import TrainingRecipe
from unifmir.training.patches import PatchRequest

logger = logging.getLogger(__name__)

Batch = Float32[Tensor, "n ..."]


@dataclass(frozen=True, slots=True)
class Pool:
    """Normalised pairs of one task."""

    task: str
    images: tuple[Float32[np.ndarray, "..."], ...]
    targets: tuple[Float32[np.ndarray, "..."], ...]


def check_fits(config: ModelConfig, task: str) -> None:
    """Refuse a model that the simulated images of a task do not fit.

    Raises
    ------
    CheckpointError
        The model restores another task, or has other planes or views than the simulator makes.
    """
    single = _single(config, task)
    if single.task != task:
        raise CheckpointError(f"the model restores {single.task!r}; it cannot do {task!r}")
    signature, made = single.signature, TASKS[task].simulation
    if made.views:
        if (signature.channels, signature.out_channels) != (made.views, made.result_planes):
            raise CheckpointError(
                f"the model turns {signature.channels} views into {signature.out_channels} planes, "
                f"simulated light fields have {made.views} and {made.result_planes}; choose other "
                "tasks with --task"
            )
    elif made.planes and not signature.volumetric and signature.channels != made.planes:
        raise CheckpointError(
            f"the model projects {signature.channels} planes, simulated stacks have {made.planes}"
        )


def _single(config: ModelConfig, task: str) -> SingleConfig:
    return config.single(task) if isinstance(config, MultiTaskConfig) else config


def simulate_pool(
    task: str,
    recipe: TrainingRecipe,
    seed: int,
    *,
    on_scene: Callable[[], None] | None = None,
) -> Pool:
    """Simulate the pool of one task.

    Parameters
    ----------
    task : str
    recipe : TrainingRecipe
    seed : int
    on_scene : callable, optional
        Called after each scene.
    """
    images, targets = [], []
    for index in range(recipe.scenes):
        scene = simulate_pair(task, generator(task, seed, "train", index), recipe.scene_size)
        image, target = normalize_pair(scene)
        images.append(np.ascontiguousarray(image, dtype=np.float32))
        targets.append(np.ascontiguousarray(target, dtype=np.float32))
        if on_scene is not None:
            on_scene()
    return Pool(task, tuple(images), tuple(targets))


def cut_batch(
    pool: Pool, config: ModelConfig, recipe: TrainingRecipe, seed: int, step: int
) -> tuple[Batch, Batch]:
    """Cut a batch of random patches, each turned and flipped as its task allows.

    Returns
    -------
    inputs : Tensor, shape (N, C, H, W) or (N, C, Z, H, W), float32
        Normalised, as the plain network takes them.
    targets : Tensor, shape (N, planes, scale * H, scale * W) or (N, 1, Z, H, W), float32
        Normalised; a light field's volume in [-1, 1].
    """
    rng = np.random.default_rng([seed, step])
    single = _single(config, pool.task)
    cut = resolve(interface_of(single).patch)
    pairs = []
    for _ in range(recipe.batch):
        index = int(rng.integers(len(pool.images)))
        wanted = PatchRequest(recipe.patch, int(rng.integers(4)), bool(rng.integers(2)), rng)
        pairs.append(cut(pool.images[index], pool.targets[index], single.signature, wanted))
    inputs, targets = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    return inputs, targets

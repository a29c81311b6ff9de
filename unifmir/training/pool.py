"""Simulated pairs in memory, and the batches cut from them.

A batch depends only on the seed and the step, so that an interrupted training goes on as if it
had not been: there is no random state to save.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unifmir.config import ModelConfig, MultiTaskConfig, SingleConfig
from unifmir.errors import CheckpointError, ImageError
from unifmir.signature import Signature
from unifmir.simulate import generator, lightfield, normalize_pair, simulate_pair
from unifmir.simulate.scenes import SURFACE_PLANES, VOLUME_PLANES
from unifmir.training.recipe import TaskRecipe

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
SLAB_PLANES = 16
"""Depth of a training patch of a network that has a depth of its own (Ma et al. 2024, Extended
Data Table 1: CARE and GVTNets)."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Normalised pairs of one task."""

    task: str
    images: tuple[Array, ...]
    targets: tuple[Array, ...]


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
    signature = single.signature
    free = signature.volumetric
    if task == "projection" and not free and signature.channels != SURFACE_PLANES:
        raise CheckpointError(
            f"the model projects {signature.channels} planes, simulated stacks have "
            f"{SURFACE_PLANES}"
        )
    made = (lightfield.VIEWS_PER_SIDE**2, VOLUME_PLANES)
    if task == "volume" and (signature.channels, signature.out_channels) != made:
        raise CheckpointError(
            f"the model turns {signature.channels} views into {signature.out_channels} planes, "
            f"simulated light fields have {made[0]} and {made[1]}; choose other tasks with --task"
        )


def _single(config: ModelConfig, task: str) -> SingleConfig:
    return config.single(task) if isinstance(config, MultiTaskConfig) else config


def simulated(
    task: str,
    recipe: TaskRecipe,
    seed: int,
    *,
    split: str = "train",
    on_scene: Callable[[], None] | None = None,
) -> Pool:
    """Simulate the pool of one task.

    Parameters
    ----------
    task : str
    recipe : TaskRecipe
    seed : int
    split : str
        Training and held-out scenes never share random numbers.
    on_scene : callable, optional
        Called after each scene.
    """
    images, targets = [], []
    for index in range(recipe.scenes):
        scene = simulate_pair(task, generator(task, seed, split, index), recipe.scene_size)
        image, target = normalize_pair(scene)
        images.append(np.ascontiguousarray(image, dtype=np.float32))
        targets.append(np.ascontiguousarray(target, dtype=np.float32))
        if on_scene is not None:
            on_scene()
    return Pool(task, tuple(images), tuple(targets))


def batch(
    pool: Pool, config: ModelConfig, recipe: TaskRecipe, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Cut a batch of random patches, each turned and flipped as its task allows.

    Returns
    -------
    inputs : Tensor, shape (N, C, H, W) or (N, C, Z, H, W), float32
        As the plain network takes them.
    targets : Tensor, shape (N, planes, scale * H, scale * W) or (N, 1, Z, H, W), float32
    """
    rng = np.random.default_rng([seed, step])
    signature = _single(config, pool.task).signature
    pairs = [_patch(pool, signature, recipe, rng) for _ in range(recipe.batch)]
    inputs, targets = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    if signature.volumetric:
        # Planes were turned and cut as channels.
        inputs = inputs[:, None]
        targets = targets[:, None] if signature.volumetric_output else targets
    if signature.enlarge > 1:
        inputs = F.interpolate(inputs, scale_factor=signature.enlarge, mode="bilinear")
    return inputs, targets


def _patch(
    pool: Pool, signature: Signature, recipe: TaskRecipe, rng: np.random.Generator
) -> tuple[Array, Array]:
    index = int(rng.integers(len(pool.images)))
    image, target = pool.images[index], pool.targets[index]
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    if signature.volumetric and pool.task != "projection":
        image, target = _slab(image, target, rng)
    elif pool.task == "isotropic":
        # Rows are y (or x) and columns are z: axes that must not be exchanged.
        turns = 2 * (turns % 2)
        plane = int(rng.integers(image.shape[2]))
        image, target = image[None, :, :, plane], target[None, :, :, plane]
        image, target = image.transpose(0, 2, 1), target.transpose(0, 2, 1)
    elif pool.task == "sr":
        image, target = image[None], target[None]
    elif pool.task == "denoise":
        image, target = _window(image, target, signature.channels, rng)
    elif pool.task == "projection":
        target = target[None]
    else:
        image = image[None]
    unit = isqrt(signature.channels) if pool.task == "volume" else 1
    image, target = _crop(image, target, recipe.patch * unit, unit, rng)
    image, target = _turned(image, turns, flip), _turned(target, turns, flip)
    if pool.task == "volume":
        views = lightfield.separate(image[0], unit)
        image = views.reshape(unit**2, *views.shape[2:])
    return np.ascontiguousarray(image), np.ascontiguousarray(target)


def _slab(image: Array, target: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Neighbouring planes of both stacks."""
    start = int(rng.integers(max(1, len(image) - SLAB_PLANES + 1)))
    return image[start : start + SLAB_PLANES], target[start : start + SLAB_PLANES]


def _window(
    image: Array, target: Array, slices: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """A window around a random slice; beyond the ends that slice itself, as at inference."""
    centre, reach = int(rng.integers(len(image))), slices // 2
    wanted = range(centre - reach, centre + reach + 1)
    index = [z if 0 <= z < len(image) else centre for z in wanted]
    return image[index], target[centre : centre + 1]


def _crop(
    image: Array, target: Array, side: int, unit: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The same random square of both, cut at multiples of `unit` pixels."""
    scale = target.shape[-1] // image.shape[-1]
    free = [(length - side) // unit for length in image.shape[-2:]]
    if min(free) < 0:
        raise ImageError(
            f"a patch of {side} pixels does not fit an image of {image.shape[-2:]}; "
            "simulate larger scenes, or lower `TaskRecipe.patch`"
        )
    y, x = (unit * int(rng.integers(f + 1)) for f in free)
    rows, columns = slice(y * scale, (y + side) * scale), slice(x * scale, (x + side) * scale)
    return image[:, y : y + side, x : x + side], target[:, rows, columns]


def _turned(planes: Array, turns: int, flip: bool) -> Array:
    """Rotate by `turns` quarter turns and mirror, laterally."""
    planes = np.rot90(planes, turns, axes=(-2, -1))
    return planes[..., ::-1] if flip else planes

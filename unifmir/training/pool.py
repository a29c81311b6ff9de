"""Pairs to train on, simulated in memory or stored in a dataset, and the batches cut from them.

A batch depends only on the seed and the step, so that an interrupted training goes on as if it
had not been: there is no random state to save.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from unifmir.config import ModelConfig, MultiTaskConfig, SingleConfig
from unifmir.datasets.stored_dataset import StoredDataset, StoredPatches
from unifmir.errors import CheckpointError, ImageError
from unifmir.interfaces import interface_of
from unifmir.registry import resolve
from unifmir.tasks import TASKS
from unifmir.tasks.base import TaskSpec, TrainingRecipe, TruthScaling
from unifmir.training.patches import PatchRequest
from unifmir.training.scene_process import SceneRequest
from unifmir.training.scene_stream import SceneStream
from unifmir.version import __version__

logger = logging.getLogger(__name__)

Batch = Float32[Tensor, "n ..."]
Image = Float32[np.ndarray, "..."]


@dataclass(frozen=True, slots=True)
class Pool:
    """Normalised pairs of one task: fixed ones, and simulated ones behind them."""

    task: str
    images: Sequence[Image] = ()
    targets: Sequence[Image] = ()
    origin: str = ""
    """Origin of the pairs, in words."""
    stream: SceneStream | None = None
    """Simulated scenes."""
    first: int = 0
    """Number of the first of them."""

    def __len__(self) -> int:
        return len(self.images) + (self.stream.count if self.stream else 0)

    def pair(self, index: int) -> tuple[Image, Image]:
        """A pair, read or simulated when it is asked for."""
        beyond = index - len(self.images)
        if self.stream and beyond >= 0:
            return self.stream.scene(self.first + beyond)
        return self.images[index], self.targets[index]

    def at(self, turn: int) -> "Pool":
        """The pairs that a step of the task draws from; earlier ones may be forgotten."""
        if not self.stream:
            return self
        self.stream.move(turn)
        return replace(self, first=self.stream.first(turn))


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


def joined(stored: Pool, simulated: Pool) -> Pool:
    """One pool of stored and simulated pairs, each as likely as any other."""
    origin = f"{stored.origin}, and {simulated.origin}"
    return replace(stored, stream=simulated.stream, origin=origin)


def stored_pool(dataset: StoredDataset, intensities: TruthScaling) -> Pool:
    """The training split of a dataset, read from the disk patch by patch.

    Raises
    ------
    ImageError
        It has noisy images alone, or nothing for training.
    """
    patches = dataset.patches("train")
    if dataset.manifest.kind != "pairs" or not patches:
        what = "no pairs" if dataset.manifest.kind != "pairs" else "no pairs for training"
        raise ImageError(
            f"{dataset.path.name} has {what}: prepare one from inputs and truths (unifmir data "
            "prepare --input NAME --truth NAME)"
        )
    return Pool(
        dataset.manifest.task,
        StoredPatches(dataset, patches),
        StoredPatches(dataset, patches, truths=intensities),
        f"{len(patches)} patches of {len(dataset.manifest.of('train'))} pairs of images in "
        f"{dataset.path.name} (manifest {dataset.sha256[:16]})",
    )


def check_fits_dataset(config: ModelConfig, dataset: StoredDataset) -> None:
    """Refuse a model that the images of a dataset do not fit.

    Raises
    ------
    CheckpointError
        The model restores another task, magnifies otherwise, or has other planes.
    """
    manifest = dataset.manifest
    single = _single(config, manifest.task)
    name = dataset.path.name
    if single.task != manifest.task:
        raise CheckpointError(
            f"the model restores {single.task!r}; {name} is for {manifest.task!r}"
        )
    signature, row, truth = single.signature, interface_of(single), manifest.truth_patch
    scale = signature.scale * signature.enlarge
    if truth is None:
        return
    found = truth[1] // manifest.patch[1]
    if row.lenses:
        found = scale = 1
        planes = (signature.out_channels, truth[0])
    else:
        planes = (signature.channels, manifest.patch[0]) if row.depth == "fixed" else (0, 0)
    if scale != found:
        raise CheckpointError(
            f"the model magnifies {scale} times, the truths of {name} are {found} times as finely "
            "sampled as its inputs"
        )
    if planes[0] != planes[1]:
        raise CheckpointError(f"the model has {planes[0]} planes, the stacks of {name} {planes[1]}")


def largest_patch(task: TaskSpec, shape: tuple[int, ...]) -> int:
    """Side of the largest patch of an image, (z, y, x) or (y, x): pixels, or lenses."""
    z, y, x = (1, *shape)[-3:]
    # Axial slices have rows y and columns z.
    least = min((y, z) if task.isotropic_sampling else (y, x))
    views = task.simulation.views
    return least // isqrt(views) if views else least


def fitting_recipe(recipe: TrainingRecipe, dataset: StoredDataset) -> TrainingRecipe:
    """The recipe with patches no larger than those of a dataset."""
    return replace(
        recipe, patch=min(recipe.patch, largest_patch(dataset.task, dataset.manifest.patch))
    )


def simulate_pool(task: str, recipe: TrainingRecipe, seed: int, intensities: TruthScaling) -> Pool:
    """The simulated pairs of one task, none of which is made before it is needed.

    Parameters
    ----------
    task : str
    recipe : TrainingRecipe
    seed : int
    intensities : {"own", "shared"}
        Whose percentiles scale the truths.
    """
    wanted = SceneRequest(task, seed, recipe.scene_size, intensities)
    changing = (
        f" at a time, {recipe.fresh_scenes:g} new ones a step," if recipe.fresh_scenes else ""
    )
    origin = f"{recipe.scenes} images{changing} simulated by unifmir {__version__} (seed {seed})"
    stream = SceneStream(wanted, recipe.scenes, recipe.fresh_scenes)
    return Pool(task, origin=origin, stream=stream)


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
        index = int(rng.integers(len(pool)))
        wanted = PatchRequest(recipe.patch, int(rng.integers(4)), bool(rng.integers(2)), rng)
        pairs.append(cut(*pool.pair(index), single.signature, wanted))
    inputs, targets = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    return inputs, targets

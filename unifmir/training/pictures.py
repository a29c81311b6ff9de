"""Pictures of how a training goes: input, restored and truth of the same few patches each time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from unifmir.datasets.contact_sheet import enlarged
from unifmir.datasets.pairing import Split
from unifmir.datasets.stored_dataset import StoredDataset, StoredPatches
from unifmir.metrics.error_picture import CONTRAST
from unifmir.simulate import generator, normalize_pair, simulate_pair
from unifmir.tasks import TASKS
from unifmir.training.losses import stages_of
from unifmir.training.pool import Pool, cut_batch, largest_patch
from unifmir.training.trainer import Training

SHOWN = 3
"""Patches of a task."""
LARGEST_PATCH = 128
"""Pixels of the network's input, or lenses."""
SPLIT: Split = "validation"
GAP_PX = 4
LEAST_SIDE_PX = 192
"""Small patches are enlarged, by whole factors, to about this."""

Picture = UInt8[np.ndarray, "rows columns"]
Plane = Float32[np.ndarray, "_ _"]


def fixed_pairs(
    training: Training, datasets: Sequence[Path], held_out: Pool | None
) -> dict[str, Pool]:
    """A few pairs of each task that nothing is learned from where there are others.

    Parameters
    ----------
    training : Training
    datasets : sequence of Path
        Of their validation splits, else of what is learned from.
    held_out : Pool, optional
        Noisy images of a training without truths, which are shown in place of a truth.
    """
    if held_out:
        return {held_out.task: held_out}
    found = {}
    scaling = training.network.config.intensities
    for dataset in map(StoredDataset, datasets):
        patches = dataset.patches(SPLIT) or dataset.patches("train")
        chosen = [patches[n * len(patches) // SHOWN] for n in range(min(SHOWN, len(patches)))]
        truths = StoredPatches(dataset, chosen, truths=scaling)
        found[dataset.task.name] = Pool(dataset.task.name, StoredPatches(dataset, chosen), truths)
    for task in training.pools.keys() - found.keys():
        size = training.recipes[task].scene_size
        images, targets = [], []
        for number in range(SHOWN):
            scene = simulate_pair(task, generator(task, training.seed, SPLIT, number), size)
            image, target = normalize_pair(scene, scaling)
            images.append(np.ascontiguousarray(image, dtype=np.float32))
            targets.append(np.ascontiguousarray(target, dtype=np.float32))
        found[task] = Pool(task, images, targets)
    return found


@torch.no_grad()
def picture(training: Training, pairs: Pool) -> Picture:
    """A row for each pair: its input, what the averaged network makes of it, and its truth.

    Parameters
    ----------
    training : Training
    pairs : Pool

    Returns
    -------
    array, shape (rows, columns), uint8
        All at the contrast of the truths.
    """
    task, device = pairs.task, training.processes.fabric.device
    rows = []
    for number in range(min(SHOWN, len(pairs))):
        image, target = pairs.pair(number)
        side = min(LARGEST_PATCH, largest_patch(TASKS[task], image.shape))
        recipe = replace(training.recipes[task], batch=1, patch=side)
        alone = Pool(task, (image,), (target,))
        inputs, targets = cut_batch(alone, training.network.config, recipe, 0, number)
        restored = stages_of(training.average, inputs.to(device), task)[-1]
        shown = [_plane(part[0].cpu().numpy()) for part in (restored, targets)]
        rows.append([_input_plane(inputs[0].numpy(), task), *shown])
    truths = np.concatenate([row[-1].ravel() for row in rows])
    low, high = map(float, np.percentile(truths, CONTRAST))
    span = max(high - low, 1e-6)
    return _sheet([[np.clip((one - low) / span, 0, 1) for one in row] for row in rows])


def _input_plane(planes: Float32[np.ndarray, "..."], task: str) -> Plane:
    """The plane shown of an input without its batch, (planes, y, x) or (1, z, y, x)."""
    row = TASKS[task]
    if "z" in row.input_axes and "z" not in row.output_axes:
        # What a projection is expected to look like.
        shown: Plane = planes.reshape(-1, *planes.shape[-2:]).max(axis=0)
        return shown
    return _plane(planes)


def _plane(planes: Float32[np.ndarray, "..."]) -> Plane:
    """The middle plane of a stack, or the one plane; of a light field's views the central one."""
    stack = planes.reshape(-1, *planes.shape[-2:])
    plane: Plane = stack[len(stack) // 2]
    return plane


def _sheet(rows: list[list[Plane]]) -> Picture:
    side = max(max(one.shape) for row in rows for one in row)
    side *= max(1, LEAST_SIDE_PX // side)
    sheet = np.full(
        (len(rows) * (side + GAP_PX) - GAP_PX, 3 * (side + GAP_PX) - GAP_PX), 255, np.uint8
    )
    for top, row in enumerate(rows):
        for left, plane in enumerate(row):
            tile = enlarged(np.round(255 * plane).astype(np.uint8), side)
            y, x = top * (side + GAP_PX), left * (side + GAP_PX)
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet

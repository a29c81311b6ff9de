"""What a training shows as it goes: TensorBoard's files, and pictures of fixed patches."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.lab_folders import lab_folder
from unifmir.config import MultiTaskConfig
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.metrics.error_picture import CONTRAST
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks import TASKS
from unifmir.training import training_run
from unifmir.training.configuration import RecipeChange, TrainingConfig
from unifmir.training.pictures import GAP_PX, LEAST_SIDE_PX, SHOWN, fixed_pairs, picture
from unifmir.training.pool import Pool
from unifmir.training.schedule import Schedule
from unifmir.training.trainer import Training
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest

PLANAR = ("sr", "denoise", "isotropic")
RECIPES = {
    task: RecipeChange(batch=1, patch=16, scenes=1, scene_size=24).applied(TASKS[task].training)
    for task in PLANAR
}


def events(folder: Path) -> Iterator[Any]:
    """Events of the files of a folder, as the format of TFRecord frames them."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        content, start = path.read_bytes(), 0
        while start < len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            yield Event.FromString(content[start + 12 : start + 12 + length])
            start += 16 + length


def trained(
    folder: Path, network: Network, *, log_dir: Path | None, every: int, steps: int = 5
) -> tuple[str | None, list[float]]:
    """Hash of the model of a training, and its losses."""
    change = RecipeChange(batch=1, patch=16, scenes=1, scene_size=24)
    config = TrainingConfig("finetune", ["sr"], init="any", steps=steps, recipes={"sr": change})
    request = TrainingRequest(
        folder / "m.safetensors", config, network, log_dir=log_dir, pictures_every=every
    )
    losses: list[float] = []
    watch = TrainingCallbacks(lambda _: None, lambda _step, _task, loss: losses.append(loss))
    source = training_run.train(request, watch)
    assert source is not None
    return source.sha256, losses


def test_a_training_is_watched_and_gives_the_same_model(
    tmp_path: Path, tiny_single: Callable[[str], Network]
) -> None:
    log_dir = tmp_path / "logs"
    watched, losses = trained(tmp_path / "a", tiny_single("sr"), log_dir=log_dir, every=2)
    alone, _ = trained(tmp_path / "b", tiny_single("sr"), log_dir=None, every=0)
    assert watched == alone
    pictures = sorted((tmp_path / "a" / "m.safetensors.pictures").iterdir())
    assert [path.name for path in pictures] == [f"sr-000000{step}.png" for step in (2, 4, 5)]
    assert not (tmp_path / "b" / "m.safetensors.pictures").exists()
    found: dict[str, list[tuple[int, float]]] = {}
    shown = []
    for event in events(log_dir):
        for value in event.summary.value:
            if value.HasField("image"):
                shown.append((value.tag, event.step))
            else:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    rates = [Schedule(1e-3, 5).rate(step) for step in range(5)]
    for tag, values in (("loss/sr", losses), ("learning_rate", rates)):
        assert [step for step, _ in found[tag]] == [1, 2, 3, 4, 5]
        assert [value for _, value in found[tag]] == pytest.approx(values)
    assert shown == [("input_restored_truth/sr", step) for step in (2, 4, 5)]


def test_pictures_show_whole_scenes_at_the_contrast_of_the_truths(
    tiny_config: MultiTaskConfig,
) -> None:
    pools = {task: Pool(task) for task in PLANAR}
    training = Training(build(tiny_config), pools, RECIPES, Schedule(1e-3, 1), 0, PLANAR)
    pairs = fixed_pairs(training, [], None)
    assert pairs.keys() == set(PLANAR)
    again = fixed_pairs(training, [], None)
    assert np.array_equal(again["sr"].targets[0], pairs["sr"].targets[0])
    shown = picture(training, pairs["sr"])
    side = LEAST_SIDE_PX // 48 * 48
    assert shown.shape == (SHOWN * (side + GAP_PX) - GAP_PX, 3 * (side + GAP_PX) - GAP_PX)
    truths = np.stack(pairs["sr"].targets)
    low, high = np.percentile(truths, CONTRAST)
    expected = np.round(255 * np.clip((truths[0] - low) / (high - low), 0, 1)).astype(np.uint8)
    panel = shown[:side, -side:][::4, ::4]
    turned = [np.rot90(one, k) for one in (expected, expected[:, ::-1]) for k in range(4)]
    assert min(np.abs(panel.astype(int) - one).max() for one in turned) <= 1, "of 255, rounded"
    recorded = shown[:side, :side][::8, ::8]
    assert recorded.shape == (24, 24), "the input, enlarged to the sampling of the truth"
    # It shows the same field as the truth beside it, and no other.
    blurred = panel.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    assert np.corrcoef(recorded.ravel(), blurred.ravel())[0, 1] > 0.5
    for task in PLANAR[1:]:
        assert picture(training, pairs[task]).shape[1] > 3 * 24


def test_pictures_of_a_dataset_are_of_its_validation_split(
    tmp_path: Path, tiny_config: MultiTaskConfig
) -> None:
    lab, store = lab_folder(tmp_path / "lab", pairs=5, shape=(4, 24, 24)), tmp_path / "cells.zarr"
    prepare(PreparationRequest(lab, store, "denoise", patch=24, planes=4))
    pools = {"denoise": Pool("denoise")}
    training = Training(build(tiny_config), pools, RECIPES, Schedule(1e-3, 1), 0, ("denoise",))
    pairs = fixed_pairs(training, [store], None)["denoise"]
    dataset = StoredDataset(store)
    (kept,) = dataset.patches("validation")
    assert np.array_equal(pairs.pair(0)[0], dataset.input(kept))
    assert np.array_equal(pairs.pair(0)[1], dataset.truth(kept, "own"))
    assert len(pairs) == 1
    side = LEAST_SIDE_PX // 24 * 24
    assert picture(training, pairs).shape == (side, 3 * (side + GAP_PX) - GAP_PX)

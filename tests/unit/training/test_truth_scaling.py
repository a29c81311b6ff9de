"""Which scaling of truths a training takes, and what it says of it."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.lab_folders import lab_folder, write
from tests.helpers.task_rows import change_task
from unifmir.checkpoint.loading import load_file
from unifmir.config import MultiTaskConfig
from unifmir.datasets.pairing import PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import CheckpointError, ImageError
from unifmir.networks.base import Network
from unifmir.tasks import TASKS
from unifmir.tasks.base import TruthScaling
from unifmir.training import training_run
from unifmir.training.configuration import TrainingConfig
from unifmir.training.schedule import CONFIGS
from unifmir.training.training_record import read_training_record
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest
from unifmir.training.training_setup import set_up
from unifmir.training.truth_scaling import chosen_intensities

WATCH = TrainingCallbacks(lambda _: None, lambda *_: None)


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> StoredDataset:
    """A dataset of counts, truths a hundred times as bright."""
    folder = lab_folder(tmp_path_factory.mktemp("lab"), pairs=2)
    for file in (folder / "high").glob("*.tif"):
        write(file, 100.0 * tifffile.imread(file).astype(np.float32), "zyx")
    out = tmp_path_factory.mktemp("store") / "cells.zarr"
    prepare(PreparationRequest(folder, out, "denoise", patch=16, planes=4))
    return StoredDataset(out)


@pytest.fixture(scope="module")
def normalised(tmp_path_factory) -> StoredDataset:
    """A dataset of one of csbdeep's training files."""
    folder: Path = tmp_path_factory.mktemp("npz")
    first = np.random.default_rng(0).random((3, 1, 4, 24, 24), np.float32)
    np.savez(folder / "data.npz", X=first, Y=first + np.float32(0.1), axes="SCZYX")
    out = tmp_path_factory.mktemp("store") / "npz.zarr"
    prepare(PreparationRequest(folder, out, "denoise", (PairRule("*.npz"),), patch=16, planes=4))
    return StoredDataset(out)


def test_random_weights_learn_photons_and_models_what_they_learned_before(
    tiny_config: MultiTaskConfig,
):
    shared = replace(tiny_config, intensities="shared")
    assert chosen_intensities(None, tiny_config, ["sr"], (), fresh=True) == "shared"
    assert chosen_intensities("own", tiny_config, ["sr"], (), fresh=True) == "own"
    assert chosen_intensities(None, tiny_config, ["sr"], (), fresh=False) == "own"
    assert chosen_intensities(None, shared, ["sr"], (), fresh=False) == "shared"


def test_a_change_is_said_and_refused_where_other_tasks_would_change_too(
    tiny_config: MultiTaskConfig, caplog
):
    single = tiny_config.single("sr")
    assert chosen_intensities("shared", single, ["sr"], (), fresh=False) == "shared"
    assert "trained with intensities own, and is now with shared" in caplog.text
    with pytest.raises(CheckpointError, match=r"denoise, isotropic, projection.*unifmir prune"):
        chosen_intensities("shared", tiny_config, ["sr"], (), fresh=False)
    everything = [task for task in TASKS if task != "volume"]
    assert chosen_intensities("shared", tiny_config, everything, (), fresh=False) == "shared"


def test_a_light_field_has_none_to_share(tiny_config: MultiTaskConfig):
    for config in (tiny_config, tiny_config.single("volume")):
        assert chosen_intensities(None, config, ["volume"], (), fresh=True) == "own"
        with pytest.raises(CheckpointError, match="volume gives relative values"):
            chosen_intensities("shared", config, ["volume"], (), fresh=True)


def test_images_that_were_normalised_before_share_nothing(
    tiny_config: MultiTaskConfig, normalised: StoredDataset, caplog
):
    choose: Callable[..., str] = chosen_intensities
    given = (tiny_config, ["denoise"], (normalised,))
    assert choose(None, *given, fresh=True) == "own"
    assert "the images of npz.zarr were normalised before" in caplog.text
    with pytest.raises(CheckpointError, match="--intensities own"):
        choose("shared", *given, fresh=True)
    with pytest.raises(ImageError, match="--intensities own"):
        normalised.truth(normalised.patches("train")[0], "shared")


def test_truths_of_other_units_are_told(
    tiny_config: MultiTaskConfig, counted: StoredDataset, caplog
):
    caplog.set_level(logging.WARNING)
    given = (tiny_config, ["denoise"], (counted,))
    assert chosen_intensities("own", *given, fresh=True) == "own"
    assert not caplog.text
    assert chosen_intensities(None, *given, fresh=True) == "shared"
    assert "the range of its truths is" in caplog.text


@pytest.fixture
def tiny_training(monkeypatch: pytest.MonkeyPatch, tiny_config: MultiTaskConfig) -> None:
    """Trainings of two steps on one scene."""
    recipe = replace(TASKS["sr"].training, scene_size=24, scenes=1, patch=16, batch=1)
    change_task(monkeypatch, "sr", training=recipe)
    monkeypatch.setitem(CONFIGS, "small", tiny_config)


@pytest.mark.usefixtures("tiny_training")
def test_the_model_the_record_and_a_run_that_goes_on_have_it(tmp_path: Path):
    def trained(
        name: str, init: Network | None = None, intensities: TruthScaling | None = None
    ) -> Network:
        out = tmp_path / f"{name}.safetensors"
        config = TrainingConfig("pretrain", tasks=["sr"], steps=2, intensities=intensities)
        request = TrainingRequest(out, config, init)
        training_run.train(request, WATCH)
        return load_file(out)

    assert trained("new").config.intensities == "shared"
    record = read_training_record(tmp_path / "new.safetensors.training.json")
    assert (
        "intensities shared: each truth scaled by its input's percentiles" in record.preprocessing
    )
    assert trained("as-the-paper", intensities="own").config.intensities == "own"
    assert trained("again", init=load_file(tmp_path / "new.safetensors")).config == (
        load_file(tmp_path / "new.safetensors").config
    )


@pytest.mark.usefixtures("tiny_training")
def test_a_run_does_not_go_on_with_the_other(tmp_path: Path):
    request = TrainingRequest(
        tmp_path / "m.safetensors", TrainingConfig("pretrain", ["sr"], steps=4)
    )
    state = tmp_path / "m.safetensors.state.pt"
    set_up(request.config, request.init, request.device)[0].save(state)
    own = replace(request.config, intensities="own")
    other = replace(request, config=own, resume=True)
    with pytest.raises(CheckpointError, match="intensities = 'shared', this training has own"):
        training_run.train(other, WATCH)

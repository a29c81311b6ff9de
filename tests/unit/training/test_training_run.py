"""A whole training: what it writes, how it ends, and what a resumed one is held against."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.quick_rows import few_quick
from tests.helpers.small_recipes import SMALL_RECIPES
from tests.helpers.task_rows import change_task
from unifmir.checkpoint.loading import load_file
from unifmir.cli.output import Terminated, terminated_like_ctrl_c
from unifmir.config import MultiTaskConfig, Sharing
from unifmir.errors import CheckpointError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.training import training_run
from unifmir.training.configuration import TrainingConfig
from unifmir.training.schedule import CONFIGS
from unifmir.training.training_record import read_training_record
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest

CONFIG = TrainingConfig("pretrain", ["sr"], steps=4)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tiny_config: MultiTaskConfig) -> None:
    for task, recipe in SMALL_RECIPES.items():
        change_task(monkeypatch, task, training=recipe)
    monkeypatch.setitem(CONFIGS, "small", tiny_config)
    monkeypatch.setattr(training_run, "SAVE_EVERY", 2)


def request_for(folder: Path, *, resume: bool = False) -> TrainingRequest:
    return TrainingRequest(folder / "model.safetensors", CONFIG, resume=resume)


def watch(on_step: object = None) -> TrainingCallbacks:
    def nothing(*_: object) -> None:
        pass

    return TrainingCallbacks(nothing, on_step or nothing)  # type: ignore[arg-type]  # any callable


def test_it_writes_a_model_that_loads_and_removes_the_state(tmp_path: Path) -> None:
    source = training_run.train(request_for(tmp_path), watch())
    assert source is not None
    assert source.path is not None
    network = load_file(source.path)
    assert network.kind == "multitask"
    record = read_training_record(tmp_path / "model.safetensors.training.json")
    assert record.steps == CONFIG.steps
    assert record.hours is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.safetensors",
        "model.safetensors.training.json",
    ]


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (
            {},
            "gradients clipped to a norm of 1; running average of the weights, decay 0.998, kept",
        ),
        ({"clip_norm": 0.0, "average_decay": 0.0}, "gradients not clipped; last weights kept"),
    ],
)
def test_the_record_says_how_gradients_are_clipped_and_which_weights_are_kept(
    tmp_path: Path, entries: dict[str, float], told: str
) -> None:
    config = replace(CONFIG, **entries)  # type: ignore[arg-type]  # both are numbers
    training_run.train(replace(request_for(tmp_path), config=config), watch())
    record = read_training_record(tmp_path / "model.safetensors.training.json")
    assert record.regularization == told


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_model_is_not_replaced(tmp_path: Path, resume: bool) -> None:
    source = training_run.train(request_for(tmp_path), watch())
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a finished model.*--out"):
        training_run.train(request_for(tmp_path, resume=resume), watch())
    assert source is not None
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_a_step_and_resuming_gives_the_same_model(
    tmp_path: Path, sent: signal.Signals
) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    expected = training_run.train(request_for(straight), watch())

    def interrupt(step: int, _task: str, _loss: float) -> None:
        if step == 3:
            os.kill(os.getpid(), sent)

    # Commands, which make SIGTERM an exception, are where it comes from here.
    ended = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}[sent]
    # A shell's job in the background starts with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with terminated_like_ctrl_c(), pytest.raises(ended):
            training_run.train(request_for(broken), watch(interrupt))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (broken / "model.safetensors").exists()
    with pytest.raises(CheckpointError, match="--resume"):
        training_run.train(request_for(broken), watch())
    resumed = training_run.train(request_for(broken, resume=True), watch())
    assert expected is not None
    assert resumed is not None
    assert resumed.sha256 == expected.sha256


def test_that_there_is_nothing_to_go_on_with_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training_run.train(request_for(tmp_path, resume=True), watch())
    (told,) = [record.message for record in caplog.records]
    assert "model.safetensors has no unfinished training to go on with" in told
    assert told.endswith("it begins anew")


@pytest.mark.parametrize("other", few_quick(["init", "renew", "adapters"], ["init"]))
def test_another_start_is_not_resumed(
    tmp_path: Path, tiny_config: MultiTaskConfig, other: str
) -> None:
    def started(seed: int) -> Network:
        torch.manual_seed(seed)
        return build(tiny_config)

    def interrupt(step: int, _task: str, _loss: float) -> None:
        if step == 3:  # behind the first save
            raise KeyboardInterrupt

    both = ["sr", "isotropic"]
    config = replace(CONFIG, stage="finetune", tasks=both, init="any", renew=["sr"])
    if other == "adapters":
        config = replace(config, tasks=["sr"], renew=[], adapters=2)
    request = replace(request_for(tmp_path), config=config, init=started(1))
    state = tmp_path / "model.safetensors.state.pt"
    with pytest.raises(KeyboardInterrupt):
        training_run.train(request, watch(interrupt))
    request = replace(request, resume=True)
    changed = {
        "init": replace(request, init=started(2)),
        "renew": replace(request, config=replace(config, renew=["sr", "isotropic"])),
        "adapters": replace(request, config=replace(config, adapters=3)),
    }[other]
    before = state.read_bytes()
    with pytest.raises(CheckpointError, match=r"weights it starts from \(init, renew, adapt"):
        training_run.train(changed, watch())
    assert [path.name for path in tmp_path.iterdir()] == [state.name]
    assert state.read_bytes() == before
    training_run.train(request, watch())
    assert not state.exists()


def test_epochs_are_as_many_patches_as_pairs(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=None, epochs=5, tasks=["sr", "isotropic", "sr"])
    seen: list[int] = []
    counting = replace(watch(), on_begin=seen.append)
    training_run.train(replace(request_for(tmp_path), config=config), counting)
    # Batches of 2: a turn of sr has its 2 pairs, one of isotropic more than its 1.
    assert seen == [5 * 3]


@pytest.mark.parametrize("sharing", ["body", "nothing"])
def test_one_task_s_body_is_learned_for_itself(
    tmp_path: Path, tiny_config: MultiTaskConfig, sharing: Sharing
) -> None:
    """Of a body that all share the others would be no good after; of separate ones they stay."""
    network = build(replace(tiny_config, sharing=sharing))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    config = replace(CONFIG, stage="finetune", init="any")
    training_run.train(replace(request_for(tmp_path), config=config, init=network), watch())
    found = load_file(tmp_path / "model.safetensors")
    if sharing == "body":
        assert found.task == "sr"
        assert found.config == replace(tiny_config.single("sr"), intensities="own")
        return
    state = found.state_dict()
    changed = {k.partition(".")[0] for k in state if not torch.equal(state[k], before[k])}
    assert (found.kind, changed) == ("multitask", {"sr"})


def test_adapters_are_merged_into_the_model_that_is_written(
    tmp_path: Path, tiny_config: MultiTaskConfig
) -> None:
    config = replace(CONFIG, stage="finetune", init="any", adapters=2)
    request = replace(request_for(tmp_path), config=config, init=build(tiny_config))
    training_run.train(request, watch())
    found = load_file(tmp_path / "model.safetensors")
    assert found.task == "sr"
    assert found.state_dict().keys() == build(tiny_config.single("sr")).state_dict().keys()


def test_a_single_task_model_is_not_trained_for_another(
    tmp_path: Path, tiny_config: MultiTaskConfig
) -> None:
    network = build(tiny_config.single("denoise"))
    request = replace(request_for(tmp_path), init=network)
    with pytest.raises(CheckpointError, match="restores 'denoise'"):
        training_run.train(request, watch())


@pytest.mark.parametrize("task", ["projection", "volume"])
def test_a_model_of_other_planes_than_simulated_is_refused(tmp_path: Path, task: str) -> None:
    config = replace(CONFIG, tasks=[task])
    request = replace(request_for(tmp_path), config=config)
    with pytest.raises(CheckpointError, match="simulated"):
        training_run.train(request, watch())

"""A task of which only its row is known is built, pruned, saved, loaded and inspected."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tests.helpers.checkpoint_files import same_weights, saved
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune
from unifmir.checkpoint.saving import save
from unifmir.errors import CheckpointError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks import TASKS, multitask_parts

NAME = "toy-task"


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    with TASKS.extended(NAME, "tests.toys.task:TOY_TASK"):
        yield


@pytest.fixture
def network(tiny_config) -> Network:
    torch.manual_seed(0)
    return build(replace(tiny_config.single("isotropic"), task=NAME))


def test_it_is_saved_loaded_and_inspected_as_itself(network, tmp_path):
    save(network, tmp_path / "a.safetensors")
    loaded = load_file(tmp_path / "a.safetensors")
    assert (loaded.task, loaded.config) == (NAME, network.config)
    assert same_weights(loaded, network)
    found = inspect_file(tmp_path / "a.safetensors")
    assert (found.kind, found.task, found.candidate_tasks[0]) == ("single", NAME, NAME)


def test_pruning_to_itself_copies_it_with_a_certificate(network):
    child = prune(network, NAME)
    assert same_weights(child, network)
    assert (child.certificate.task, child.certificate.dropped) == (NAME, ())
    assert all(row["identical"] for row in child.certificate.comparisons)


def test_weights_alone_are_taken_for_it_when_it_is_asked_for(network, tmp_path):
    path = saved(network.state_dict(), tmp_path)
    assert load_file(path, task=NAME).task == NAME
    assert (load_file(path).task, NAME in inspect_file(path).candidate_tasks) == ("denoise", True)


def test_the_multi_task_network_does_not_have_it(tiny_multitask):
    assert NAME not in multitask_parts()
    with pytest.raises(CheckpointError, match="multi-task network has no toy-task"):
        prune(tiny_multitask, NAME)

"""Networks of all tasks side by side in one file, and what is cut out of it again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unifmir.checkpoint.detect import detect
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.joining import join
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.pruning import prune, without_middle_group
from unifmir.checkpoint.saving import save
from unifmir.config import MultiTaskConfig, config_from_dict
from unifmir.errors import CheckpointError, ExportError
from unifmir.native.acceleration import accelerate
from unifmir.networks.base import Network
from unifmir.tasks import TASKS


@pytest.fixture(scope="module")
def joined(tiny_single: Callable[[str], Network]) -> Network:
    return join({task: tiny_single(task) for task in TASKS})


def input_of(network: Network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(1, network.config.signature.channels, 9, 17, generator=generator)


@pytest.mark.parametrize("task", TASKS)
def test_each_task_comes_out_as_it_went_in(
    task: str, joined: Network, tiny_single: Callable[[str], Network]
) -> None:
    given, child = tiny_single(task), prune(joined, task)
    assert child.config == given.config
    x = input_of(given)
    with torch.inference_mode():
        assert torch.equal(child(x), given(x))
        assert torch.equal(joined(x, task), given(x))
    assert child.certificate is not None
    assert len(child.certificate.dropped) == len(joined.state_dict()) - len(given.state_dict())


def test_it_is_saved_and_found_again_also_without_its_record(
    joined: Network, tmp_path: Path
) -> None:
    path = tmp_path / "joined.safetensors"
    save(joined, path)
    again = load_file(path)
    assert again.config == joined.config
    assert config_from_dict(joined.config.to_dict()) == joined.config
    assert inspect_file(path).kind == "multitask"
    bare = tmp_path / "bare.pt"
    torch.save(joined.state_dict(), bare)
    assert load_file(bare).config == joined.config


def test_the_official_network_says_nothing_of_sharing(tiny_multitask: Network) -> None:
    assert "sharing" not in tiny_multitask.config.to_dict()
    assert tiny_multitask.config.sharing == "body"


def test_it_keeps_the_intensities_of_tasks_that_have_any(
    tiny_single: Callable[[str], Network],
) -> None:
    networks = {task: tiny_single(task) for task in TASKS}
    for task, network in networks.items():
        if TASKS[task].normalization.invertible:
            network.config = replace(network.config, intensities="shared")
    found = join(networks).config
    assert found.intensities == "shared"
    assert found.single("volume").intensities == "own"
    networks["sr"].config = replace(networks["sr"].config, intensities="own")
    with pytest.raises(CheckpointError, match="the network for sr is not of the size"):
        join(networks)


def test_a_missing_task_and_another_size_are_named(
    tiny_config: MultiTaskConfig, tiny_single: Callable[[str], Network]
) -> None:
    from unifmir.model import build

    networks = {task: tiny_single(task) for task in TASKS}
    with pytest.raises(CheckpointError, match=r"has sr, denoise, .*; given: sr$"):
        join({"sr": networks["sr"]})
    other = replace(tiny_config, body=replace(tiny_config.body, embed_dim=32))
    networks["isotropic"] = build(other.single("isotropic"))
    with pytest.raises(CheckpointError, match="isotropic"):
        join(networks)


def test_a_file_without_one_of_the_networks_says_which(joined: Network) -> None:
    shapes = {k: tuple(v.shape) for k, v in joined.state_dict().items() if k[:3] != "sr."}
    with pytest.raises(CheckpointError, match="without its network for sr"):
        detect(shapes)


def test_all_bodies_lose_a_middle_group(tiny_config: MultiTaskConfig) -> None:
    from unifmir.model import build

    body = replace(tiny_config.body, depths=(2, 2, 2), num_heads=(4, 4, 4))
    network = build(replace(tiny_config, body=body, sharing="nothing"))
    fast = without_middle_group(network)
    for task in ("sr", "projection"):
        expected = without_middle_group(prune(network, task))
        x = input_of(expected)
        with torch.inference_mode():
            assert torch.equal(fast(x, task), expected(x))


def test_native_kernels_want_one_task(joined: Network) -> None:
    with pytest.raises(ExportError, match="prune it first"):
        accelerate(joined, precision="fp32")


def test_an_unknown_task_is_named(joined: Network) -> None:
    with pytest.raises(ValueError, match="unknown task 'deblur': sr, denoise"):
        joined(torch.zeros(1, 1, 8, 8), "deblur")

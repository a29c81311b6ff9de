"""Pruning keeps one task's weights under the official names, and its picture bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden.weights import filled
from tests.helpers.quick_rows import few_quick
from unifmir.checkpoint import pruning
from unifmir.checkpoint.detect import detect, expected_shapes
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.official import official_state_dict
from unifmir.checkpoint.pruning import is_pruned, prune, without_middle_group
from unifmir.checkpoint.saving import save
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.config import (
    BodyConfig,
    MultiTaskConfig,
    ProjectorConfig,
    ReferenceConfig,
    ViewUNetConfig,
)
from unifmir.errors import CheckpointError, ExportError, UnknownNameError
from unifmir.model import PruneCertificate, build
from unifmir.networks.base import Network
from unifmir.tasks import TASKS

GOLDEN = Path(__file__).parents[2] / "golden"


def images(network: Network, seed: int) -> torch.Tensor:
    config = network.config
    channels = config.in_channels
    if config.view_unet is not None:
        channels = config.view_unet.views
    elif config.projector is not None:
        channels = config.projector.planes
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, channels, 11, 19, generator=generator)


@pytest.mark.parametrize("task", TASKS)
def test_the_pruned_network_restores_the_same_image(task, tiny_multitask):
    child = prune(tiny_multitask, task)
    x = images(child, seed=5)
    with torch.inference_mode():
        assert torch.equal(child(x), tiny_multitask(x, task))
    assert (child.kind, child.task) == ("single", task)
    assert child.config == tiny_multitask.config.single(task)


@pytest.mark.parametrize("task", TASKS)
def test_the_pruned_keys_are_the_official_single_task_ones(task, tiny_multitask):
    child = prune(tiny_multitask, task)
    found = detect({k: tuple(v.shape) for k, v in child.state_dict().items()}, task=task)
    # The one thing that shapes do not tell: see SingleTaskConfig.
    assert replace(found, body_residual=child.config.body_residual) == child.config


@pytest.mark.parametrize(
    ("task", "renamed"),
    [
        (
            "sr",
            {
                "conv_firstsr.weight": "conv_first.weight",
                "upsamplesr.0.bias": "upsample.0.bias",
            },
        ),
        ("denoise", {"conv_firstdT.bias": "conv_first.bias"}),
        (
            "isotropic",
            {
                "conv_firstiso.bias": "conv_first.bias",
                "conv_before_upsample0.0.weight": "conv_before_upsample.0.weight",
            },
        ),
        (
            "projection",
            {
                "project.head.0.weight": "project.head.0.weight",
                "conv_firstproj.weight": "denoise.conv_first.weight",
                "layers.1.conv.weight": "denoise.layers.1.conv.weight",
                "conv_last0.bias": "denoise.conv_last.bias",
            },
        ),
        (
            "volume",
            {
                "conv_first0.conv2d.weight": "conv_first0.conv2d.weight",
                "conv_firstv.weight": "conv_first.weight",
                "conv_lastv.bias": "conv_last.bias",
            },
        ),
    ],
)
def test_keys_are_renamed_as_in_the_official_files(task, renamed, tiny_multitask):
    pruned = prune(tiny_multitask, task)
    for parent, child in renamed.items():
        assert pruned.certificate.kept[parent] == child
        assert torch.equal(pruned.state_dict()[child], tiny_multitask.state_dict()[parent])


def test_the_certificate_accounts_for_every_key_of_the_file(tiny_multitask, tmp_path):
    torch.save(official_state_dict(tiny_multitask), tmp_path / "multi.pt")
    parent = load_file(tmp_path / "multi.pt")
    child = prune(parent, "projection")
    certificate: PruneCertificate = child.certificate
    assert sorted([*certificate.kept, *certificate.dropped]) == sorted(
        official_state_dict(tiny_multitask)
    )
    assert set(certificate.kept.values()) == set(child.state_dict())
    assert certificate.parent == parent.source
    assert certificate.parameters_after == sum(p.numel() for p in child.parameters())
    assert certificate.bytes_after == sum(t.nbytes for t in child.state_dict().values())
    assert certificate.parameters_before > certificate.parameters_after
    assert certificate.child_sha256 == tensors_sha256(child.state_dict())
    again = PruneCertificate.from_dict(json.loads(json.dumps(certificate.to_dict())))
    assert again.to_dict() == certificate.to_dict()
    assert str(tmp_path) not in json.dumps(certificate.to_dict())


@pytest.mark.parametrize("task", TASKS)
def test_three_sizes_and_two_batch_sizes_are_compared(task, tiny_multitask):
    shapes = [row["input_shape"] for row in prune(tiny_multitask, task).certificate.comparisons]
    assert {shape[0] for shape in shapes} == {1, 2}
    sizes = {tuple(shape[2:]) for shape in shapes}
    assert len(sizes) == 3
    assert any(height % 2 and width % 2 for height, width in sizes)
    assert any(height != width for height, width in sizes)


def test_an_output_that_differs_is_an_error(tiny_multitask, monkeypatch):
    original = pruning.kept_keys

    def swapped(model: Network, task: str) -> dict[str, str]:
        kept = original(model, task)
        one, other = "layers.0.conv.weight", "layers.1.conv.weight"
        return {**kept, one: kept[other], other: kept[one]}

    monkeypatch.setattr(pruning, "kept_keys", swapped)
    with pytest.raises(ExportError, match=r"not the same picture.*largest difference"):
        prune(tiny_multitask, "denoise")


def test_weights_that_give_nan_are_called_unusable(tiny_multitask):
    with torch.no_grad():
        tiny_multitask.conv_last0.weight.fill_(3e38)
    with pytest.raises(ExportError, match="the parent itself gives NaN"):
        prune(tiny_multitask, "projection")


@pytest.mark.parametrize("task", TASKS)
def test_a_single_task_network_is_copied_with_a_certificate(task, tiny_single):
    network = tiny_single(task)
    child = prune(network, task)
    assert child is not network
    assert child.config == network.config
    assert child.certificate.dropped == ()
    assert child.certificate.parameters_after == child.certificate.parameters_before
    before = network.state_dict()
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[k], v) for k, v in filled(before, seed=0).items())


def test_a_network_for_denoise_is_also_one_for_isotropic_but_not_for_sr(tiny_config):
    network = build(replace(tiny_config.single("isotropic"), task="denoise"))
    assert prune(network, "isotropic").task == "isotropic"
    with pytest.raises(CheckpointError, match="single-task network for denoise or isotropic"):
        prune(network, "sr")
    with pytest.raises(UnknownNameError, match="denoise"):
        prune(network, "denois")


def test_a_network_in_training_mode_is_left_in_it(tiny_multitask):
    tiny_multitask.train()
    child = prune(tiny_multitask, "volume")
    assert all(module.training for module in tiny_multitask.modules())
    assert not any(module.training for module in child.modules())


def test_what_was_pruned_here_is_known_until_a_weight_changes(tiny_multitask, tmp_path):
    child = prune(tiny_multitask, "sr")
    assert is_pruned(child, "sr")
    assert not is_pruned(child, "denoise")
    assert not is_pruned(tiny_multitask, "sr")
    save(child, tmp_path / "sr.safetensors")
    assert not is_pruned(load_file(tmp_path / "sr.safetensors"), "sr")
    with torch.no_grad():
        next(child.parameters()).add_(1)
    assert not is_pruned(child, "sr")


def test_a_pruned_file_can_be_pruned_again(tiny_multitask, tmp_path):
    save(prune(tiny_multitask, "projection"), tmp_path / "a.safetensors")
    again = prune(load_file(tmp_path / "a.safetensors"), "projection")
    assert again.config.body_residual is False
    assert again.certificate.parent.name == "a.safetensors"


def test_every_key_of_the_official_multi_task_network_has_its_place():
    config = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig())
    with torch.device("meta"):
        parent = build(config)
    used: set[str] = set()
    for task in TASKS:
        kept = pruning.kept_keys(parent, task)
        assert set(kept.values()) == set(expected_shapes(config.single(task)))
        used |= set(kept)
    assert used == set(parent.state_dict())


def deeper(config: MultiTaskConfig, groups: int) -> MultiTaskConfig:
    """The same with groups that are all unlike, so that none can stand for another."""
    depths = tuple(1 + index % 3 for index in range(groups))
    heads = tuple((4, 2, 8)[index % 3] for index in range(groups))
    return replace(config, body=replace(config.body, depths=depths, num_heads=heads))


@pytest.mark.parametrize(
    ("task", "groups", "kept"),
    few_quick(
        [(task, *one) for task in TASKS for one in ((2, [0]), (3, [0, 2]), (4, [0, 1, 3]))],
        [(task, 3, [0, 2]) for task in TASKS] + [("sr", 2, [0]), ("denoise", 4, [0, 1, 3])],
    ),
)
def test_the_fast_variant_skips_the_middle_group(task, groups, kept, tiny_config, monkeypatch):
    network = build(deeper(tiny_config, groups).single(task))
    network.load_state_dict(filled(network.state_dict(), seed=0))
    fast = without_middle_group(network)
    assert (fast.kind, fast.task, fast.certificate) == ("single", task, None)
    before = network.config.body
    assert fast.config.body.depths == tuple(before.depths[index] for index in kept)
    assert fast.config.body.num_heads == tuple(before.num_heads[index] for index in kept)
    x = images(fast, seed=5)
    with torch.inference_mode():
        actual = fast(x)
        whole = network(x)
        # The middle group as one that gives back what it gets.
        start = "denoise." if task == "projection" else ""
        middle = network.get_submodule(f"{start}layers.{groups // 2}")
        monkeypatch.setattr(middle, "forward", lambda y, _place: y)
        assert torch.equal(actual, network(x))
    assert not torch.equal(actual, whole)


def test_the_fast_variant_shares_weights_and_can_be_saved(tiny_multitask, tmp_path):
    save(tiny_multitask, tmp_path / "all.safetensors")
    network = load_file(tmp_path / "all.safetensors")
    before = set(network.state_dict())
    fast = without_middle_group(network)
    assert fast.kind == "multitask"
    assert fast.source == network.source
    assert set(network.state_dict()) == before
    own = {parameter.data_ptr() for parameter in network.parameters()}
    assert all(parameter.data_ptr() in own for parameter in fast.parameters())
    save(prune(fast, "sr"), tmp_path / "fast.safetensors")
    assert load_file(tmp_path / "fast.safetensors").config.body.depths == (2,)


def test_what_has_no_middle_group_is_refused(tiny_single, tiny_config):
    with pytest.raises(CheckpointError, match="care has no residual groups"):
        without_middle_group(build(ReferenceConfig("care", "denoise")))
    with pytest.raises(CheckpointError, match="found 1"):
        without_middle_group(build(deeper(tiny_config, 1).single("sr")))
    network = tiny_single("sr")
    network.config = None
    with pytest.raises(CheckpointError, match="no configuration"):
        without_middle_group(network)


@pytest.mark.slow
# The file alone takes most of 17 s to make. Above, pruning is exact in every task, and
# tests/golden/test_parity.py has the official pictures of full-size networks.
@pytest.mark.long
def test_the_official_multi_task_file_prunes_to_the_official_picture(tmp_path):
    cases = json.loads((GOLDEN / "parity" / "index.json").read_text("utf-8"))
    wanted = [c for c in cases if c.get("task") in ("sr", "projection")]
    network = build(MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig()))
    network.load_state_dict(filled(network.state_dict(), wanted[0]["seed"]))
    torch.save(official_state_dict(network), tmp_path / "model_best.pt")
    del network
    parent = load_file(tmp_path / "model_best.pt")
    assert len(wanted) == 2
    for case in wanted:
        save(prune(parent, case["task"]), tmp_path / "pruned.safetensors")
        child = load_file(tmp_path / "pruned.safetensors")
        noise = np.random.default_rng(case["seed"]).random(case["input_shape"]).astype(np.float32)
        with torch.inference_mode():
            actual = child(torch.from_numpy(noise)).numpy()
        with np.load(GOLDEN / "parity" / case["file"]) as stored:
            expected = stored[f"output{len(case['outputs']) - 1}"]
        # The official multi-task network does not crop what it padded.
        expected = expected[..., : actual.shape[-2], : actual.shape[-1]]
        assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()

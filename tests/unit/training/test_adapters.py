"""Low-rank adapters: nothing changes at first, few weights are trained, merging keeps sums."""

from copy import deepcopy

import pytest
import torch

from unifmir.config import MultiTaskConfig
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.training.adapters import adapted_layers, add_adapters, merge_adapters

RANK = 2


@pytest.fixture
def plain(tiny_config: MultiTaskConfig) -> Network:
    torch.manual_seed(0)
    return build(tiny_config.single("sr")).eval()


def restored(network: Network) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = network(torch.linspace(0, 1, 256).reshape(1, 1, 16, 16))
    return out


def test_at_first_the_network_gives_what_it_gave(plain: Network) -> None:
    adapted = deepcopy(plain)
    add_adapters(adapted, RANK)
    assert torch.equal(restored(adapted), restored(plain))


def test_of_the_body_the_adapters_alone_are_trained(plain: Network) -> None:
    ends = {"conv_first", "conv_before_upsample", "upsample", "conv_last"}
    add_adapters(plain, RANK)
    trained = {name for name, value in plain.named_parameters() if value.requires_grad}
    body = {name for name in trained if name.split(".")[0] not in ends}
    assert {name.split(".")[-1] for name in body} == {"down", "up"}
    assert len(body) == 2 * len(adapted_layers(plain))
    assert trained - body


def test_merged_equals_unmerged_and_is_a_network_like_any_other(plain: Network) -> None:
    adapted = deepcopy(plain)
    add_adapters(adapted, RANK)
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if name.endswith(".up"):
                value.normal_(std=0.05)
    expected = restored(adapted)
    merged = deepcopy(adapted)
    merge_adapters(merged)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert (restored(merged) - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert (expected - restored(plain)).abs().max() > 1e-3 * expected.abs().max()
    change = merged.get_parameter("conv_after_body.weight") - plain.get_parameter(
        "conv_after_body.weight"
    )
    assert int(torch.linalg.matrix_rank(change.flatten(1), rtol=1e-3)) == RANK

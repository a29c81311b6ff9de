"""The conventions give the paper's figures to the last integer operation."""

from functools import cache

import pytest
import torch
from torch import nn

from unifmir.config import ReferenceConfig
from unifmir.cost.meta_device import meta_network
from unifmir.cost.paper.conventions import CONVENTIONS, count_in
from unifmir.cost.paper.recipes import FULL
from unifmir.networks.base import Network


@cache
def single(task: str) -> Network:
    """The paper's single-task network, without weights."""
    return meta_network(FULL.single(task))


def reference(name: str, task: str, **options: int) -> Network:
    """A reference model, without weights."""
    return meta_network(ReferenceConfig(name, task, tuple(sorted(options.items()))))


@pytest.mark.parametrize(
    ("task", "shape", "convention", "repeats", "operations"),
    [
        ("sr", (1, 1, 128, 128), "A", 1, 44_069_552_128),
        ("denoise", (41, 5, 160, 128), "B", 32, 40_002_973_204_480),
        ("isotropic", (188, 1, 188, 301), "B", 16, 260_816_431_153_152),
        ("volume", (1, 121, 15, 15), "B", 16, 1_521_267_083_264),
        ("sr", (4, 1, 128, 128), "C", 1, 102_043_090_944),
        ("denoise", (32, 5, 64, 64), "C", 1, 199_565_770_752),
        ("isotropic", (32, 1, 64, 64), "C", 1, 199_141_097_472),
        ("projection", (4, 50, 64, 64), "C", 1, 1_287_927_595_008),
        ("volume", (1, 121, 16, 16), "C", 1, 96_146_566_656),
    ],
)
def test_the_papers_networks(task, shape, convention, repeats, operations):
    assert count_in(convention, single(task), shape).operations * repeats == operations


def test_the_papers_vcd_net_reads_views_that_are_not_padded():
    network = reference("vcd-net", "volume")
    assert count_in("B", network, (1, 121, 15, 15)).operations * 16 == 625_710_022_656
    assert count_in("C", network, (1, 121, 16, 16)).operations == 44_601_635_328


@pytest.mark.parametrize(
    ("name", "convention", "batch", "gflops"),
    [
        ("enlcn", "B", 1, 3.2580),
        ("enlcn", "C", 4, 12.9793),
        ("dfcan", "B", 1, 31.5098),
        ("dfcan", "C", 4, 125.8166),
        ("care-2d", "B", 1, 1.3674),
    ],
)
def test_reference_models_for_super_resolution(name, convention, batch, gflops):
    count = count_in(convention, reference(name, "sr"), (batch, 1, 128, 128))
    assert round(count.operations / 1e9, 4) == gflops


def test_conventions_a_and_b_differ_only_in_linear_layers():
    shape = (1, 1, 64, 64)
    for name in ("enlcn", "dfcan", "care-2d"):
        network = reference(name, "sr")
        a, b = (count_in(c, network, shape).operations for c in "AB")
        assert a == b
    first, second = (count_in(c, single("denoise"), (1, 5, 64, 64)).by_layer for c in "AB")
    assert first.pop("Linear") == 2 * second.pop("Linear")
    assert first == second


def test_the_variant_of_gvtnets_that_was_made_to_fit():
    port = reference("gvtnets", "denoise", paper_port=1)
    # 485 745 operations a voxel explain both of the paper's figures.
    assert count_in("B", port, (32, 1, 16, 64, 64)).operations == 485_745 * 32 * 16 * 64 * 64
    assert round(485_745 * 41 * 160 * 128 * 32 / 1e9) == 13_052
    assert sum(p.numel() for p in port.parameters()) == 1_491_489


@pytest.mark.parametrize(
    ("channels", "convention", "per_pixel"),
    [(1, "A", 2_651_933), (1, "B", 1_485_533), (1, "C", 1_519_326), (5, "B", 1_488_773)],
)
def test_operations_a_pixel_of_the_swin_networks(channels, convention, per_pixel):
    network = single("denoise" if channels == 5 else "isotropic")
    for height, width in ((8, 8), (64, 72)):
        count = count_in(convention, network, (2, channels, height, width))
        assert count.operations == per_pixel * 2 * height * width


@pytest.mark.parametrize(("convention", "per_pixel"), [("B", 77_126_273), ("C", 77_089_536)])
def test_operations_a_pixel_of_the_projecting_network(convention, per_pixel):
    projector = single("projection").get_submodule("project")
    assert count_in(convention, projector, (1, 50, 30, 20)).operations == per_pixel * 600


def test_layers_that_are_free_in_one_convention_and_not_in_another():
    by_layer = {c: count_in(c, single("denoise"), (1, 5, 8, 8)).by_layer for c in CONVENTIONS}
    assert by_layer["A"]["LeakyReLU"] == by_layer["B"]["LeakyReLU"] == 32 * 64
    assert "LeakyReLU" not in by_layer["C"]
    # 3 n - 1 for each of 6 heads and 18 blocks, and 4 for each of 38 layer norms of 90 channels.
    assert by_layer["C"]["WindowAttention"] == 20_628 * 64
    assert by_layer["C"]["LayerNorm"] == 13_680 * 64
    assert {"WindowAttention", "LayerNorm"}.isdisjoint(by_layer["A"])


def test_a_transposed_convolution_is_counted_on_its_output():
    layer = nn.ConvTranspose2d(3, 5, 2, stride=2)
    assert count_in("C", layer, (1, 3, 4, 4)).operations == 8 * 8 * 5 * 3 * 4
    assert count_in("B", layer, (1, 3, 4, 4)).operations == 8 * 8 * 5 * (3 * 4 + 1)


def test_grouped_and_biasless_layers():
    grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)
    assert count_in("A", grouped, (1, 8, 5, 5)).operations == 25 * 8 * 9 * 2
    linear = nn.Linear(10, 3, bias=False)
    assert [count_in(c, linear, (7, 10)).operations for c in "ABC"] == [7 * 3 * 19, 210, 210]


def test_a_subclass_has_no_rule():
    class Shift(nn.Conv2d):
        pass

    assert count_in("A", Shift(1, 1, 1), (1, 1, 4, 4)).operations == 0


def test_batch_norm_softmax_and_nearest_upsampling():
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.Softmax(dim=1), nn.Upsample(scale_factor=2.0))
    x = (2, 3, 4, 4)
    assert count_in("B", layers, x).by_layer == {"BatchNorm2d": 2 * 96}
    expected = {"BatchNorm2d": 4 * 96, "Softmax": 32 * 8, "Upsample": 4 * 96}
    assert count_in("C", layers, x).by_layer == expected


def test_the_module_is_left_as_it_was():
    layer = nn.Conv2d(1, 1, 3).train()
    before = layer.weight.detach().clone()
    count_in("A", layer, (1, 1, 8, 8))
    assert layer.training
    assert not layer._forward_hooks
    assert torch.equal(layer.weight, before)
    assert set(dict(layer.named_buffers())) == set()

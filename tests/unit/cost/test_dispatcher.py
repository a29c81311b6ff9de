"""Counting by running without values: everything is counted, or named as not counted."""

import pytest
import torch
from torch import Tensor, nn

from unifmir.cost.bit_operations import bops
from unifmir.cost.dispatcher import count_dispatched
from unifmir.cost.mac_kinds import sums
from unifmir.cost.meta_device import meta_network
from unifmir.cost.paper.recipes import FULL
from unifmir.model import image_interface
from unifmir.tasks import TASKS


class Products(nn.Module):
    """Products in many spellings."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 8, 8)."""
        x = torch.einsum("nij,njk->nik", x, x)
        x = torch.baddbmm(x, x, x)
        x = nn.functional.scaled_dot_product_attention(x, x, x)
        out: Tensor = x @ self.weight
        return out


def test_spellings_of_products_are_counted_and_weights_told_from_activations():
    found = count_dispatched(Products(), (3, 8, 8))
    one = 3 * 8 * 8 * 8
    assert found.by_kind() == {"conv": 0, "linear": one, "product": 4 * one}
    assert found.flops == 2 * found.macs
    assert found.unknown == ()


class Spectrum(nn.Module):
    """Transforms of real and of complex data."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 16)."""
        out: Tensor = torch.fft.irfft(torch.fft.fft(torch.fft.rfft(x)))
        return out


def test_fourier_transforms_are_named_and_not_in_the_total():
    found = count_dispatched(Spectrum(), (2, 16))
    assert found.macs == 0
    assert set(found.unknown) >= {"aten._fft_c2c", "aten._fft_c2r"}


class Solver(nn.Module):
    """An operation that no one has a formula for."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 4, 4)."""
        out: Tensor = torch.linalg.inv(x)
        return out


def test_an_operation_without_formula_is_named():
    assert count_dispatched(Solver(), (2, 4, 4)).unknown


def test_each_operation_belongs_to_the_module_that_ran_it(tiny_single):
    network = tiny_single("denoise")
    found = count_dispatched(network, (1, 5, 16, 16))
    by_module = sums((row.module, row.macs) for row in found.rows)
    names = {name for name, _ in network.named_modules()}
    assert set(by_module) <= names
    assert sum(by_module.values()) == found.macs
    # The products of attention are its own, its layers have theirs.
    attention = "layers.0.residual_group.blocks.0.attn"
    pixels, width, window = 256, 24, 64
    assert by_module[attention] == 2 * pixels * window * width
    assert by_module[f"{attention}.qkv"] == 3 * pixels * width**2


@pytest.mark.slow
def test_a_network_of_any_size_costs_no_memory_and_is_left_alone():
    network = meta_network(FULL.single("projection"))
    # 10^6 x 10^6 pixels: no value of it could be held.
    found = count_dispatched(network, (1, 50, 1_000_000, 1_000_000))
    assert found.macs > 10**19
    assert not network._forward_hooks
    assert not network._forward_pre_hooks


@pytest.mark.parametrize("task", TASKS)
def test_weights_stay_where_they_are(task, tiny_single):
    network = tiny_single(task)
    before = {key: (entry.data_ptr(), entry.device) for key, entry in network.state_dict().items()}
    found = count_dispatched(network, (1, network.config.signature.channels, 16, 16))
    after = {key: (entry.data_ptr(), entry.device) for key, entry in network.state_dict().items()}
    assert before == after
    assert found.macs == sum(found.by_kind().values())
    assert found.unknown == ()


def test_an_image_interface_is_counted_too(tiny_single):
    network = tiny_single("denoise")
    stack = count_dispatched(image_interface(network), (1, 1, 7, 16, 16))
    assert stack.macs == 7 * count_dispatched(network, (1, 5, 16, 16)).macs
    assert bops(image_interface(network), (1, 1, 7, 16, 16)).bops == stack.macs * 1024

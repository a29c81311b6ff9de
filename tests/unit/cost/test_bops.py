"""Bit operations: bits of one operand times bits of the other, island by island."""

from fractions import Fraction

import pytest
import torch

from unifmir.cost.bit_operations import bops, count_bops, paper_bops
from unifmir.cost.dispatcher import count_dispatched
from unifmir.errors import UnknownNameError
from unifmir.model import image_interface
from unifmir.precision.planning import plan_precision

SHAPE = (1, 5, 16, 24)


def test_one_precision_for_all(tiny_single):
    count = count_dispatched(tiny_single("denoise"), SHAPE)
    kinds = count.by_kind()
    weighted = kinds["conv"] + kinds["linear"]
    assert count_bops(count, "fp32").bops == count.macs * 32 * 32
    for low in ("fp16", "bf16"):
        assert count_bops(count, low).bops == count.macs * 16 * 16
        # Weights in two bytes, activations in four: where two of them meet nothing is saved.
        stored = count_bops(count, low, "stored")
        assert stored.bops == weighted * 16 * 32 + kinds["product"] * 32 * 32
        assert stored.low_share == weighted / count.macs


def test_the_islands_of_a_plan_are_counted_in_full(tiny_single):
    network = tiny_single("projection")
    plan = plan_precision(network, "fp16", [torch.rand(1, 6, 16, 24)])
    count = count_dispatched(network, (1, 6, 16, 24))
    assert plan.islands
    full = sum(row.macs for row in count.rows if row.module in plan.islands)
    assert 0 < full < count.macs
    found = bops(network, (1, 6, 16, 24), recipe=plan.recipe)
    assert found.precision == "fp16"
    assert found.bops == full * 32 * 32 + (count.macs - full) * 16 * 16
    assert sum(found.by_kind.values()) == found.bops == found.to_dict()["bops"]


def test_a_plan_of_the_network_holds_for_its_image_interface(tiny_single):
    network = tiny_single("denoise")
    plan = plan_precision(network, "fp16", [torch.rand(SHAPE)])
    stack = bops(image_interface(network), (1, 1, 3, 16, 24), recipe=plan.recipe)
    assert stack.bops == 3 * bops(network, SHAPE, recipe=plan.recipe).bops


def test_the_papers_bit_operations():
    # 44.0695 GFLOPs: 45.1272 T in float32, 11.2818 T in float16.
    assert paper_bops(44_069_552_128, 32) == Fraction(44_069_552_128 * 1024, 10**12)
    assert round(float(paper_bops(44_069_552_128, 16)), 4) == 11.2818


def test_an_unknown_precision_is_refused(tiny_single):
    with pytest.raises(UnknownNameError, match="fp8"):
        bops(tiny_single("sr"), (1, 1, 8, 8), "fp8")

"""Window attention with gradients in C: what the network does written out, to rounding."""

from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.helpers.native_marks import every_compiler
from unifmir.native import window_attention
from unifmir.native.compilers import NoCompilerError
from unifmir.native.window_attention import attention_in_c
from unifmir.networks.swin import SwinBlock, shift_mask

ROUNDING = 3e-6
"""Of the largest value: sums of 64 products in another order, and an exponential of 2e-7."""


def make_block(width: int, heads: int, *, shifted: bool, window: int = 8) -> SwinBlock:
    torch.manual_seed(0)
    block = SwinBlock(width, heads, window, 2 * width, shifted)
    torch.nn.init.normal_(block.attn.relative_position_bias_table)
    return block


def gradients(block: SwinBlock, x: Tensor) -> dict[str, Tensor]:
    """Result and all gradients of a block, for a fixed gradient of the result."""
    block.zero_grad()
    x = x.clone().requires_grad_()
    out = block.restore_image(x, shift_mask(x.shape[1], x.shape[2], block.window_size, x.device))
    # A gradient without structure: sums over pixels of a smooth one cancel, and magnify rounding.
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(1)))
    found = {name: value.grad for name, value in block.named_parameters()}
    return {"out": out.detach(), "x": x.grad, **found}  # type: ignore[dict-item]  # all have one


@every_compiler
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(
    ("width", "heads", "shape"), [(32, 4, (2, 16, 24)), (90, 6, (1, 24, 16)), (6, 2, (1, 8, 8))]
)
def test_result_and_gradients_are_those_of_the_block(
    width: int, heads: int, shape: tuple[int, int, int], shifted: bool
) -> None:
    block = make_block(width, heads, shifted=shifted)
    x = torch.randn(*shape, width)
    expected = gradients(block, x)
    with attention_in_c(block) as is_used:
        found = gradients(block, x)
    assert is_used
    for name, value in expected.items():
        error = float((found[name] - value).abs().max() / value.abs().max())
        assert error < ROUNDING, (name, error)


@every_compiler
def test_in_bf16_it_is_as_close_as_bf16_is() -> None:
    block = make_block(32, 4, shifted=True)
    x = torch.randn(1, 16, 24, 32)
    expected = gradients(block, x)
    with attention_in_c(block), torch.autocast("cpu", torch.bfloat16):
        found = gradients(block, x)
    for name, value in expected.items():
        assert float((found[name] - value).norm() / value.norm()) < 0.02, name


def test_other_windows_and_machines_without_a_compiler_keep_their_own_way() -> None:
    block = make_block(8, 2, shifted=True, window=4)
    with attention_in_c(block) as is_used:
        assert not is_used
    block = make_block(8, 2, shifted=True)
    missing = patch.object(window_attention, "load_library", side_effect=NoCompilerError)
    told = patch.object(window_attention, "warn_without_compiler")
    with missing, told as warned, attention_in_c(block) as is_used:
        assert not is_used
        warned.assert_called_once_with()
        assert "_attend" not in block.__dict__


def test_the_network_is_as_it_was_afterwards() -> None:
    block = make_block(8, 2, shifted=False)
    with pytest.raises(ValueError, match="multiples of 8 pixels"), attention_in_c(block):
        block(torch.zeros(1, 7, 8, 8), torch.zeros(1))
    assert "_attend" not in block.__dict__

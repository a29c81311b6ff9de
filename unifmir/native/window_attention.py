"""Window attention with gradients in C, for training on the CPU.

Computes what `SwinBlock` does written out, to rounding, and keeps the maps of the attention in the
cache: of a training step of the embedded model, more than half was spent on moving them.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import e, log2
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unifmir.errors import ExportError, MissingExtraError
from unifmir.native.compilation import AttentionShape, load_library
from unifmir.native.compilers import NoCompilerError, warn_without_compiler
from unifmir.native.packing import WINDOW
from unifmir.networks.swin import SwinBlock

MAX_HEAD_WIDTH = 64
"""Channels of a head that attention.c has room for."""
_TYPES = (torch.float32, torch.bfloat16)


class WindowAttentionInC(torch.autograd.Function):
    """Attention of the windows of images; gradients of everything but the shift."""

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Float[Tensor, "n h w c"],
        bias: Float[Tensor, "heads p p"],
        shift: int,
    ) -> Float[Tensor, "n h w e"]:
        """Attend within the windows.

        Parameters
        ----------
        qkv : Tensor, shape (N, H, W, 3 * heads * width), float32 or bfloat16
            Queries, keys and values, of any real value; H and W multiples of the window.
        bias : Tensor, shape (heads, pixels, pixels), float32
            Added to the scores of (query, key).
        shift : int
            Pixels that the windows are shifted by; 0: as they lie.

        Returns
        -------
        Tensor, shape (N, H, W, heads * width), dtype of `qkv`

        Raises
        ------
        ValueError
            The image is not made of windows, or the channels not of heads.
        """
        qkv = qkv.contiguous()
        images, height, width, channels = qkv.shape
        heads = bias.shape[0]
        if height % WINDOW or width % WINDOW or channels % (3 * heads):
            raise ValueError(
                f"{height} x {width} pixels of {channels} channels and {heads} heads; expected "
                f"multiples of {WINDOW} pixels, and of 3 times the heads"
            )
        by_key = (bias.detach().float() * log2(e)).transpose(1, 2).contiguous()
        shape = AttentionShape(
            images, height, width, heads, channels // 3 // heads, shift,
            qkv.dtype == torch.bfloat16,
        )  # fmt: skip
        out = qkv.new_empty(images, height, width, channels // 3)
        load_library().attend_images(
            ctypes.byref(shape), qkv.data_ptr(), by_key.data_ptr(), out.data_ptr(), _work()
        )
        ctx.save_for_backward(qkv, by_key)
        ctx.shape = shape
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of `forward`'s arguments, from that of its result.

        Each has the shape and dtype of its argument, and is unbounded (range), without a unit.
        """
        qkv, by_key = ctx.saved_tensors
        grad = grads[0].to(qkv.dtype).contiguous()
        grad_qkv, grad_bias = torch.empty_like(qkv), torch.zeros_like(by_key)
        load_library().attend_images_back(
            ctypes.byref(ctx.shape), qkv.data_ptr(), by_key.data_ptr(), grad.data_ptr(),
            grad_qkv.data_ptr(), grad_bias.data_ptr(), _work(),
        )  # fmt: skip
        return grad_qkv, grad_bias.transpose(1, 2), None


def _work() -> ctypes.Array[ctypes.c_char]:
    """Memory that a call computes in, 170 kB."""
    return ctypes.create_string_buffer(load_library().attention_work())


@contextmanager
def attention_in_c(network: nn.Module) -> Iterator[bool]:
    """Let the Swin blocks of a network attend in C where they can, until the end of the block.

    Parameters
    ----------
    network : module
        Changed and brought back.

    Yields
    ------
    bool
        Whether any block does; False without a C compiler, on other devices, and for windows other
        than 8 pixels.
    """
    blocks = [block for block in network.modules() if isinstance(block, SwinBlock) and _fits(block)]
    try:
        load_library()
    except (MissingExtraError, ExportError) as error:
        if blocks and isinstance(error, NoCompilerError):
            warn_without_compiler()
        blocks = []
    for block in blocks:
        block.__dict__["_attend"] = partial(_attend, block)
    try:
        yield bool(blocks)
    finally:
        for block in blocks:
            del block.__dict__["_attend"]


def _fits(block: SwinBlock) -> bool:
    weight = block.attn.qkv.weight
    return (
        block.window_size == WINDOW
        and block.attn.head_dim <= MAX_HEAD_WIDTH
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
    )


def _attend(block: SwinBlock, x: Tensor, _mask: Tensor) -> Tensor:
    """Attend as `SwinBlock._attend` does; the kernel knows the masks."""
    attention = block.attn
    qkv = attention.qkv(x)
    out: Tensor = WindowAttentionInC.apply(qkv, attention.bias(), block.shift)  # type: ignore[no-untyped-call]  # torch leaves it out
    result: Tensor = attention.proj(out)
    return result

"""The graph that is exported: the Swin body written with fewer copies, the same function.

Tracing writes down what a module does. For the length of a trace the Swin modules do it as the
runtimes want it: one gather takes the tokens from the windows of one block to those of the next,
where rolling, partitioning and undoing both copy them four times; batch and windows are one axis,
so that shapes are constants; the position bias is a constant. What the modules hold is not
touched, and their hooks run, so that the casts of a precision plan are traced as well.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from unifmir.networks.swin import (
    ResidualGroup,
    SwinBlock,
    SwinBody,
    WindowAttention,
    relative_position_index,
    shift_mask,
)

IMAGE, REGULAR, SHIFTED = "image", "regular", "shifted"
"""Orders of the tokens: row by row; window by window; window by window of the shifted image."""


class _Places:
    """Positions of tokens in each order, and the mask of shifted windows; computed in the graph.

    Not a tensor and not a tuple, so that the hooks of a precision plan pass it on as it is.
    """

    def __init__(self, images: Tensor, window: int) -> None:
        batch, _, height, width = images.shape
        self.pixels = window**2
        shift = window // 2
        rows, columns = height // window, width // window
        tokens = torch.arange(batch * height * width, device=images.device)
        image = tokens.reshape(batch, height, width)

        def in_windows(index: Tensor) -> Tensor:
            grid = index.reshape(batch, rows, window, columns, window)
            return grid.permute(0, 1, 3, 2, 4).reshape(-1)

        back = tokens.reshape(batch, rows, columns, window, window).permute(0, 1, 3, 2, 4)
        unrolled = back.reshape(batch, height, width).roll((shift, shift), (1, 2))
        self._reads = {
            REGULAR: in_windows(image),
            SHIFTED: in_windows(image.roll((-shift, -shift), (1, 2))),
        }
        self._lies = {REGULAR: back.reshape(-1), SHIFTED: unrolled.reshape(-1)}
        self._moves: dict[tuple[str, str], Tensor] = {}
        mask = shift_mask(height, width, window, images.device)
        # The batch is part of the windows' axis, so every image needs a mask of its own.
        copies = mask.unsqueeze(0).expand(batch, -1, -1, -1, -1)
        self.mask = copies.reshape(-1, 1, self.pixels, self.pixels)

    def move(self, x: Tensor, source: str, target: str) -> Tensor:
        """Tokens (windows, pixels, embed_dim) in another order."""
        if source == target:
            return x
        if (source, target) not in self._moves:
            # Computed once a graph, however many blocks make this move.
            if source == IMAGE:
                index = self._reads[target]
            elif target == IMAGE:
                index = self._lies[source]
            else:
                index = self._lies[source].index_select(0, self._reads[target])
            self._moves[source, target] = index
        channels = x.shape[-1]
        moved = x.reshape(-1, channels).index_select(0, self._moves[source, target])
        return moved.reshape(-1, self.pixels, channels)


def _enhance(body: SwinBody, features: Tensor, residual: bool) -> Tensor:
    """`SwinBody.enhance`."""
    places = _Places(features, body.window_size)
    tokens = body.patch_embed.norm(_to_tokens(features, places.pixels))
    for group in body.layers:
        tokens = group(tokens, places, features)
    enhanced: Tensor = body.conv_after_body(_to_images(body.norm(tokens), features))
    return enhanced + features if residual else enhanced


def _group(group: ResidualGroup, tokens: Tensor, places: _Places, features: Tensor) -> Tensor:
    """`ResidualGroup.forward` of (windows, pixels, embed_dim) in image order."""
    y, order = tokens, IMAGE
    for block in group.residual_group.blocks:
        wanted = SHIFTED if block.shift else REGULAR
        y, order = places.move(y, order, wanted), wanted
        y = block(y, places)
    images = group.conv(_to_images(places.move(y, order, IMAGE), features))
    return tokens + _to_tokens(images, places.pixels)


def _block(block: SwinBlock, x: Tensor, places: _Places) -> Tensor:
    """`SwinBlock.forward` of (windows, pixels, embed_dim) in the order of the block's windows."""
    x = x + block.attn(block.norm1(x), places.mask if block.shift else None)
    out: Tensor = x + block.mlp(block.norm2(x))
    return out


def _attention(bias: Tensor) -> Callable[..., Tensor]:
    """`WindowAttention.forward` with a constant (1, heads, pixels, pixels) as position bias."""

    def forward(attention: WindowAttention, x: Tensor, mask: Tensor | None) -> Tensor:
        heads, width, pixels = attention.num_heads, attention.head_dim, bias.shape[-1]
        channels = heads * width
        query, key, value = (
            part.reshape(-1, pixels, heads, width).permute(0, 2, 1, 3)
            for part in attention.qkv(x).split(channels, dim=-1)
        )
        if query.dtype == torch.float32:
            # One factor of the product: runtimes multiply by it as they store the scores.
            scores = (query @ key.transpose(-2, -1)) * width**-0.5
        else:
            # Before the product, as the precision was accepted: 16 bits overflow otherwise.
            scores = (query * width**-0.5) @ key.transpose(-2, -1)
        # Never their sum, which is as large as the scores where sizes are known.
        scores = scores + bias.to(scores.dtype)
        if mask is not None:
            scores = scores + mask.to(scores.dtype)
        attended = scores.softmax(dim=-1) @ value
        out: Tensor = attention.proj(attended.transpose(1, 2).reshape(-1, pixels, channels))
        return out

    return forward


def _to_tokens(images: Tensor, pixels: int) -> Tensor:
    """(N, C, H, W) -> (N * H * W / pixels, pixels, C), row by row."""
    return images.permute(0, 2, 3, 1).reshape(-1, pixels, images.shape[1])


def _to_images(tokens: Tensor, like: Tensor) -> Tensor:
    """Images of tokens, undoing `_to_tokens`; batch and sides are those of `like`."""
    batch, _, height, width = like.shape
    return tokens.reshape(batch, height, width, tokens.shape[-1]).permute(0, 3, 1, 2)


def _constant_bias(attention: WindowAttention) -> Tensor:
    """The position bias of each pair of pixels, (1, heads, pixels, pixels), out of any trace."""
    table = attention.relative_position_bias_table.detach()
    window = (round(table.shape[0] ** 0.5) + 1) // 2
    index = relative_position_index(window).to(table.device)
    return table[index].permute(2, 0, 1).unsqueeze(0).contiguous()


def _replacement(module: nn.Module) -> tuple[str, Callable[..., Any]] | None:
    if isinstance(module, WindowAttention):
        return "forward", _attention(_constant_bias(module))
    for kind, name, function in (
        (SwinBody, "enhance", _enhance),
        (ResidualGroup, "forward", _group),
        (SwinBlock, "forward", _block),
    ):
        if isinstance(module, kind):
            return name, function
    return None


@contextmanager
def patched_for_export(module: nn.Module) -> Iterator[None]:
    """Within the block the Swin modules inside `module` compute as an exported graph should.

    The same function up to the order of additions. Modules that are not of the Swin body, so all
    reference models, are left alone.
    """
    patched: list[tuple[nn.Module, str]] = []
    try:
        for child in module.modules():
            if found := _replacement(child):
                name, function = found
                # On the instance, where it hides the method of the class.
                setattr(child, name, MethodType(function, child))
                patched.append((child, name))
        yield
    finally:
        for child, name in patched:
            delattr(child, name)

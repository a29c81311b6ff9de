"""The Swin body written the plain way: the reference that the fast one is held against.

One operation after the other as the paper and the facts of the official files describe them, with
nothing done for speed. Tests compare pictures and gradients with it; the runtime `plain` computes
in the same way, and is what benchmarks compare with. The keys are those of `unifmir.networks.swin`,
so that weights go over as they are.

Sources: Ma et al., Nature Methods 2024, Methods ("Network architectures", equation 1) and
Extended Data Fig. 2; Liu et al., ICCV 2021 (shifted windows).
"""

from copy import deepcopy
from types import MethodType
from typing import TypeVar

import torch
from torch import Tensor, nn

from unifmir.networks import swin

MASKED = -100.0
"""Added to the attention between pixels that the cyclic shift made neighbours."""
_Module = TypeVar("_Module", bound=nn.Module)


def shift_mask(height: int, width: int, window: int, device: torch.device) -> Tensor:
    """Attention mask of the shifted windows of an image.

    Parameters
    ----------
    height, width : int
        Padded image size in pixels, multiples of `window`.

    Returns
    -------
    Tensor, shape (windows, 1, window**2, window**2), float32
        0 where two pixels of a window were neighbours before the shift, -100 elsewhere.
    """
    shift = window // 2
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    row_region = (rows >= height - window).int() + (rows >= height - shift).int()
    column_region = (columns >= width - window).int() + (columns >= width - shift).int()
    region = row_region[:, None] * 3 + column_region[None, :]
    region = region.reshape(height // window, window, width // window, window)
    region = region.permute(0, 2, 1, 3).reshape(-1, 1, window * window)
    return ((region != region.transpose(1, 2)).float() * MASKED).unsqueeze(1)


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of pixels of a window: int64, (window**2, window**2)."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a relative position bias (equation 1)."""

    relative_position_index: Tensor

    def __init__(self, embed_dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        table = torch.zeros((2 * window_size - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        index = relative_position_index(window_size)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window.

        Parameters
        ----------
        x : Tensor, shape (N, windows, pixels, embed_dim)
        mask : Tensor, shape (windows, 1, pixels, pixels), or None
        """
        qkv = self.qkv(x)
        qkv = qkv.unflatten(-1, (3, self.num_heads, self.head_dim)).permute(3, 0, 1, 4, 2, 5)
        query, key, value = qkv[0] * self.head_dim**-0.5, qkv[1], qkv[2]
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        scores = query @ key.transpose(-2, -1) + bias.to(query.dtype)
        if mask is not None:
            scores = scores + mask.to(scores.dtype)
        attended: Tensor = scores.softmax(dim=-1) @ value
        out: Tensor = self.proj(attended.transpose(2, 3).flatten(-2))
        return out


class Mlp(nn.Module):
    """Two fully connected layers with the exact (erf) GELU between them."""

    def __init__(self, embed_dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., embed_dim)."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class SwinBlock(nn.Module):
    """Window attention and MLP, each with a layer norm before and a residual around it."""

    def __init__(
        self, embed_dim: int, num_heads: int, window_size: int, mlp_hidden: int, shifted: bool
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.shift = window_size // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = WindowAttention(embed_dim, num_heads, window_size)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = Mlp(embed_dim, mlp_hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (N, H, W, embed_dim), H and W multiples of the window."""
        x = x + self._attend(self.norm1(x), mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        window, shift = self.window_size, self.shift
        height, width, channels = x.shape[1], x.shape[2], x.shape[3]
        rows, columns = height // window, width // window
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
        x = x.reshape(-1, rows, window, columns, window, channels).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, rows * columns, window * window, channels)
        x = self.attn(x, mask if shift else None)
        x = x.reshape(-1, rows, columns, window, window, channels).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, height, width, channels)
        return x.roll((shift, shift), (1, 2)) if shift else x


class _Blocks(nn.Module):
    """Holder that gives the blocks their official key prefix, `residual_group.blocks`."""

    def __init__(self, blocks: list[SwinBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class ResidualGroup(nn.Module):
    """Swin blocks and a convolution, with a residual around all of it."""

    def __init__(
        self, embed_dim: int, depth: int, num_heads: int, window_size: int, mlp_hidden: int
    ) -> None:
        super().__init__()
        self.residual_group = _Blocks(
            [
                SwinBlock(embed_dim, num_heads, window_size, mlp_hidden, shifted=index % 2 == 1)
                for index in range(depth)
            ]
        )
        self.conv = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (N, H, W, embed_dim)."""
        y = x
        for block in self.residual_group.blocks:
            y = block(y, mask)
        result: Tensor = x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return result


def enhance(body: swin.SwinBody, features: Tensor, residual: bool) -> Tensor:
    """Run a body; its groups are `ResidualGroup`s of this module.

    Parameters
    ----------
    features : Tensor, shape (N, embed_dim, H, W)
        Shallow features, H and W multiples of the window.
    residual : bool
        Add `features` to the result.
    """
    mask = shift_mask(features.shape[-2], features.shape[-1], body.window_size, features.device)
    x = body.patch_embed.norm(features.permute(0, 2, 3, 1))
    for group in body.layers:
        x = group(x, mask)
    enhanced: Tensor = body.conv_after_body(body.norm(x).permute(0, 3, 1, 2))
    return enhanced + features if residual else enhanced


def plain(module: _Module) -> _Module:
    """A copy of a network, alone or in its image interface, whose Swin bodies are the plain ones.

    Same keys and weights; heads, tails and first stages are the network's own.
    """
    copy = deepcopy(module)
    for body in copy.modules():
        if isinstance(body, swin.SwinBody):
            body.layers = nn.ModuleList(_group(group, body.window_size) for group in body.layers)
            # Methods of an instance, because the class of the network stays what it is.
            setattr(body, "enhance", MethodType(enhance, body))  # noqa: B010 - mypy refuses methods
    return copy


def _group(fast: nn.Module, window: int) -> ResidualGroup:
    assert isinstance(fast, swin.ResidualGroup)
    first = fast.residual_group.blocks[0]
    assert isinstance(first, swin.SwinBlock)
    group = ResidualGroup(
        embed_dim=first.norm1.normalized_shape[0],
        depth=len(fast.residual_group.blocks),
        num_heads=first.attn.num_heads,
        window_size=window,
        mlp_hidden=first.mlp.fc1.out_features,
    )
    group.to(fast.conv.weight)
    group.load_state_dict(fast.state_dict())
    return group.train(fast.training)

"""The Swin-transformer body of UniFMIR and the single-task network for sr, denoise and isotropic.

Sources: Ma et al., Nature Methods 2024, Methods ("Network architectures", equation 1) and
Extended Data Fig. 2; Liu et al., ICCV 2021 (shifted windows). State-dict keys are the official
ones, except the derivable `relative_position_index` and `attn_mask`, which are computed here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.networks.windows import (
    IMAGE,
    REGULAR,
    SHIFTED,
    ReadyAttention,
    WindowOrders,
    few_windows,
    through,
    written_out,
)

BODY_PARTS = ("patch_embed", "layers", "norm", "conv_after_body")
"""Members of `SwinBody` that hold weights: the first parts of its keys."""
MASKED = -100.0
"""Added to the attention between pixels that the cyclic shift made neighbours. In fp16's range."""


def reflect_index(size: int, multiple: int, device: torch.device) -> Tensor:
    """Indices that extend an axis of `size` pixels by reflection to a multiple of `multiple`.

    Equal to reflect padding on the right, and defined for every size from 1 on, where
    `torch.nn.functional.pad` needs the padding to be smaller than the size. Written as a gather
    because tracing bakes "no padding needed" into the graph otherwise.

    Returns
    -------
    Tensor, shape (ceil(size / multiple) * multiple,), int64
    """
    padded = (size + multiple - 1) // multiple * multiple
    # Compilers of one graph for every size would take the answer to `size == 1` for its own.
    compiling = torch.compiler.is_compiling()
    period = torch.sym_max(2 * size - 2, 1) if compiling else 2 * size - 2 + (size == 1)
    index = torch.arange(padded, device=device) % period
    # Not by abs of a difference: OpenVINO 2026.4 leaves an integer abs out where sizes are fixed.
    return torch.minimum(index, period - index)


def reflect_pad(x: Tensor, multiple: int) -> Tensor:
    """Reflect-pad the right and bottom of (..., H, W) up to a multiple of `multiple` pixels."""
    rows = reflect_index(x.shape[-2], multiple, x.device)
    columns = reflect_index(x.shape[-1], multiple, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


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

    def forward(
        self, x: Tensor, mask: Tensor | None, ready: ReadyAttention | None = None
    ) -> Tensor:
        """Attend within each window.

        Parameters
        ----------
        x : Tensor, shape (N, windows, pixels, embed_dim); (windows, pixels, embed_dim) if `ready`
        mask : Tensor, shape (windows, 1, pixels, pixels), or None
            One of `ready.biases` if that is given.
        ready : ReadyAttention, optional
            The fast way is taken; see `unifmir.networks.windows.written_out`.
        """
        if ready is not None and mask is not None:
            return ready.attended(x, mask)
        qkv = self.qkv(x)
        qkv = qkv.unflatten(-1, (3, self.num_heads, self.head_dim)).permute(3, 0, 1, 4, 2, 5)
        query, key, value = qkv[0] * self.head_dim**-0.5, qkv[1], qkv[2]
        scores = query @ key.transpose(-2, -1) + self.bias().to(query.dtype)
        if mask is not None:
            scores = scores + mask.to(scores.dtype)
        attended: Tensor = scores.softmax(dim=-1) @ value
        out: Tensor = self.proj(attended.transpose(2, 3).flatten(-2))
        return out

    def bias(self) -> Tensor:
        """What the relative position adds to each pair of pixels, (heads, pixels, pixels)."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class Mlp(nn.Module):
    """Two fully connected layers with the exact (erf) GELU between them."""

    def __init__(self, embed_dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., embed_dim)."""
        return through(self.fc2, self.act(through(self.fc1, x)))


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

    def forward(self, x: Tensor, place: Tensor | WindowOrders) -> Tensor:
        """Restore tokens.

        Parameters
        ----------
        x : Tensor
            Shape (N, H, W, embed_dim), H and W multiples of the window, with a mask as `place`;
            shape (windows, pixels, embed_dim) in the order `self.order` otherwise.
        place : Tensor or WindowOrders
            The mask of shifted windows; or the orders of the tokens: then the fast way is taken,
            and `x` changed in place.
        """
        if isinstance(place, WindowOrders):
            return self._in_windows(x, place)
        x = x + self._attend(self.norm1(x), place)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    @property
    def order(self) -> str:
        """Order of the tokens that the fast way takes."""
        return SHIFTED if self.shift else REGULAR

    def _in_windows(self, x: Tensor, orders: WindowOrders) -> Tensor:
        attention, window = self.attn, self.window_size
        # Of an image of two by two windows: no mask, last column, last row, corner.
        mask = shift_mask(2 * window, 2 * window, window, x.device) if self.shift else None
        ready = ReadyAttention(
            attention.qkv, attention.proj, attention.head_dim, attention.bias(), mask
        )
        for part, start, stop in orders.runs(self.order):
            run = x[start:stop]
            run += attention(self.norm1(run), ready.biases[part : part + 1], ready)
            run += self.mlp(self.norm2(run))
        return x

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

    def forward(self, x: Tensor, place: Tensor | WindowOrders) -> Tensor:
        """x: (N, H, W, embed_dim); `place` as for the blocks."""
        y, order = x, IMAGE
        for block in self.residual_group.blocks:
            if isinstance(place, WindowOrders):
                wanted = str(block.order)
                y, order = place.move(y, order, wanted), wanted
            y = block(y, place)
        if isinstance(place, WindowOrders):
            y = place.move(y, order, IMAGE)
        result: Tensor = x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return result


class _PatchEmbed(nn.Module):
    """Holder of the first layer norm, `patch_embed.norm`."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim)


class SwinBody(Network):
    """The feature-enhancement body all tasks share. Its members sit at the root of the keys."""

    def __init__(
        self,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int,
        mlp_hidden: int,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.patch_embed = _PatchEmbed(embed_dim)
        self.layers = nn.ModuleList(
            ResidualGroup(embed_dim, depth, heads, window_size, mlp_hidden)
            for depth, heads in zip(depths, num_heads, strict=True)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)

    def enhance(self, features: Tensor, residual: bool) -> Tensor:
        """Run the body.

        Parameters
        ----------
        features : Tensor, shape (N, embed_dim, H, W)
            Shallow features, H and W multiples of the window.
        residual : bool
            Add `features` to the result.
        """
        height, width, window = features.shape[-2], features.shape[-1], self.window_size
        place: Tensor | WindowOrders
        if written_out(features) or few_windows(features, window):
            place = shift_mask(height, width, window, features.device)
        else:
            place = WindowOrders(features.shape[0], height, width, window, features.device)
        x = self.patch_embed.norm(features.permute(0, 2, 3, 1))
        for group in self.layers:
            x = group(x, place)
        enhanced: Tensor = self.conv_after_body(self.norm(x).permute(0, 3, 1, 2))
        return enhanced + features if residual else enhanced


def upsampler(features: int, scale: int) -> nn.Sequential:
    """Convolution and pixel shuffle; no layer, so no key, at scale 1."""
    if scale == 1:
        return nn.Sequential()
    return nn.Sequential(
        nn.Conv2d(features, features * scale**2, 3, padding=1), nn.PixelShuffle(scale)
    )


def conv_leaky(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution and LeakyReLU of slope 0.01, the start of every tail."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.LeakyReLU(0.01))


class SwinRestoration(SwinBody):
    """Single-task network for sr, denoise and isotropic, and the second stage of the other two.

    Parameters
    ----------
    in_channels, out_channels : int
        Planes in and out.
    embed_dim : int
        Width of the body.
    depths, num_heads : sequence of int
        Blocks and attention heads of each residual group.
    window_size : int
        Side of the attention windows, pixels.
    mlp_hidden : int
        Width of the hidden MLP layer.
    tail_features : int
        Channels between the body and the last convolution.
    scale : int
        Lateral magnification of the output.
    body_residual : bool
        Whether the shallow features are added to the body's result.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        embed_dim: int = 90,
        depths: Sequence[int] = (6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6),
        window_size: int = 8,
        mlp_hidden: int = 180,
        tail_features: int = 32,
        scale: int = 1,
        body_residual: bool = True,
    ) -> None:
        super().__init__(embed_dim, depths, num_heads, window_size, mlp_hidden)
        self.scale = scale
        self.body_residual = body_residual
        self.conv_first = nn.Conv2d(in_channels, embed_dim, 3, padding=1)
        self.conv_before_upsample = conv_leaky(embed_dim, tail_features)
        self.upsample = upsampler(tail_features, scale)
        self.conv_last = nn.Conv2d(tail_features, out_channels, 3, padding=1)

    def restore_padded(self, x: Tensor) -> Tensor:
        """`forward` for inputs whose sides are multiples of the window."""
        features = self.enhance(self.conv_first(x), self.body_residual)
        out: Tensor = self.conv_last(self.upsample(self.conv_before_upsample(features)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Restore images.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W)
            Normalised images of any size.

        Returns
        -------
        Tensor, shape (N, out_channels, scale * H, scale * W)
        """
        height, width = x.shape[-2], x.shape[-1]
        out = self.restore_padded(reflect_pad(x, self.window_size))
        return out[..., : height * self.scale, : width * self.scale]

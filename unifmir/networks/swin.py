"""The Swin-transformer body of UniFMIR and the single-task network for sr, denoise and isotropic.

Sources: Ma et al., Nature Methods 2024, Methods ("Network architectures", equation 1) and
Extended Data Fig. 2; Liu et al., ICCV 2021 (shifted windows). State-dict keys are the official
ones, except the derivable `relative_position_index` and `attn_mask`, which are computed here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.networks.padding import reflect_pad
from unifmir.networks.windows import (
    IMAGE,
    REGULAR,
    SHIFTED,
    PreparedAttention,
    WindowOrders,
    apply_linear,
    has_few_windows,
    runs_written_out,
)

BODY_PARTS = ("patch_embed", "layers", "norm", "conv_after_body")
"""Members of `SwinBody` that hold weights: the first parts of its keys."""
MASKED = -100.0
"""Added to the attention between pixels that the cyclic shift made neighbours. In fp16's range."""


def shift_mask(height: int, width: int, window: int, device: torch.device) -> Tensor:
    """Attention mask of the shifted windows of an image.

    Parameters
    ----------
    height, width : int
        Padded image size in pixels, multiples of `window`.

    Returns
    -------
    Tensor, shape (windows, 1, window**2, window**2), float32
        Values in [-100, 0] for the attention: 0 where two pixels of a window were neighbours
        before the shift, `MASKED` elsewhere.
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
    """Index into the bias table for each pair of pixels of a window.

    Returns
    -------
    Tensor, shape (window**2, window**2), int64
        On the CPU, whatever the default device: on "meta", where files are checked, PyTorch would
        import its compiler for this arithmetic, which takes as long as the rest of it.
    """
    side = torch.arange(window, device="cpu")
    y, x = side.repeat_interleave(window), side.repeat(window)
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
        index = relative_position_index(window_size).to(table.device)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, x: Tensor, mask: Tensor | None, prepared: PreparedAttention | None = None
    ) -> Tensor:
        """Attend within each window.

        Parameters
        ----------
        x : Tensor, shape (N, windows, pixels, embed_dim), float
            Features; shape (windows, pixels, embed_dim) if `prepared`.
        mask : Tensor, shape (windows, 1, pixels, pixels), float, or None
            Added to the attention; one of `prepared.biases` if that is given.
        prepared : PreparedAttention, optional
            Weights for the fast operations; see `unifmir.networks.windows.runs_written_out`.
        """
        if prepared is not None and mask is not None:
            return prepared.attend(x, mask)
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
        """Bias of each pair of pixels by their relative position.

        Returns
        -------
        Tensor, shape (heads, pixels, pixels), dtype of the weights
        """
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class Mlp(nn.Module):
    """Two fully connected layers with the exact (erf) GELU between them."""

    def __init__(self, embed_dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Features of tokens (..., embed_dim), float in and out."""
        return apply_linear(self.fc2, self.act(apply_linear(self.fc1, x)))


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
        """Restore features by the method for `place`; only a call of the module runs its hooks.

        Parameters
        ----------
        x : Tensor, shape and dtype as `restore_image` or `restore_windows_` takes them
            Features.
        place : Tensor or WindowOrders
            Mask of the shifted windows of the images; or the orders of the tokens.
        """
        if isinstance(place, WindowOrders):
            return self.restore_windows_(x, place)
        return self.restore_image(x, place)

    def restore_image(self, x: Tensor, mask: Tensor) -> Tensor:
        """Restore features of images, each operation written out.

        Parameters
        ----------
        x : Tensor, shape (N, H, W, embed_dim), float
            Features, H and W multiples of the window.
        mask : Tensor, shape (windows, 1, pixels, pixels), float
            Mask of the shifted windows, from `shift_mask`.
        """
        x = x + self._attend(self.norm1(x), mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    @property
    def order(self) -> str:
        """Order of the tokens that `restore_windows_` takes."""
        return SHIFTED if self.shift else REGULAR

    def restore_windows_(self, x: Tensor, orders: WindowOrders) -> Tensor:
        """Restore features that are kept in windows, in place, by the fast operations.

        Parameters
        ----------
        x : Tensor, shape (windows, pixels, embed_dim), float
            Features in the order `self.order`; changed and returned.
        """
        attention, window = self.attn, self.window_size
        # Of an image of two by two windows: no mask, last column, last row, corner.
        mask = shift_mask(2 * window, 2 * window, window, x.device) if self.shift else None
        prepared = PreparedAttention(
            attention.qkv, attention.proj, attention.head_dim, attention.bias(), mask
        )
        for part, start, stop in orders.runs(self.order):
            run = x[start:stop]
            run += attention(self.norm1(run), prepared.biases[part : part + 1], prepared)
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
        """Restore features (N, H, W, embed_dim), float; `place` as for the blocks."""
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
        if runs_written_out(features) or has_few_windows(features, window):
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
        """Restore images (N, in_channels, H, W) whose sides are multiples of the window."""
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

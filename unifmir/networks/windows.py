"""Fast window attention in inference, which computes what the written-out one does.

Tokens stay in windows between the blocks of a group: one gather takes them from the windows of
one block to those of the next, where rolling, partitioning and undoing both copy four times. In
shifted blocks only the last row and column of windows are masked; they are put behind the others,
so that a mask belongs to a run of windows and no window has one of its own.

Nothing is kept from one call to the next: indices, masks and rearranged weights are computed per
call, which takes little of it, so that there is nothing to go stale when weights are
loaded or moved, and nothing that threads or copies could share.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

WINDOWS_PER_THREAD = 32
"""Windows a core takes through a block at once: what it computes on the way stays in its cache.
At 256 x 256 pixels 32 windows are 5 % faster than 64, 16 are no faster (one core, width 90)."""
MIN_WINDOWS = 16
"""Windows from which arranging them saves more than it costs."""
LEADING = 16
"""Batch from which a 1 x 1 convolution on one thread is oneDNN's."""
HEAD_MULTIPLE = 8
"""Values of a vector register or a tensor core's row: a width of 15 fits neither."""
HAS_ONEDNN = torch.backends.mkldnn.is_available()
IMAGE = "image"
REGULAR = "regular"
SHIFTED = "shifted"
"""Orders of the tokens: row by row; window by window; window by window of the shifted image, those
without a mask first, then the rest of the last column, the rest of the last row, and the corner.
Of several images, each of these four parts holds all images' windows."""

_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
# Before torch 2.7 the two were not told apart.


def runs_written_out(x: Tensor) -> bool:
    """Whether the operations on `x`, of any shape, must be the plain ones, one by one.

    They must, for any float dtype and values, while gradients may be wanted, while a graph for
    other sizes or another runtime is made (tracing and exporting), and while somebody watches each
    operation: counters of costs and meters of value ranges.
    """
    if torch.compiler.is_compiling():
        return torch.is_grad_enabled() or _is_exporting()
    return (
        torch.is_grad_enabled()
        or x.is_meta
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch leaves it out
        or _get_current_dispatch_mode() is not None
    )


def has_few_windows(x: Tensor, window: int) -> bool:
    """Whether features (N, C, H, W) of any dtype have too few windows to be worth arranging."""
    return x.shape[0] * (x.shape[2] // window) * (x.shape[3] // window) < MIN_WINDOWS


class WindowOrders:
    """Places of the tokens of a batch of images in each of the three orders.

    Parameters
    ----------
    batch, height, width : int
        Of the images; sides are multiples of the window, pixels.
    window : int
        Side of the windows, pixels.
    """

    def __init__(
        self, batch: int, height: int, width: int, window: int, device: torch.device
    ) -> None:
        self.batch, self.height, self.width, self.window = batch, height, width, window
        shift = window // 2
        # Pixels side by side that no order separates, moved as one.
        self.unit = shift if window % 2 == 0 else 1
        units = width // self.unit
        image = torch.arange(batch * height * units, device=device).view(batch, height, units)
        shifted = self._windows(image.roll((-shift, -shift // self.unit), (1, 2)))
        parts = (
            shifted[:, :-1, :-1],
            shifted[:, :-1, -1],
            shifted[:, -1, :-1],
            shifted[:, -1, -1],
        )
        self._parts = [part.shape[:-1].numel() for part in parts]
        self._of = {
            IMAGE: image.flatten(),
            REGULAR: self._windows(image).flatten(),
            SHIFTED: torch.cat([part.flatten() for part in parts]),
        }

    def _windows(self, units: Tensor) -> Tensor:
        """(N, H, W / unit) -> (N, rows, columns, units of a window)."""
        side = self.window // self.unit
        shape = (self.batch, self.height // self.window, self.window, -1, side)
        return units.view(shape).permute(0, 1, 3, 2, 4).flatten(3)

    def move(self, x: Tensor, source: str, target: str) -> Tensor:
        """Tokens in another order, a copy.

        Parameters
        ----------
        x : Tensor, shape (..., embed_dim), any dtype
            Features in the order `source`.

        Returns
        -------
        Tensor, shape (N, H, W, embed_dim) in image order, else (windows, pixels, embed_dim)
        """
        index = self._of[target]
        if source != IMAGE:
            place = torch.empty_like(index)
            place[self._of[source]] = self._of[IMAGE]
            index = place[index]
        channels = x.shape[-1]
        moved = x.reshape(-1, self.unit * channels).index_select(0, index)
        if target == IMAGE:
            return moved.view(self.batch, self.height, self.width, channels)
        return moved.view(-1, self.window**2, channels)

    def runs(self, order: str) -> list[tuple[int, int, int]]:
        """Windows to take at once.

        Returns
        -------
        list of (part, start, stop)
            Part 0, but for the masked windows of `SHIFTED`: 1 last column, 2 last row, 3 corner.
        """
        parts = self._parts if order == SHIFTED else [sum(self._parts)]
        most = sum(parts)
        # Other devices have no cache worth staying in, and start each operation slowly; a compiler
        # would repeat the block for each run.
        if self._of[IMAGE].device.type == "cpu" and not torch.compiler.is_compiling():
            most = WINDOWS_PER_THREAD * torch.get_num_threads()
        found = []
        start = 0
        for part, windows in enumerate(parts):
            stop = start + windows
            found += [(part, first, min(first + most, stop)) for first in range(start, stop, most)]
            start = stop
        return found


def is_hooked(module: nn.Module) -> bool:
    """Whether a call of the module does more than its `forward`."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def fast_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Multiply as `F.linear` does, by the faster library on the CPU.

    PyTorch multiplies float32 matrices by MKL and convolves by oneDNN. Where MKL does not know the
    processor, oneDNN is more than twice as fast (AMD, AVX-512), so a layer over many tokens is
    called as the 1 x 1 convolution that it is.

    Parameters
    ----------
    x : Tensor, shape (..., in_features)
    weight : Tensor, shape (out_features, in_features)
    bias : Tensor, shape (out_features,)
    """
    features = x.shape[-1]
    if (
        x.device.type != "cpu"
        or x.dtype != torch.float32
        or not HAS_ONEDNN
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()  # which has kernels of its own: 1.4 times as fast so
        or (x.numel() // features) % LEADING
    ):
        return F.linear(x, weight, bias)
    image = x.reshape(LEADING, -1, 1, features).permute(0, 3, 1, 2)
    out = F.conv2d(image, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def apply_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a fully connected layer, by `fast_linear` unless somebody watches it.

    Parameters
    ----------
    x : Tensor, shape (..., in_features), float
        Features.
    """
    if runs_written_out(x) or is_hooked(layer):
        out: Tensor = layer(x)
        return out
    return fast_linear(x, layer.weight, layer.bias)


def pad_heads(weight: Tensor, width: int, dim: int = 0) -> Tensor:
    """Weights of attention heads with zeros behind each head, up to a multiple of `HEAD_MULTIPLE`.

    Zeros in queries and keys add nothing to their products, those in values give channels that
    zeros in the weights behind them leave out.

    Parameters
    ----------
    weight : Tensor, any shape, float
        Weights whose axis `dim` holds heads of `width` rows.
    """
    missing = -width % HEAD_MULTIPLE
    if not missing:
        return weight
    heads = weight.unflatten(dim, (-1, width))
    behind = heads.dim() - dim - 2
    return F.pad(heads, (0, 0) * behind + (0, missing)).flatten(dim, dim + 1)


class PreparedAttention:
    """Weights of a window attention as the fast operations want them, for one call of a network.

    Parameters
    ----------
    qkv, proj : Linear
        embed_dim to queries, keys and values, and heads back to embed_dim.
    width : int
        Channels of a head.
    bias : Tensor, shape (heads, pixels, pixels)
        Added to the attention.
    mask : Tensor, shape (parts, 1, pixels, pixels), or None
        Added in each part of `SHIFTED`.
    """

    def __init__(
        self, qkv: nn.Linear, proj: nn.Linear, width: int, bias: Tensor, mask: Tensor | None
    ) -> None:
        self.qkv, self.proj, self.width = qkv, proj, width
        self.heads = bias.shape[0]
        biases = bias[None] if mask is None else bias + mask.to(bias.dtype)
        self.biases = biases.contiguous()
        """Shape (parts, heads, pixels, pixels), or (1, heads, pixels, pixels) without a mask."""
        self.called = is_hooked(qkv) or is_hooked(proj)
        if not self.called:
            self.qkv_weight = pad_heads(qkv.weight, width)
            self.qkv_bias = pad_heads(qkv.bias, width)
            self.proj_weight = pad_heads(proj.weight, width, dim=1)

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attention of a part's windows, by one of the `biases`.

        Parameters
        ----------
        x : Tensor, shape (windows, pixels, embed_dim)
        """
        if self.called:
            out: Tensor = self.proj(self._attend_heads(self.qkv(x), bias))
            return out
        qkv = fast_linear(x, self.qkv_weight, self.qkv_bias)
        return fast_linear(self._attend_heads(qkv, bias), self.proj_weight, self.proj.bias)

    def _attend_heads(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """(windows, pixels, 3 * heads * width) -> (windows, pixels, heads * width)."""
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # One operation, which keeps no map of the attention. The scale is the true width's.
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=self.width**-0.5
        )
        return attended.transpose(1, 2).flatten(2)

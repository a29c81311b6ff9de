"""Weights in the order in which the C code reads them."""

from math import ceil, e, log2, prod

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from unifmir.native.rounding import Inputs, Moments, round_to_bf16
from unifmir.networks.swin import MASKED, SwinBlock, WindowAttention, shift_mask

ROWS = 6
"""Rows of a weight matrix that are computed at once (swin.c)."""
BAND, TILE = 48, 16
"""Rows of a weight matrix in bf16 that lie together, and pairs of columns (amx.h)."""
WINDOW = 8
LANES = 16
"""Floats of a vector, at most."""
LOG2E = log2(e)
"""Softmax is computed with powers of 2: scores are multiplied by this."""
POINTS_DOWN, POINTS_ACROSS = (0.0, 11 / 16, -11 / 16, 23 / 16, -23 / 16), (0.0, 1.0, -1.0)
"""Points at which winograd_bf16.c knows kernels, beside infinity."""


def pack_matrix(weight: Float32[Tensor, "rows columns"], bf16: bool) -> Float[Tensor, "..."]:
    """Pack a matrix.

    Parameters
    ----------
    weight : Tensor
    bf16 : bool
        Whether columns are packed in pairs.

    Returns
    -------
    Tensor
        (rows / 6, columns, 6) float32, or (rows / 48, columns / 32, 48, 16, 2) bfloat16; both
        rounded up, with zeros.
    """
    return _packed_bf16(weight) if bf16 else _packed(weight[..., None]).squeeze(2)


def pack_kernel(weight: Float32[Tensor, "rows columns 3 3"]) -> Float32[Tensor, "groups _ 9 6"]:
    """Pack a 3 x 3 convolution, weights of any real value, for `conv.c`.

    Returns
    -------
    Tensor
        (out / 6, in, 9, 6).
    """
    return _packed(weight.flatten(2))


def pack_winograd(weight: Float32[Tensor, "rows columns 3 3"]) -> Float32[Tensor, "9 plane"]:
    """Pack a 3 x 3 convolution, weights of any real value, for `winograd.c`.

    Returns
    -------
    Tensor
        (9, out / 6 * in * 6), filled up with zeros to whole vectors.
    """
    planes = _packed(weight.flatten(2)).permute(2, 0, 1, 3).flatten(1)
    return F.pad(planes, (0, -planes.shape[1] % LANES)).contiguous()


def pack_winograd_bf16(
    conv: nn.Conv2d, centre: Float64[Tensor, " columns"] | None
) -> dict[str, Float[Tensor, "..."]]:
    """Pack a 3 x 3 convolution for `winograd_bf16.c`.

    Parameters
    ----------
    conv : Conv2d
    centre : Tensor, optional
        Mean of each channel it reads, of any real value.

    Returns
    -------
    dict
        kernel: (out / 48, 24, in / 32, 48, 16, 2) bfloat16; bias, filled up to a multiple of six,
        and centre: float32, one number a channel.
    """
    weight = conv.weight.double()
    down, across = _kernel_at(POINTS_DOWN), _kernel_at(POINTS_ACROSS)
    points = (down @ weight @ across.T).flatten(2)
    # As C takes it off.
    taken = torch.zeros(conv.in_channels) if centre is None else centre.float()
    bias = weight.sum((2, 3)) @ taken.double()
    if conv.bias is not None:
        bias = bias + conv.bias.double()
    return {
        "kernel": _packed_bf16(points.permute(2, 0, 1).float()).transpose(0, 1).contiguous(),
        "bias": pack_bias(bias.float(), conv.out_channels),
        "centre": taken,
    }


def _kernel_at(points: tuple[float, ...]) -> Float64[Tensor, "points 3"]:
    """Matrix of three taps' values at points and infinity, over what interpolation divides by."""
    rows = [
        torch.tensor([1.0, p, p * p]).double() / prod(p - q for q in points if q != p)
        for p in points
    ]
    return torch.stack([*rows, torch.tensor([0.0, 0.0, 1.0]).double()])


def _packed(weight: Tensor) -> Tensor:
    """(rows, columns, taps) as (rows / 6, columns, taps, 6)."""
    rows, columns, taps = weight.shape
    filled = F.pad(weight, (0, 0, 0, 0, 0, -rows % ROWS))
    return filled.reshape(-1, ROWS, columns, taps).permute(0, 2, 3, 1).contiguous()


def _packed_bf16(weight: Tensor) -> Tensor:
    """(..., rows, columns) as (..., rows / 48, columns / 32, 48, 16, 2)."""
    rows, columns = weight.shape[-2:]
    filled = F.pad(weight, (0, -columns % (2 * TILE), 0, -rows % BAND)).to(torch.bfloat16)
    bands: Tensor = filled.unflatten(-1, (-1, TILE, 2)).unflatten(-4, (-1, BAND))
    return bands.transpose(-4, -3).contiguous()


def pack_bias(values: Float32[Tensor, " rows"] | None, rows: int) -> Float32[Tensor, " filled"]:
    """Fill a bias, weights of any real value, with zeros up to a multiple of six rows."""
    filled = torch.zeros(ceil(rows / ROWS) * ROWS, dtype=torch.float32)
    if values is not None:
        filled[:rows] = values
    return filled


def pack_norm(layer: nn.LayerNorm, reader: Inputs | None = None) -> Float32[Tensor, "2 channels"]:
    """Weights and biases of a LayerNorm, less the centre of what reads it."""
    bias = layer.bias if reader is None else (layer.bias.double() - reader.centre).float()
    return torch.stack((layer.weight, bias)).float().contiguous()


def pack_block(swin: SwinBlock, bf16: bool, moments: Moments) -> dict[str, Float[Tensor, "..."]]:
    """Pack the weights of a Swin block, by the names of the C structure.

    `moments` are those of what "norm1", "norm2" and "mlp.act" give, used for bf16. See
    `unifmir.native.rounding`.
    """
    attention = swin.attn
    channels = attention.qkv.in_features
    # In float64: the scale is folded into the weights, which then are rounded once.
    scale = torch.ones(3 * channels, 1, dtype=torch.float64)
    scale[:channels] = attention.head_dim**-0.5 * LOG2E
    layers = {
        "qkv": attention.qkv,
        "proj": attention.proj,
        "fc1": swin.mlp.fc1,
        "fc2": swin.mlp.fc2,
    }
    before = {"qkv": "norm1", "fc1": "norm2", "fc2": "mlp.act"}
    reads = {
        name: Inputs.of(moments[norm]) for name, norm in before.items() if bf16 and norm in moments
    }
    hidden = reads["fc2"].centre.float() if "fc2" in reads else None
    exact_proj = attention.proj.weight.T if bf16 else torch.zeros(0, channels)
    parts = {
        "norm1": pack_norm(swin.norm1, reads.get("qkv")),
        "norm2": pack_norm(swin.norm2, reads.get("fc1")),
        "position": pack_position(attention),
        "centre": pack_bias(hidden, swin.mlp.fc1.out_features),
        "proj_exact": F.pad(exact_proj, (0, -channels % LANES)).contiguous(),
    }
    for name, layer in layers.items():
        weight, offset = layer.weight.double(), layer.bias.double()
        exact = weight
        if name in reads:
            offset = offset + weight @ reads[name].centre
        if name == "qkv":
            exact, offset = weight * scale, offset * scale[:, 0]
        if name in reads:
            exact = round_to_bf16(exact, reads[name].spread)
        parts[name] = pack_matrix(exact.float(), bf16)
        parts[f"{name}_bias"] = pack_bias(offset.float(), layer.out_features)
    return parts


def pack_position(attention: WindowAttention) -> Float32[Tensor, "heads key query"]:
    """Weights of the relative position, of any real value, times log2(e)."""
    table = attention.relative_position_bias_table.double() * LOG2E
    by_query = table[attention.relative_position_index]
    return by_query.permute(2, 1, 0).float().contiguous()


def make_masks() -> Float32[Tensor, "3 key query"]:
    """Masks of shifted windows in the last row, the last column, and both.

    In units of powers of 2: 0, or -100 log2(e) between pixels that must not see each other.
    """
    assert MASKED < -50  # noqa: S101 - below, the softmax would not be 0 at masked pixels
    plain = shift_mask(2 * WINDOW, 2 * WINDOW, WINDOW, torch.device("cpu"))[:, 0]
    return (plain[[2, 1, 3]] * LOG2E).contiguous()

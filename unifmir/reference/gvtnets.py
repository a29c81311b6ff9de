"""GVTNets: a U-Net whose bottom and upsampling are attention over all voxels.

Sources: Wang, Xie and Ji, Nature Machine Intelligence 3, 161 (2021), doi
10.1038/s42256-020-00283-x, Methods ("Global voxel transformer operators", "GVTNets"); depths,
widths, biases and the order of the activations as the authors' denoising configuration sets them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.reference.base import ReferenceModel
from unifmir.reference.layers import CONVOLUTIONS, initialise, reflect_pad_axes
from unifmir.signature import Signature

TRANSPOSED: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def voxels(x: Tensor) -> int:
    """Count the voxels of features (N, C, *spatial) of any dtype.

    Of the unflattened tensor: the tracing exporter writes the length of a flattened one as a
    constant.
    """
    product = x.shape[2]
    for length in x.shape[3:]:
        product = product * length
    return product


class GlobalAttention(nn.Module):
    """Attention without softmax, (q k^T) v / keys, evaluated as q (k^T v) at linear cost.

    Parameters
    ----------
    ndim : int
        Spatial axes, 2 or 3.
    in_channels : int
        Channels that keys and values are made from.
    features : int
        Channels of queries, keys, values and output.
    heads : int
        Attention heads; divides `features`.
    """

    def __init__(self, ndim: int, in_channels: int, features: int, heads: int) -> None:
        super().__init__()
        conv = CONVOLUTIONS[ndim]
        self.heads = heads
        self.scale = (features // heads) ** -0.5
        self.key = conv(in_channels, features, 1)
        self.value = conv(in_channels, features, 1)
        self.output = conv(features, features, 1)

    def _split(self, x: Tensor) -> Tensor:
        """(N, features, *spatial) -> (N, heads, features per head, voxels)."""
        heads: Tensor = x.flatten(2).unflatten(1, (self.heads, -1))
        return heads

    def forward(self, query: Tensor, x: Tensor) -> Tensor:
        """Let each query read all of x.

        Parameters
        ----------
        query : Tensor, shape (N, features, *query_spatial)
        x : Tensor, shape (N, in_channels, *spatial)

        Returns
        -------
        Tensor, shape (N, features, *query_spatial)
        """
        q, k, v = self._split(query), self._split(self.key(x)), self._split(self.value(x))
        context = v @ k.transpose(-2, -1) / voxels(x)
        attended = context @ (q * self.scale)
        result: Tensor = self.output(attended.flatten(1, 2).reshape(query.shape))
        return result


class SameTransformer(nn.Module):
    """The size-preserving operator: attention of all voxels to all, and a residual around it."""

    def __init__(self, ndim: int, features: int, heads: int) -> None:
        super().__init__()
        self.act = nn.ReLU6()
        self.query = CONVOLUTIONS[ndim](features, features, 1)
        self.attention = GlobalAttention(ndim, features, features, heads)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, *spatial) -> the same shape, float."""
        active = self.act(x)
        result: Tensor = x + self.attention(self.query(active), active)
        return result


class UpTransformer(nn.Module):
    """The upsampling operator: the queries are the upsampled input, and stay as its residual.

    `extra` adds the 3-wide convolution of the variant `paper_port` of `GVTNet`.
    """

    def __init__(
        self,
        ndim: int,
        in_channels: int,
        features: int,
        heads: int,
        stride: Sequence[int],
        extra: bool,
    ) -> None:
        super().__init__()
        self.act = nn.ReLU6()
        self.query = TRANSPOSED[ndim](
            in_channels,
            features,
            3,
            stride=tuple(stride),
            padding=1,
            output_padding=tuple(s - 1 for s in stride),
        )
        self.attention = GlobalAttention(ndim, in_channels, features, heads)
        self.refine = (
            CONVOLUTIONS[ndim](features, features, 3, padding=1, bias=False)
            if extra
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *spatial) -> (N, features, *(stride * spatial)), float."""
        active = self.act(x)
        query = self.query(active)
        result: Tensor = self.refine(query + self.attention(query, active))
        return result


class PreactivatedBlock(nn.Module):
    """Two pre-activated 3-wide convolutions, and a residual around them.

    Where the width changes, or `always_project`, the residual is a 1-wide convolution of the
    activated input.
    """

    def __init__(
        self, ndim: int, in_channels: int, features: int, bias: bool, always_project: bool
    ) -> None:
        super().__init__()
        conv = CONVOLUTIONS[ndim]
        self.act = nn.ReLU6()
        self.conv1 = conv(in_channels, features, 3, padding=1, bias=bias)
        self.conv2 = conv(features, features, 3, padding=1, bias=bias)
        self.shortcut = (
            conv(in_channels, features, 1, bias=bias)
            if always_project or in_channels != features
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *spatial) -> (N, features, *spatial), float."""
        active = self.act(x)
        residual = x if self.shortcut is None else self.shortcut(active)
        result: Tensor = residual + self.conv2(self.act(self.conv1(active)))
        return result


class GVTNet(Network):
    """Global voxel transformer network for denoising, in 2-D or 3-D.

    Strided convolutions are centred as PyTorch centres them (one pixel of padding on each side),
    half a cell off TensorFlow's "same" padding: trained weights of the authors would be shifted.

    Parameters
    ----------
    ndim : int
        Spatial axes, 2 or 3.
    features : int
        Channels at full resolution; doubled by each level.
    levels : int
        Resolutions, at least 2.
    heads : int
        Attention heads.
    paper_port : int
        1 for a variant that is no published network: a reconstruction, found by fitting, of what
        the cost tables of the UniFMIR paper (Ma et al., Nature Methods 2024, Extended Data Tables
        1 and 2) can have counted as GVTNets. Strides (1, 2, 2), biases in every convolution, a
        projected residual in every block, one more 3-wide convolution after each upsampling:
        1 491 489 parameters and 485 745 operations a voxel. It is one consistent solution, not a
        proof; nothing was ever trained with it.
    """

    def __init__(
        self,
        ndim: int = 3,
        features: int = 32,
        levels: int = 3,
        heads: int = 2,
        paper_port: int = 0,
    ) -> None:
        super().__init__()
        conv, port = CONVOLUTIONS[ndim], bool(paper_port)
        stride = ((1,) if port else (2,)) * (ndim - 2) + (2, 2)
        widths = [features * 2**level for level in range(levels)]
        self.multiples = tuple(s ** (levels - 1) for s in stride)
        self.first = conv(1, features, 3, padding=1, bias=port)
        self.encoder = nn.ModuleList(
            PreactivatedBlock(ndim, width, width, port, port) for width in widths[:-1]
        )
        self.down = nn.ModuleList(
            conv(width, 2 * width, 3, stride=stride, padding=1, bias=port) for width in widths[:-1]
        )
        self.bottom = SameTransformer(ndim, widths[-1], heads)
        self.up = nn.ModuleList(
            UpTransformer(ndim, 2 * width, width, heads, stride, port)
            for width in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(
            PreactivatedBlock(ndim, 2 * width, width, port, port) for width in reversed(widths[:-1])
        )
        self.act = nn.ReLU6()
        self.last = conv(features, 1, 1, bias=port)
        initialise(self)

    def restore_padded(self, x: Tensor) -> Tensor:
        """`forward` for inputs whose sides are multiples of the strides."""
        features, skips = self.first(x), []
        for block, down in zip(self.encoder, self.down, strict=True):
            skips.append(block(features))
            features = down(skips[-1])
        features = self.bottom(features)
        for up, block, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            features = block(torch.cat((up(features), skip), dim=1))
        out: Tensor = x + self.last(self.act(features))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images or volumes.

        Parameters
        ----------
        x : Tensor, shape (N, 1, Y, X) or (N, 1, Z, Y, X)
            Normalised, of any size.

        Returns
        -------
        Tensor, the same shape
        """
        out = self.restore_padded(reflect_pad_axes(x, self.multiples))
        # The padding is at the ends: each cut takes the input's own length.
        for axis, multiple in enumerate(self.multiples, start=-len(self.multiples)):
            if multiple > 1:
                out = out.narrow(axis, 0, x.shape[axis])
        return out


GVTNETS = ReferenceModel(
    name="gvtnets",
    title="GVTNets",
    tasks=("denoise",),
    network="unifmir.reference.gvtnets:GVTNet",
    options={"ndim": 3, "features": 32, "levels": 3, "heads": 2, "paper_port": 0},
    signature=Signature(volumetric=True, volumetric_output=True),
    parameters=1_347_328,
    citation="Wang, Xie and Ji, Global voxel transformer networks for augmented microscopy, "
    "Nature Machine Intelligence 3, 161-171 (2021)",
    doi="10.1038/s42256-020-00283-x",
    notes="The UniFMIR paper prints 1.4915 M parameters and 13 051.85 GFLOPs, which are not those "
    "of the published network; `paper_port` reconstructs a network that has them.",
)

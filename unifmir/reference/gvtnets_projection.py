"""GVTNets for 3D-to-2D projection: a weight for every voxel, then the 2-D network.

Sources: Wang, Xie and Ji, Nature Machine Intelligence 3, 161 (2021), doi
10.1038/s42256-020-00283-x, Methods ("Projection"); kernels, pooling and the order of the
activations as the authors' projection module sets them.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.reference.base import ReferenceModel
from unifmir.reference.gvtnets import (
    GlobalAttention,
    GVTNet,
    SameTransformer,
)
from unifmir.reference.layers import initialise, reflect_pad_axes
from unifmir.signature import Signature

KERNEL = (3, 5, 5)
PADDING = (1, 2, 2)
STEP = 4
"""Lateral pooling and upsampling of one level, pixels; the depth is kept."""


class LateralUpTransformer(nn.Module):
    """Upsampling by 4 in the plane: the queries are the input's nearest neighbours."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.act = nn.ReLU6()
        self.attention = GlobalAttention(3, features, features, heads)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, Z, Y, X) -> (N, features, Z, 4 * Y, 4 * X), float."""
        active = self.act(x)
        query = F.interpolate(active, scale_factor=(1.0, STEP, STEP), mode="nearest")
        result: Tensor = query + self.attention(query, active)
        return result


class ProjectionWeights(nn.Module):
    """The 3-D part: one weight a voxel, from a small network pooled in the plane only."""

    def __init__(self, features: int, levels: int, heads: int) -> None:
        super().__init__()
        self.act = nn.ReLU6()
        self.pool = nn.MaxPool3d((1, STEP, STEP))
        widths = [1] + [features] * (levels - 2)
        self.down = nn.ModuleList(
            nn.Conv3d(width, features, KERNEL, padding=PADDING) for width in widths
        )
        self.bottom = SameTransformer(3, features, heads)
        self.bottom_conv = nn.Conv3d(features, features, KERNEL, padding=PADDING)
        self.up = nn.ModuleList(LateralUpTransformer(features, heads) for _ in widths)
        self.decoder = nn.ModuleList(
            nn.Conv3d(features, features, KERNEL, padding=PADDING) for _ in widths
        )
        self.last = nn.Conv3d(features, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, Z, Y, X), sides multiples of 4**(levels - 1) -> the same shape, float."""
        for index, conv in enumerate(self.down):
            # Only the image itself is not activated.
            x = self.pool(conv(self.act(x) if index else x))
        x = self.bottom(x) + self.bottom_conv(self.act(x))
        for up, conv in zip(self.up, self.decoder, strict=True):
            x = conv(self.act(up(x)))
        weights: Tensor = self.last(self.act(x))
        return weights


class GVTNetProjection(Network):
    """Surface projection: the weighted mean of the planes, denoised by a 2-D `GVTNet`.

    Parameters
    ----------
    projection_features, projection_levels, projection_heads : int
        Channels, resolutions and attention heads of the 3-D part.
    features, levels, heads : int
        As for `GVTNet`.
    """

    def __init__(
        self,
        projection_features: int = 8,
        projection_levels: int = 3,
        projection_heads: int = 2,
        features: int = 32,
        levels: int = 3,
        heads: int = 2,
    ) -> None:
        super().__init__()
        lateral = STEP ** (projection_levels - 1)
        self.multiples = (1, lateral, lateral)
        self.project = ProjectionWeights(projection_features, projection_levels, projection_heads)
        initialise(self.project)
        self.denoise = GVTNet(ndim=2, features=features, levels=levels, heads=heads)

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The projected plane and the denoised plane, (N, 1, Y, X) each."""
        height, width = x.shape[-2], x.shape[-1]
        padded = reflect_pad_axes(x, self.multiples)
        plane = (self.project(padded) * padded).mean(dim=2)[..., :height, :width]
        return plane, self.denoise(plane)

    def forward(self, x: Tensor) -> Tensor:
        """Project stacks.

        Parameters
        ----------
        x : Tensor, shape (N, 1, Z, Y, X)
            Normalised, of any size.

        Returns
        -------
        Tensor, shape (N, 1, Y, X)
        """
        return self.stages(x)[1]


GVTNETS_PROJECTION = ReferenceModel(
    name="gvtnets-projection",
    title="GVTNets, projection",
    tasks=("projection",),
    network="unifmir.reference.gvtnets_projection:GVTNetProjection",
    options={
        "projection_features": 8,
        "projection_levels": 3,
        "projection_heads": 2,
        "features": 32,
        "levels": 3,
        "heads": 2,
    },
    signature=Signature(volumetric=True),
    parameters=538_873,
    citation="Wang, Xie and Ji, Global voxel transformer networks for augmented microscopy, "
    "Nature Machine Intelligence 3, 161-171 (2021)",
    doi="10.1038/s42256-020-00283-x",
    notes="The UniFMIR paper prints 0.4932 M parameters and 93.5141 GFLOPs, which are not those "
    "of the published network.",
)

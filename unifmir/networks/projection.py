"""The 3D-to-2D surface projection network: a projecting network followed by a Swin restoration.

Sources: Ma et al., Nature Methods 2024; the projecting network is the efficient non-local
contrastive attention network of Xia et al., AAAI 2022, with the stack's planes as channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.networks.swin import SwinRestoration, upsampler

BLOCKS_BETWEEN_ATTENTION = 8
MATCH_GAIN = 6**0.5
"""Length of the match vectors: amplifies attention contrast (Xia et al., section 3)."""
KERNEL_FLOOR = 1e-4
"""Keeps the random features positive."""
NORM_EPS = 5e-5
RESIDUAL_SHARE = 0.1
"""Share of a block's output that is added to its input."""


class RandomFeatureAttention(nn.Module):
    """Softmax attention over all pixels at linear cost, by positive random features."""

    projection_matrix: Tensor

    def __init__(self, match_features: int, random_features: int) -> None:
        super().__init__()
        self.random_features = random_features
        drawn = torch.empty(random_features, match_features)
        if not drawn.is_meta:
            # On "meta", where files are checked, PyTorch would import its compiler for it.
            drawn.normal_()
        self.register_buffer("projection_matrix", drawn)

    def _kernel(self, u: Tensor) -> Tensor:
        """Positive random features of (N, pixels, match_features)."""
        length = u.square().sum(dim=-1, keepdim=True) / 2
        features = (u @ self.projection_matrix.transpose(0, 1) - length).exp() + KERNEL_FLOOR
        result: Tensor = features * self.random_features**-0.5
        return result

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend over all pixels: (N, pixels, channels), float, each; the last one's shape out."""
        query, key = self._kernel(query), self._kernel(key)
        context = key.transpose(1, 2) @ value
        weight = query @ key.sum(dim=1, keepdim=True).transpose(1, 2)
        return (query @ context) / weight


class NonLocalAttention(nn.Module):
    """Non-local attention; global over the tile, so results depend on the tile's extent."""

    def __init__(self, features: int, match_features: int, random_features: int) -> None:
        super().__init__()
        self.conv_match1 = nn.Sequential(nn.Conv2d(features, match_features, 1))
        self.conv_match2 = nn.Sequential(nn.Conv2d(features, match_features, 1))
        self.conv_assembly = nn.Sequential(nn.Conv2d(features, features, 1))
        self.attn_fn = RandomFeatureAttention(match_features, random_features)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, features, H, W), float in and out."""
        query = F.normalize(self.conv_match1(x), dim=1, eps=NORM_EPS) * MATCH_GAIN
        key = F.normalize(self.conv_match2(x), dim=1, eps=NORM_EPS) * MATCH_GAIN
        value = self.conv_assembly(x)
        tokens = [t.flatten(2).transpose(1, 2) for t in (query, key, value)]
        attended = self.attn_fn(*tokens).transpose(1, 2).reshape(x.shape)
        result: Tensor = RESIDUAL_SHARE * attended + x
        return result


class ResidualBlock(nn.Module):
    """Two convolutions, scaled by a tenth, with a residual around them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, features, H, W), float in and out."""
        result: Tensor = RESIDUAL_SHARE * self.body(x) + x
        return result


class Projector(nn.Module):
    """Project a stack of planes onto one.

    Parameters
    ----------
    planes : int
        Planes of the stack, given as channels.
    features : int
        Width of the network.
    blocks : int
        Residual blocks; an attention stands before them and after every eighth.
    match_features, random_features : int
        Width of the attention's match maps and of its random features.
    scale : int
        Lateral magnification of the plane.
    """

    def __init__(
        self,
        planes: int,
        features: int,
        blocks: int,
        match_features: int,
        random_features: int,
        scale: int = 1,
    ) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(planes, features, 3, padding=1))
        body: list[nn.Module] = [NonLocalAttention(features, match_features, random_features)]
        for index in range(blocks):
            body.append(ResidualBlock(features))
            if (index + 1) % BLOCKS_BETWEEN_ATTENTION == 0:
                body.append(NonLocalAttention(features, match_features, random_features))
        body.append(nn.Conv2d(features, features, 3, padding=1))
        self.body = nn.Sequential(*body)
        # The upsampler is empty at scale 1, and has no key there; the convolution's is tl.1.
        self.tl = nn.Sequential(upsampler(features, scale), nn.Conv2d(features, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, planes, H, W) -> (N, 1, scale * H, scale * W), float, normalised."""
        features = self.head(x)
        plane: Tensor = self.tl(self.body(features) + features)
        return plane


class ProjectionRestoration(Network):
    """Single-task surface projection: restoration(p) + p of the projected plane p."""

    def __init__(
        self,
        planes: int = 50,
        features: int = 256,
        blocks: int = 64,
        match_features: int = 64,
        random_features: int = 128,
        embed_dim: int = 90,
        depths: Sequence[int] = (6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6),
        window_size: int = 8,
        mlp_hidden: int = 180,
        tail_features: int = 32,
        body_residual: bool = True,
    ) -> None:
        super().__init__()
        self.project = Projector(planes, features, blocks, match_features, random_features)
        self.denoise = SwinRestoration(
            in_channels=1,
            out_channels=1,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            mlp_hidden=mlp_hidden,
            tail_features=tail_features,
            body_residual=body_residual,
        )

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Projected and restored plane, (N, 1, H, W) each, of a normalised float stack."""
        plane: Tensor = self.project(x)
        return plane, self.denoise(plane) + plane

    def forward(self, x: Tensor) -> Tensor:
        """Project stacks: (N, planes, H, W) -> (N, 1, H, W), float, normalised."""
        return self.stages(x)[1]

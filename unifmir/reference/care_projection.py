"""CARE with a projection: a stack is projected onto its surface, and the image restored.

Source: Weigert et al., Nature Methods 2018, doi:10.1038/s41592-018-0216-7 (projection of
Drosophila wings); layers, widths and defaults as in its software, csbdeep 0.8.2.
"""

from itertools import pairwise

from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.reference.base import ReferenceModel
from unifmir.reference.care import CareUNet, conv_relu
from unifmir.reference.layers import initialise, reflect_pad_axes
from unifmir.signature import Signature


class SurfaceProjector(nn.Module):
    """Weigh the planes of a stack pixel by pixel, and sum them.

    Parameters
    ----------
    depth : int
        Times y and x are halved; z never is, so a stack has any number of planes.
    kernel : int
        Voxels of a convolution along each axis, odd.
    features : int
        Width of every level. There are no skip connections.
    """

    def __init__(self, depth: int, kernel: int, features: int) -> None:
        super().__init__()
        inputs = [1, *[features] * depth]
        self.down = nn.ModuleList(
            conv_relu(3, kernel, before, after) for before, after in pairwise(inputs)
        )
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.middle = conv_relu(3, kernel, inputs[-1], features)
        self.upsample = nn.Upsample(scale_factor=(1.0, 2.0, 2.0), mode="nearest")
        self.up = nn.ModuleList(conv_relu(3, kernel, features, features) for _ in range(depth))
        self.last = nn.Conv3d(features, 1, kernel, padding=kernel // 2)
        self.softmax = nn.Softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Project (N, 1, Z, Y, X) to (N, 1, Y, X), float, Y and X multiples of 2**depth.

        The weights of a pixel's planes are in [0, 1] and sum to 1.
        """
        y = x
        for block in self.down:
            y = self.pool(block(y))
        y = self.middle(y)
        for block in self.up:
            y = block(self.upsample(y))
        weights: Tensor = self.softmax(self.last(y))
        return (weights * x).sum(dim=2)


class CareProjection(Network):
    """A projection onto one plane, restored by a 2-D CARE network.

    Parameters
    ----------
    depth, kernel, features, residual
        Of the 2-D network, as for `CareUNet`.
    projection_depth, projection_kernel, projection_features
        Of the projection, as for `SurfaceProjector`.
    """

    def __init__(
        self,
        depth: int = 3,
        kernel: int = 3,
        features: int = 32,
        residual: bool = True,
        projection_depth: int = 4,
        projection_kernel: int = 3,
        projection_features: int = 8,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** max(depth, projection_depth)
        self.projector = SurfaceProjector(projection_depth, projection_kernel, projection_features)
        self.unet = CareUNet(2, depth, kernel, features, residual)
        initialise(self.projector)

    def forward(self, x: Tensor) -> Tensor:
        """Project and restore stacks.

        Parameters
        ----------
        x : Tensor, shape (N, 1, Z, Y, X), float
            Normalised; any size. The far ends of y and x are reflected up to what both parts can
            halve, once, so that the second part sees whole pixels of the first at the borders.

        Returns
        -------
        Tensor, shape (N, 1, Y, X)
        """
        padded = reflect_pad_axes(x, [self.multiple] * 2)
        out: Tensor = self.unet.restore_padded(self.projector(padded))
        return out[..., : x.shape[-2], : x.shape[-1]]


CARE_PROJECTION = ReferenceModel(
    name="care-projection",
    title="CARE (projection)",
    tasks=("projection",),
    network="unifmir.reference.care_projection:CareProjection",
    options={
        "depth": 3,
        "kernel": 3,
        "features": 32,
        "residual": True,
        "projection_depth": 4,
        "projection_kernel": 3,
        "projection_features": 8,
    },
    signature=Signature(volumetric=True),
    parameters=1_379_802,
    citation=(
        "Weigert, M. et al. Content-aware image restoration: pushing the limits of fluorescence "
        "microscopy. Nature Methods 15, 1090-1097 (2018)"
    ),
    doi="10.1038/s41592-018-0216-7",
    notes=(
        "csbdeep's ProjectionCARE with unet_n_depth 3, as its own projection example sets; the "
        "default, 2, has 347 thousand parameters. The UniFMIR paper's parameter count, 1.3798 M, "
        "is this network's; its 56.4251 GFLOPs are not (116.18, counted the same way)."
    ),
)

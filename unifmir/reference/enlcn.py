"""ENLCN for super-resolution: residual blocks and non-local attention at linear cost.

Source: Xia et al., AAAI 2022, doi 10.1609/aaai.v36i3.20179; widths as the UniFMIR paper compares
it (Ma et al., Nature Methods 2024, Extended Data Table 2).
"""

from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.networks.projection import Projector
from unifmir.reference.base import ReferenceModel
from unifmir.signature import Signature


class EnlcnNetwork(Network):
    """Efficient non-local contrastive attention network.

    Its attention sums over all pixels: a tile's result depends on the tile's extent.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    features : int
        Width of the network.
    blocks : int
        Residual blocks; an attention stands before them and after every eighth.
    match_features, random_features : int
        Width of the attention's match maps and of its random features.
    scale : int
        Lateral magnification of the output.
    """

    def __init__(
        self,
        in_channels: int = 1,
        features: int = 32,
        blocks: int = 8,
        match_features: int = 8,
        random_features: int = 128,
        scale: int = 2,
    ) -> None:
        super().__init__()
        widths = (features, blocks, match_features, random_features)
        self.trunk = Projector(in_channels, *widths, scale=scale)
        # The official class subtracts and adds a mean by two convolutions, and its forward pass
        # uses neither: they are here because they are counted.
        self.mean_before = nn.Conv2d(in_channels, in_channels, 1)
        self.mean_after = nn.Conv2d(in_channels, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge images of any size.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W), float, normalised

        Returns
        -------
        Tensor, shape (N, 1, scale * H, scale * W)
        """
        out: Tensor = self.trunk(x)
        return out


ENLCN = ReferenceModel(
    name="enlcn",
    title="ENLCN",
    tasks=("sr",),
    network="unifmir.reference.enlcn:EnlcnNetwork",
    options={
        "in_channels": 1,
        "features": 32,
        "blocks": 8,
        "match_features": 8,
        "random_features": 128,
        "scale": 2,
    },
    signature=Signature(scale=2),
    parameters=197_989,
    citation="Xia et al., Efficient non-local contrastive attention for image super-resolution, "
    "Proceedings of the AAAI Conference on Artificial Intelligence 36, 2759-2767 (2022)",
    doi="10.1609/aaai.v36i3.20179",
    notes="Of the parameters, 4 belong to two convolutions for the mean of the data that the "
    "published network holds and does not use.",
)

"""VCD-Net: the U-Net from light-field views to a volume.

Sources: Wang et al., Nature Methods 18, 551 (2021), doi 10.1038/s41592-021-01058-x; built as the
UniFMIR paper compares it (Ma et al., Nature Methods 2024, Extended Data Table 2), which is the
first stage of its own volume network.
"""

from collections.abc import Sequence

from torch import Tensor

from unifmir.networks.base import Network
from unifmir.networks.padding import reflect_index
from unifmir.networks.volume import ViewUNet
from unifmir.reference.base import ReferenceModel
from unifmir.signature import Signature


def reflect_pad_to(x: Tensor, minimum: int) -> Tensor:
    """Reflect-pad the right and bottom up to at least `minimum` pixels.

    Parameters
    ----------
    x : Tensor, shape (..., H, W), any dtype, any values
    """
    for axis in (-2, -1):
        size = x.shape[axis]
        # A product, not a branch: tracing would keep one side of it.
        wanted = size + (minimum - size) * (size < minimum)
        x = x.index_select(axis, reflect_index(size, minimum, x.device)[:wanted])
    return x


class VCDNet(Network):
    """View-channel-depth network.

    Views smaller than the poolings need (4 pixels, in the paper's size) are padded by reflection;
    others are read as they are, as the paper counts its 15 x 15 pixels.

    Parameters
    ----------
    views, planes, stem_features, entry_features, encoder
        As for `unifmir.networks.volume.ViewUNet`.
    """

    def __init__(
        self,
        views: int = 121,
        planes: int = 61,
        stem_features: int = 128,
        entry_features: int = 64,
        encoder: Sequence[int] = (128, 256, 512, 512, 512),
    ) -> None:
        super().__init__()
        # Each level pools s pixels to (s - 1) // 2, and the U-Net reads 16 per pixel of a view.
        self.minimum = -(-(2 ** (len(encoder) + 1) - 1) // 2**ViewUNet.STEPS)
        self.unet = ViewUNet(views, planes, stem_features, entry_features, encoder)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct volumes.

        Parameters
        ----------
        x : Tensor, shape (N, n * n, h, w), float32 in [-1, 1]
            Views in row-major order, of any size; n = 11 in the paper.

        Returns
        -------
        Tensor, shape (N, planes, n * h, n * w), in (-1, 1)
        """
        n = self.unet.magnification
        height, width = x.shape[-2] * n, x.shape[-1] * n
        volume: Tensor = self.unet(reflect_pad_to(x, self.minimum))
        return volume[..., :height, :width]


VCD_NET = ReferenceModel(
    name="vcd-net",
    title="VCD-Net",
    tasks=("volume",),
    network="unifmir.reference.vcd_net:VCDNet",
    options={
        "views": 121,
        "planes": 61,
        "stem_features": 128,
        "entry_features": 64,
        "encoder": (128, 256, 512, 512, 512),
    },
    signature=Signature(121, 61, scale=11),
    parameters=19_016_599,
    citation="Wang et al., Real-time volumetric reconstruction of biological dynamics with "
    "light-field microscopy and deep learning, Nature Methods 18, 551-556 (2021)",
    doi="10.1038/s41592-021-01058-x",
    notes="The paper's row is UniFMIR's own view U-Net: 196 080 parameters more than the network "
    "of Wang et al., a convolution before each of the four pixel shuffles.",
)

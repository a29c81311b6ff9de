"""The U-Net of CARE, content-aware image restoration, for images and for stacks.

Source: Weigert et al., Nature Methods 2018, doi:10.1038/s41592-018-0216-7;
layers, widths and defaults as in its software, csbdeep 0.8.2.
"""

from itertools import pairwise
from types import EllipsisType

import torch
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.reference.base import ReferenceModel
from unifmir.reference.layers import CONVOLUTIONS, initialise, reflect_pad_axes
from unifmir.signature import Signature

POOLS: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def conv_relu(ndim: int, kernel: int, *widths: int) -> nn.Sequential:
    """Convolutions of `kernel` pixels along each axis, each with a ReLU, through these widths."""
    convolution = CONVOLUTIONS[ndim]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [convolution(before, after, kernel, padding=kernel // 2), nn.ReLU()]
    return nn.Sequential(*layers)


class CareUNet(Network):
    """A U-Net that predicts what to add to its input.

    Parameters
    ----------
    ndim : int
        Spatial axes, 2 or 3. All are halved from level to level, z too.
    depth : int
        Levels above the lowest one.
    kernel : int
        Pixels of a convolution along each axis, odd.
    features : int
        Width of the first level; each lower level is twice as wide.
    residual : bool
        Whether the input is added to the result, csbdeep's default.
    """

    def __init__(
        self,
        ndim: int = 3,
        depth: int = 2,
        kernel: int = 3,
        features: int = 32,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.multiple = 2**depth
        self.residual = residual
        widths = [features * 2**level for level in range(depth + 1)]
        # A block that leads up ends as wide as the level above it; the topmost keeps its width.
        above = [features, *widths[:-1]]
        self.down = nn.ModuleList(
            conv_relu(ndim, kernel, before, width, width)
            for before, width in pairwise([1, *widths[:-1]])
        )
        self.pool = POOLS[ndim](2)
        self.middle = conv_relu(ndim, kernel, widths[-2], widths[-1], above[-1])
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.up = nn.ModuleList(
            conv_relu(ndim, kernel, 2 * widths[level], widths[level], above[level])
            for level in reversed(range(depth))
        )
        self.last = CONVOLUTIONS[ndim](features, 1, 1)
        initialise(self)

    def restore_padded(self, x: Tensor) -> Tensor:
        """`forward` for inputs whose sides are multiples of `multiple`."""
        skips = []
        y = x
        for block in self.down:
            y = block(y)
            skips.append(y)
            y = self.pool(y)
        y = self.middle(y)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            y = block(torch.cat((self.upsample(y), skip), dim=1))
        out: Tensor = self.last(y)
        return out + x if self.residual else out

    def forward(self, x: Tensor) -> Tensor:
        """Restore images or stacks.

        Parameters
        ----------
        x : Tensor, shape (N, 1, Y, X), or (N, 1, Z, Y, X) for three axes; float
            Normalised; any size. The far ends are reflected up to a multiple of 2**depth, where
            csbdeep reflects at both ends: at other sizes the borders differ.

        Returns
        -------
        Tensor, shape of `x`
        """
        padded = reflect_pad_axes(x, [self.multiple] * (x.ndim - 2))
        corner: tuple[EllipsisType | slice, ...] = (..., *(slice(size) for size in x.shape[2:]))
        return self.restore_padded(padded)[corner]


_CITATION = (
    "Weigert, M. et al. Content-aware image restoration: pushing the limits of fluorescence "
    "microscopy. Nature Methods 15, 1090-1097 (2018)"
)
_DOI = "10.1038/s41592-018-0216-7"

CARE = ReferenceModel(
    name="care",
    title="CARE",
    tasks=("denoise", "isotropic"),
    network="unifmir.reference.care:CareUNet",
    options={"ndim": 3, "depth": 2, "kernel": 3, "features": 32, "residual": True},
    signature=Signature(volumetric=True, volumetric_output=True),
    parameters=996_769,
    citation=_CITATION,
    doi=_DOI,
    notes=(
        "The UniFMIR paper's parameter count, 0.9968 M, is this network's; its GFLOPs (4206.4 for "
        "denoise, 26559 for isotropic) are another network's: 10 % fewer multiplications than "
        "this one needs. Its isotropic row uses the same network, where csbdeep's IsotropicCARE is "
        "a 2-D one that restores slices."
    ),
)

CARE_2D = ReferenceModel(
    name="care-2d",
    title="CARE 2D (XTC)",
    tasks=("sr", "denoise", "isotropic"),
    network="unifmir.reference.care:CareUNet",
    options={"ndim": 2, "depth": 2, "kernel": 3, "features": 32, "residual": True},
    signature=Signature(enlarge=2),
    parameters=332_641,
    citation=_CITATION,
    doi=_DOI,
    notes=(
        'The UniFMIR paper\'s row "XTC": its 0.3326 M parameters are those of the 2-D CARE with '
        "3x3 kernels (csbdeep's 2-D default, 5x5, has 922 977). XTC's public script trains "
        "csbdeep's CARE unchanged, in 3-D. The paper's 0.8568 GFLOPs are not this network's "
        "(1.3674, counted the same way). It keeps the sampling: for sr the image is enlarged first."
    ),
)

"""The U-Net that CAREamics trains: what a lab that starts today is likely to have.

Source: CAREamics 0.3.5 (https://careamics.github.io), the defaults of its `UNetConfig`: 2-D, depth
2, 32 channels at full resolution, batch norm, max-pooling, bilinear upsampling, concatenated skips,
no residual from input to output, no final activation. Widths follow N2V's network (Krull et al.,
CVPR 2019, doi 10.1109/CVPR.2019.00223): the first convolution of the bottom and of every
decoder level but the last is twice as wide as its second.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.networks.padding import reflect_pad
from unifmir.reference.base import ReferenceModel
from unifmir.signature import Signature


def conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def level(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """Two convolutions of one resolution."""
    return nn.Sequential(conv_norm_relu(in_channels, hidden), conv_norm_relu(hidden, out_channels))


class UNet(Network):
    """2-D U-Net; a stack is a batch of planes to it.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    depth : int
        Poolings by 2.
    features : int
        Channels at full resolution; doubled by each pooling.
    """

    def __init__(
        self, in_channels: int = 1, out_channels: int = 1, depth: int = 2, features: int = 32
    ) -> None:
        super().__init__()
        self.multiple = 2**depth
        widths = [features * 2**index for index in range(depth)]
        inputs = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(
            level(before, width, width) for before, width in zip(inputs, widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottom = level(widths[-1], 2 * widths[-1], widths[-1])
        # A decoder level ends as wide as the skip it meets above; the top one keeps its width.
        self.decoder = nn.ModuleList(
            level(2 * width, width, above)
            for width, above in zip(
                reversed(widths), [*reversed(widths[:-1]), features], strict=True
            )
        )
        self.last = nn.Conv2d(features, out_channels, 1)

    def restore_padded(self, x: Tensor) -> Tensor:
        """`forward` for inputs whose sides are multiples of 2**depth."""
        skips = []
        for step in self.encoder:
            skips.append(step(x))
            x = self.pool(skips[-1])
        x = self.bottom(x)
        for step, skip in zip(self.decoder, reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = step(torch.cat((x, skip), dim=1))
        out: Tensor = self.last(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Restore images of any size.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W), float
            Normalised.

        Returns
        -------
        Tensor, shape (N, out_channels, H, W)
        """
        height, width = x.shape[-2], x.shape[-1]
        return self.restore_padded(reflect_pad(x, self.multiple))[..., :height, :width]


UNET = ReferenceModel(
    name="unet",
    title="U-Net",
    tasks=("denoise",),
    network="unifmir.reference.unet:UNet",
    options={"in_channels": 1, "out_channels": 1, "depth": 2, "features": 32},
    signature=Signature(),
    parameters=333_729,
    citation="Krull, Buchholz and Jug, Noise2Void: learning denoising from single noisy images, "
    "CVPR 2019, 2129-2137; as built by CAREamics 0.3.5",
    doi="10.1109/CVPR.2019.00223",
    notes="Not in the UniFMIR paper: what CAREamics trains by default. The library's own network "
    "has as many parameters and, given the same weights, the same output.",
)

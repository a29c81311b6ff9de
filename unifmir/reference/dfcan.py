"""DFCAN: super-resolution with channel attention on the Fourier spectrum.

Source: Qiao et al., Nature Methods 18, 194 (2021), doi 10.1038/s41592-020-01048-5, Methods
("DFCAN and DFGAN"); depth and widths as its published DFCAN16 has them.
"""

import math

import torch
from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.reference.base import ReferenceModel
from unifmir.reference.layers import initialise
from unifmir.signature import Signature

SPECTRUM_EXPONENT = 0.8
"""Exponent of the amplitudes, which compresses the range of the spectrum."""
POWER_FLOOR = 1e-16
"""Added to squared amplitudes: at 0 the power's slope is infinite, and a constant image has nothing
but zeros off the origin. 4e-7 is added there at most, beside amplitudes of the order of 1."""


def fourier_matrices(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the discrete Fourier transform, frequency 0 in the middle.

    Returns
    -------
    tuple of Tensor, shape (size, size), float32, in [-1, 1]
        A row is a frequency, from -(size // 2) on; a column is a pixel.
    """
    pixel = torch.arange(size, device=device)
    # Whole turns are taken off as integers: fp32 has no digits left for them at large sizes.
    turns = ((pixel - size // 2)[:, None] * pixel[None, :]) % size
    angle = turns.float() / size * math.tau
    return angle.cos(), angle.sin()


def matrix_power(x: Tensor) -> Tensor:
    """Centred power spectrum, as matrix products.

    For exported graphs. ONNX has a DFT operator since opset 17, but GPU runtimes have it late or
    not at all, and ONNX Runtime's on a CPU takes longer than these products do (128 x 128 pixels:
    0.6 s to 0.2 s a forward pass on one core; 127 x 131: 2.9 s to 0.2 s). The products are
    2 H W (2 H + W) multiplications a channel where an FFT has a few per pixel: 12.9 G in the whole
    network at 128 x 128 beside 31.5 G of the convolutions, and they grow with the side.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W), float32
        Features.

    Returns
    -------
    Tensor, shape (N, C, H, W)
    """
    cosines, sines = fourier_matrices(x.shape[-1], x.device)
    even, odd = x @ cosines.transpose(0, 1), x @ sines.transpose(0, 1)
    cosines, sines = fourier_matrices(x.shape[-2], x.device)
    real = cosines @ even - sines @ odd
    imaginary = cosines @ odd + sines @ even
    return real.square() + imaginary.square()


def amplitudes(x: Tensor) -> Tensor:
    """Amplitudes of the Fourier transform to the power of 0.8, frequency 0 in the middle.

    Computed in fp32 whatever the precision: frequency 0 is a sum over all pixels.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W), float
        Features.

    Returns
    -------
    Tensor, shape (N, C, H, W), of the type of x
    """
    pixels = x.float()
    if torch.onnx.is_in_onnx_export():
        power = matrix_power(pixels)
    else:
        spectrum = torch.fft.fftshift(torch.fft.fft2(pixels), dim=(-2, -1))
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
    return ((power + POWER_FLOOR) ** (SPECTRUM_EXPONENT / 2)).to(x.dtype)


class FourierChannelAttention(nn.Module):
    """Weight each channel by what its spectrum says."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.spectral = nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU())
        self.weight = nn.Sequential(
            nn.Conv2d(features, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, features, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) -> the same shape, float."""
        response = self.spectral(amplitudes(x)).mean(dim=(-2, -1), keepdim=True)
        result: Tensor = x * self.weight(response)
        return result


class AttentionBlock(nn.Module):
    """Two convolutions and a Fourier channel attention, with a residual around them."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.GELU(),
            FourierChannelAttention(features, hidden),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) -> the same shape, float."""
        result: Tensor = x + self.body(x)
        return result


class AttentionGroup(nn.Module):
    """Attention blocks with a residual around them."""

    def __init__(self, features: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(AttentionBlock(features, hidden) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) -> the same shape, float."""
        result: Tensor = x + self.blocks(x)
        return result


class DfcanNetwork(Network):
    """Deep Fourier channel attention network.

    Its attention averages over the whole spectrum: a tile's result depends on the tile's extent.

    Parameters
    ----------
    in_channels : int
        Raw images per super-resolved image; 1 for wide-field.
    features : int
        Width of the network.
    hidden : int
        Channels of the attention's bottleneck.
    groups, blocks : int
        Residual groups, and attention blocks in each.
    scale : int
        Lateral magnification of the output.
    """

    def __init__(
        self,
        in_channels: int = 1,
        features: int = 64,
        hidden: int = 4,
        groups: int = 4,
        blocks: int = 4,
        scale: int = 2,
    ) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(in_channels, features, 3, padding=1), nn.GELU())
        self.groups = nn.Sequential(
            *(AttentionGroup(features, hidden, blocks) for _ in range(groups))
        )
        self.tail = nn.Sequential(
            nn.Conv2d(features, features * scale**2, 3, padding=1),
            nn.GELU(),
            nn.PixelShuffle(scale),
            nn.Conv2d(features, 1, 3, padding=1),
            nn.Sigmoid(),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge images of any size.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W), float32 in [0, 1]

        Returns
        -------
        Tensor, shape (N, 1, scale * H, scale * W), in (0, 1)
        """
        out: Tensor = self.tail(self.groups(self.head(x)))
        return out


DFCAN = ReferenceModel(
    name="dfcan",
    title="DFCAN",
    tasks=("sr",),
    network="unifmir.reference.dfcan:DfcanNetwork",
    options={
        "in_channels": 1,
        "features": 64,
        "hidden": 4,
        "groups": 4,
        "blocks": 4,
        "scale": 2,
    },
    signature=Signature(scale=2),
    parameters=1_930_753,
    citation="Qiao et al., Evaluation and development of deep neural networks for image "
    "super-resolution in optical microscopy, Nature Methods 18, 194-202 (2021)",
    doi="10.1038/s41592-020-01048-5",
    # Its authors'; at 1e-3 it collapses to a constant.
    learning_rate=1e-4,
)

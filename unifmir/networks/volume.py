"""The light-field volume reconstruction network: a U-Net over views, then a Swin restoration.

Sources: Ma et al., Nature Methods 2024; the U-Net follows VCD-Net (Wang et al., Nature Methods
2021) in outline.
"""

from collections.abc import Sequence
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unifmir.networks.padding import reflect_pad
from unifmir.networks.swin import SwinRestoration


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (N, C, H, W), float of any values, bilinearly, corners not aligned."""
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


class ViewUNet(nn.Module):
    """U-Net that makes a volume of the views of a light field.

    Parameters
    ----------
    views : int
        Views, a square number n x n; the volume is n times as wide and high as a view.
    planes : int
        Planes of the volume.
    stem_features : int
        Channels of the first convolution; each of the four steps up halves them.
    entry_features : int
        Channels of the U-Net's input.
    encoder : sequence of int
        Widths of the encoder's levels.
    """

    STEPS = 4

    def __init__(
        self,
        views: int,
        planes: int,
        stem_features: int,
        entry_features: int,
        encoder: Sequence[int],
    ) -> None:
        super().__init__()
        self.magnification = isqrt(views)
        self.conv2d = nn.Conv2d(views, stem_features, 7, padding=3)
        steps, width = [], stem_features
        for _ in range(self.STEPS):
            steps.append(
                nn.Sequential(
                    nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PixelShuffle(2)),
                    nn.Conv2d(width // 4, width // 2, 3, padding=1),
                )
            )
            width //= 2
        self.layers = nn.ModuleList(steps)
        self.conv2d1 = self._conv_norm_relu(width, width)
        self.conv2d2 = self._conv_norm_relu(width, entry_features)
        inputs = [entry_features, *encoder[:-1]]
        self.widening = [b - a for a, b in zip(inputs, encoder, strict=True)]
        self.encoder_layers = nn.ModuleList(
            self._conv_norm_relu(a, b) for a, b in zip(inputs, encoder, strict=True)
        )
        decoder, width = [], encoder[-1]
        # A level's output is as wide as the skip of the level above; the last gives the planes.
        for skip, out in zip(reversed(inputs), [*reversed(encoder[:-1]), planes], strict=True):
            decoder.append(
                nn.Sequential(
                    nn.Conv2d(skip + width, out, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(out)
                )
            )
            width = out
        self.decoder_layers = nn.ModuleList(decoder)

    @staticmethod
    def _conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, n * n, h, w) -> (N, planes, n * h, n * w), in (-1, 1)."""
        sizes = [(x.shape[-2] * self.magnification, x.shape[-1] * self.magnification)]
        x = self.conv2d(x)
        for step in self.layers:
            x = step(x)
        x = self.conv2d2(self.conv2d1(x))
        skips = []
        for level, widening in zip(self.encoder_layers, self.widening, strict=True):
            skips.append(x)
            # The level's input is added to the first channels of its wider output.
            x = level(x) + F.pad(x, (0, 0, 0, 0, 0, widening))
            x = F.max_pool2d(x, kernel_size=3, stride=2)
        sizes += [(skip.shape[-2], skip.shape[-1]) for skip in skips]
        x = resize(x, *sizes[-1])
        for index, level in enumerate(self.decoder_layers):
            x = level(torch.cat((skips[-1 - index], x), dim=1))
            x = resize(x, *sizes[-2 - index])
        return x.tanh()


class VolumeRestoration(SwinRestoration):
    """Single-task light-field reconstruction: the U-Net's volume, refined by a Swin restoration.

    Parameters
    ----------
    views, planes, stem_features, entry_features, encoder
        As for `ViewUNet`.
    embed_dim, depths, num_heads, window_size, mlp_hidden, tail_features, body_residual
        As for `SwinRestoration`.
    """

    def __init__(
        self,
        views: int = 121,
        planes: int = 61,
        stem_features: int = 128,
        entry_features: int = 64,
        encoder: Sequence[int] = (128, 256, 512, 512, 512),
        embed_dim: int = 90,
        depths: Sequence[int] = (6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6),
        window_size: int = 8,
        mlp_hidden: int = 180,
        tail_features: int = 90,
        body_residual: bool = False,
    ) -> None:
        super().__init__(
            in_channels=planes,
            out_channels=planes,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            mlp_hidden=mlp_hidden,
            tail_features=tail_features,
            scale=1,
            body_residual=body_residual,
        )
        self.conv_first0 = ViewUNet(views, planes, stem_features, entry_features, encoder)

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Volume of the U-Net and refined one, float, (N, planes, n * h, n * w) each, cropped."""
        n = self.conv_first0.magnification
        height, width = x.shape[-2] * n, x.shape[-1] * n
        volume: Tensor = self.conv_first0(reflect_pad(x, self.window_size))
        refined = self.restore_padded(volume)
        return volume[..., :height, :width], refined[..., :height, :width]

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct volumes.

        Parameters
        ----------
        x : Tensor, shape (N, n * n, h, w), float32 in [-1, 1]
            Views in row-major order; n = 11 in the paper.

        Returns
        -------
        Tensor, shape (N, planes, n * h, n * w)
        """
        return self.stages(x)[1]

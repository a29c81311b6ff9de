"""Light-field networks on tiles.

Their U-Net halves its images without padding, s pixels to (s - 1) // 2, and resizes them to given
sizes. Where a resize reads therefore depends on the size of the whole image, and a tile alone
differs from the whole everywhere, not only at its edges. Told where it lies, a tile is resized by
the whole image's coordinates, and differs within its halo only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unifmir.errors import ImageError
from unifmir.networks.base import Network
from unifmir.networks.padding import reflect_pad
from unifmir.networks.volume import ViewUNet, VolumeRestoration
from unifmir.reference.vcd_net import VCDNet, reflect_pad_to

Extent = tuple[int, int]
"""Along one axis: where a tile starts in the whole image, and the whole image's length."""


class PlacedNetwork(nn.Module):
    """A light-field network that is told where its views lie. Shares the weights.

    Parameters
    ----------
    network : Network
        `VolumeRestoration` or `VCDNet`.

    Raises
    ------
    ImageError
        It is another network.
    """

    USED_IN_PARTS = (ViewUNet,)
    """Kinds of modules whose parts are called here one by one: `unifmir.native.accelerate` replaces
    their convolutions, and never the whole."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        if not isinstance(network, VolumeRestoration | VCDNet):
            raise ImageError(
                f"{type(network).__name__} reads no light fields; expected a network for volume"
            )
        self.network = network

    def forward(self, views: Tensor, start: tuple[int, int], whole: tuple[int, int]) -> Tensor:
        """Reconstruct a tile as a part of the whole.

        Parameters
        ----------
        views : Tensor, shape (N, n * n, h, w)
            As the network reads them.
        start, whole : tuple of int
            Row and column of the tile's first lens, even numbers, and the lenses of the whole
            image along y and x.

        Returns
        -------
        Tensor, shape (N, planes, n * h, n * w)
        """
        network = self.network
        if isinstance(network, VCDNet):
            unet = network.unet
            padded = reflect_pad_to(views, network.minimum)
            sizes = [max(length, network.minimum) for length in whole]
        else:
            unet, window = network.conv_first0, network.window_size
            padded = reflect_pad(views, window)
            sizes = [-(-length // window) * window for length in whole]
        rows, columns = ((first, size) for first, size in zip(start, sizes, strict=True))
        volume = _placed_unet(unet, padded, rows, columns)
        if isinstance(network, VolumeRestoration):
            volume = network.restore_padded(volume)
        n = unet.magnification
        return volume[..., : views.shape[-2] * n, : views.shape[-1] * n]


def _placed_unet(unet: ViewUNet, views: Tensor, rows: Extent, columns: Extent) -> Tensor:
    """`ViewUNet.forward` with every resize in the whole image's coordinates."""
    n, fine = unet.magnification, 2**unet.STEPS
    final = (views.shape[-2] * n, views.shape[-1] * n)
    x = unet.conv2d(views)
    for step in unet.layers:
        x = step(x)
    x = unet.conv2d2(unet.conv2d1(x))
    places = [tuple((first * fine, length * fine) for first, length in (rows, columns))]
    skips = []
    for level, widening in zip(unet.encoder_layers, unet.widening, strict=True):
        skips.append(x)
        x = level(x) + F.pad(x, (0, 0, 0, 0, 0, widening))
        x = F.max_pool2d(x, kernel_size=3, stride=2)
        places.append(tuple((first // 2, (length - 1) // 2) for first, length in places[-1]))
    last = skips[-1]
    x = _placed_resize(x, places[-1], places[-2], (last.shape[-2], last.shape[-1]))
    targets = [
        tuple((first * n, length * n) for first, length in (rows, columns)),
        *places[:-2],
    ]
    lengths = [final, *((skip.shape[-2], skip.shape[-1]) for skip in skips[:-1])]
    here = places[-2]
    for index, level in enumerate(unet.decoder_layers):
        x = level(torch.cat((skips[-1 - index], x), dim=1))
        target, length = targets[-1 - index], lengths[-1 - index]
        x = _placed_resize(x, here, target, length)
        here = target
    return x.tanh()


def _placed_resize(
    x: Tensor, before: tuple[Extent, ...], after: tuple[Extent, ...], lengths: tuple[int, int]
) -> Tensor:
    """Bilinear resize, corners not aligned, of a tile that lies at `before` to one at `after`."""
    for axis, source, target, length in zip((-2, -1), before, after, lengths, strict=True):
        if source == target and x.shape[axis] == length:
            continue
        # float64: whole images are longer than float32 has digits for.
        position = torch.arange(length, device=x.device, dtype=torch.float64) + target[0]
        position = ((position + 0.5) * (source[1] / target[1]) - 0.5).clamp(min=0)
        low = position.floor()
        part = (position - low).to(x.dtype)
        first = low.long()
        second = (first + 1).clamp(max=source[1] - 1)
        last = x.shape[axis] - 1
        one = x.index_select(axis, (first - source[0]).clamp(0, last))
        two = x.index_select(axis, (second - source[0]).clamp(0, last))
        if axis == -2:
            part = part[:, None]
        x = one * (1 - part) + two * part
    return x

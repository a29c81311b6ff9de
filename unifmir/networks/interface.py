"""Image interfaces: wrappers that show a network the image that a user holds.

Each wrapper takes one image tensor and gives one, so that an exported model needs no code
around it: five-slice windows over a stack (denoise), XZ and YZ slices combined (isotropic),
planes as channels (projection), raw light field to views (volume).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BRIGHTEST_FRACTION = 0.55
"""Share of a light field's maximum that becomes 0 in [-1, 1], as in the official inference."""


class PlaneInterface(nn.Module):
    """Image interface of single planes: the network's own input is the image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, Y, X) -> (N, 1, scale * Y, scale * X), float, normalised."""
        out: Tensor = self.network(image)
        return out


class EnlargingInterface(nn.Module):
    """Image interface of networks that keep the sampling: they read it enlarged bilinearly."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, Y, X) -> (N, 1, scale * Y, scale * X), float, normalised."""
        enlarged = F.interpolate(
            image, scale_factor=self.scale, mode="bilinear", align_corners=False
        )
        out: Tensor = self.network(enlarged)
        return out


class VolumetricInterface(nn.Module):
    """Image interface of networks with a depth of their own: they read the stack as it is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, stack: Tensor) -> Tensor:
        """(N, 1, Z, Y, X) -> the same shape, or (N, 1, Y, X); float, normalised."""
        out: Tensor = self.network(stack)
        return out


class StackInterface(nn.Module):
    """Image interface of stacks: each slice is restored from a window of slices around it.

    Beyond the stack's ends the restored slice itself is repeated, as in the official inference
    (z = 0 reads [0, 0, 0, 1, 2], z = 1 reads [1, 0, 1, 2, 3]).

    Parameters
    ----------
    network : module
        (N, window, H, W) -> (N, 1, H, W).
    window : int
        Slices per window, odd.
    """

    def __init__(self, network: nn.Module, window: int) -> None:
        super().__init__()
        self.network = network
        self.window = window

    def forward(self, stack: Tensor) -> Tensor:
        """(N, 1, Z, Y, X) -> the same shape, for every Z from 1 on; float, normalised."""
        depth, height, width = stack.shape[2], stack.shape[3], stack.shape[4]
        centre = torch.arange(depth, device=stack.device)[:, None]
        reach = self.window // 2
        wanted = centre + torch.arange(-reach, reach + 1, device=stack.device)[None, :]
        inside = (wanted >= 0) & (wanted < depth)
        index = torch.where(inside, wanted, centre.expand_as(wanted)).flatten()
        slices = stack[:, 0].index_select(1, index)
        windows = slices.reshape(-1, self.window, height, width)
        restored: Tensor = self.network(windows)
        return restored.reshape(-1, 1, depth, height, width)


class IsotropicInterface(nn.Module):
    """Image interface of volumes whose axial sections are restored, along both lateral axes.

    Each x gives an image with rows y and columns z, each y one with rows x and columns z, as in
    the official inference; the geometric mean of the two, sqrt(max(a, 0) * max(b, 0)), is the
    result (Weigert et al., Nature Methods 2018).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def passes(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Restore (N, 1, Z, Y, X) along x and along y: (N, Z, Y, X) each, float, normalised."""
        depth, height, width = volume.shape[2], volume.shape[3], volume.shape[4]
        by_x = volume[:, 0].permute(0, 3, 2, 1)
        by_y = volume[:, 0].permute(0, 2, 3, 1)
        first = self.network(by_x.reshape(-1, 1, height, depth))
        second = self.network(by_y.reshape(-1, 1, width, depth))
        first = first.reshape(-1, width, height, depth).permute(0, 3, 2, 1)
        second = second.reshape(-1, height, width, depth).permute(0, 3, 1, 2)
        return first, second

    def forward(self, volume: Tensor) -> Tensor:
        """(N, 1, Z, Y, X) -> the same shape; float, normalised.

        z is already interpolated to isotropic sampling.
        """
        return self.mean(*self.passes(volume))

    def mean(self, first: Tensor, second: Tensor) -> Tensor:
        """Geometric mean of both passes, (N, 1, Z, Y, X), float, normalised."""
        combined: Tensor = (first.clamp(min=0) * second.clamp(min=0)).sqrt()
        return combined.unsqueeze(1)


class ProjectionInterface(nn.Module):
    """Image interface of projections: the planes of a stack are the network's channels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, stack: Tensor) -> Tensor:
        """(N, 1, planes, Y, X) -> (N, 1, Y, X), float, normalised."""
        out: Tensor = self.network(stack[:, 0])
        return out


class LightFieldInterface(nn.Module):
    """Image interface of raw light fields with n x n pixels behind each lens.

    The input is divided by `BRIGHTEST_FRACTION` of its maximum and shifted to [-1, 1], and the
    result mapped back to [0, 1], as in the official inference. The maximum is the whole image's:
    restored in tiles, a light field gives another result.
    """

    def __init__(self, network: nn.Module, views_per_side: int) -> None:
        super().__init__()
        self.network = network
        self.views_per_side = views_per_side

    def forward(self, light_field: Tensor) -> Tensor:
        """(N, 1, n * h, n * w), float, >= 0 -> (N, 1, planes, n * h, n * w) in [0, 1]."""
        brightest = light_field.amax(dim=(1, 2, 3), keepdim=True)
        # An empty light field has no maximum to divide by; it maps to -1 whatever the divisor.
        brightest = torch.where(brightest > 0, brightest, torch.ones_like(brightest))
        scaled = light_field / (brightest * BRIGHTEST_FRACTION) - 1
        # pixel_unshuffle gives channel i * n + j the pixels [i::n, j::n]: the official view order.
        volume: Tensor = self.network(F.pixel_unshuffle(scaled, self.views_per_side))
        return ((volume.clamp(-1, 1) + 1) / 2).unsqueeze(1)

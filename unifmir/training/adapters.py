"""Low-rank adapters for the body: a few weights learn what all of it would (Hu et al., ICLR 2022).

The matrix W of a layer becomes W + B A with A of `rank` rows. W is not trained, B starts at zero,
and in the end the sum takes the place of W, so that the model is one like any other.
"""

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unifmir.networks.base import Network
from unifmir.networks.swin import BODY_PARTS, SwinBody

LAYERS = (nn.Linear, nn.Conv2d)


class LowRankChange(nn.Module):
    """Change of a weight by a product of two thin matrices.

    Parameters
    ----------
    weight : Tensor, shape (out, ...), float
        Weight that is changed.
    rank : int
        Rank of the change.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Float32[Tensor, "out ..."]) -> Float32[Tensor, "out ..."]:
        """The changed weight; shape and dtype of `weight`, any real value."""
        return weight + (self.up @ self.down).view_as(weight)


def adapted_layers(network: Network) -> list[nn.Module]:
    """Layers of the bodies of a network that have a matrix."""
    return [
        layer
        for body in network.modules()
        if isinstance(body, SwinBody)
        for part in BODY_PARTS
        for layer in body.get_submodule(part).modules()
        if isinstance(layer, LAYERS)
    ]


def add_adapters(network: Network, rank: int) -> None:
    """Give the layers of the body adapters, in place; of the body nothing else is trained.

    Parameters
    ----------
    network : Network
    rank : int
        Rank of each change.
    """
    for body in network.modules():
        if isinstance(body, SwinBody):
            for part in BODY_PARTS:
                body.get_submodule(part).requires_grad_(requires_grad=False)
    for layer in adapted_layers(network):
        weight = layer.get_parameter("weight")
        parametrize.register_parametrization(layer, "weight", LowRankChange(weight, rank))


def merge_adapters(network: Network) -> None:
    """Put the changed weights in place of the weights and their adapters, in place."""
    for layer in adapted_layers(network):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")

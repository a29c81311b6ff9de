"""Losses of pairs, and the outputs that they are of."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unifmir.networks.base import Network
from unifmir.networks.multitask import TaskNetworks, UniFMIR
from unifmir.networks.projection import ProjectionRestoration
from unifmir.networks.volume import VolumeRestoration

EMPTY_VARIANCE = 0.005
"""Variance of a nearly empty truth, in squared normalised units: emptier ones count less."""


def stages_of(network: Network, inputs: Tensor, task: str) -> tuple[Tensor, ...]:
    """Outputs in turn of the networks of a task, float, normalised, shapes as the network says."""
    if isinstance(network, UniFMIR | TaskNetworks):
        return network.stages(inputs, task)
    if isinstance(network, ProjectionRestoration | VolumeRestoration):
        return network.stages(inputs)
    return (network(inputs),)


def restoration_loss(
    restored: Float[Tensor, "n ..."],
    target: Float[Tensor, "n ..."],
    *,
    l1_share: float,
    equal_weight: bool = False,
) -> Float[Tensor, ""]:
    """Loss of normalised images, equation 2 of the paper, as means.

    It is 0.5 L1 + 0.5 L2 when pre-training, L1 when fine-tuning. With `equal_weight` L1 of each
    image is over the deviation of its truth, L2 over the variance, plus that of a nearly empty one.
    """
    if equal_weight:
        variance = target.flatten(1).var(dim=1, correction=0) + EMPTY_VARIANCE
        scale = variance.rsqrt().view(-1, *[1] * (target.ndim - 1))
        restored, target = restored * scale, target * scale
    loss = l1_share * F.l1_loss(restored, target)
    return loss + (1 - l1_share) * F.mse_loss(restored, target)

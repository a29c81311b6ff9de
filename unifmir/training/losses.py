"""Losses of pairs, and the outputs that they are of."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unifmir.networks.base import Network
from unifmir.networks.multitask import TaskNetworks, UniFMIR
from unifmir.networks.projection import ProjectionRestoration
from unifmir.networks.volume import VolumeRestoration


def stages_of(network: Network, inputs: Tensor, task: str) -> tuple[Tensor, ...]:
    """Outputs in turn of the networks of a task, float, normalised, shapes as the network says."""
    if isinstance(network, UniFMIR | TaskNetworks):
        return network.stages(inputs, task)
    if isinstance(network, ProjectionRestoration | VolumeRestoration):
        return network.stages(inputs)
    return (network(inputs),)


def restoration_loss(
    restored: Float[Tensor, "*axes"], target: Float[Tensor, "*axes"], *, l1_share: float
) -> Float[Tensor, ""]:
    """Loss of normalised images, equation 2 of the paper, as means.

    It is 0.5 L1 + 0.5 L2 when pre-training, L1 when fine-tuning.
    """
    loss = l1_share * F.l1_loss(restored, target)
    return loss + (1 - l1_share) * F.mse_loss(restored, target)

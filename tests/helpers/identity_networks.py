"""Networks that give back what they are given: what comes out shows how it is scaled back."""

import torch
from torch import nn

from tests.helpers.reference_models import OPTIONS
from unifmir.config import ReferenceConfig
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.tasks.base import TruthScaling


def identity_network(task: str, intensities: TruthScaling, *, added: float = 0.0) -> Network:
    """A small CARE U-Net whose last layer adds a constant to its input; sr's is enlarged before."""
    options = tuple(sorted(OPTIONS["care-2d"].items()))
    network = build(ReferenceConfig("care-2d", task, options, intensities))
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.zero_()
        assert last.bias is not None
        last.bias.fill_(added)
    return network

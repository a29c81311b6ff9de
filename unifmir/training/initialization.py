"""Random weights that a training can start from."""

from typing import cast

import torch
from torch import nn

from unifmir.networks.base import Network
from unifmir.networks.multitask import TaskNetworks, UniFMIR
from unifmir.networks.volume import ViewUNet, VolumeRestoration
from unifmir.reference.vcd_net import VCDNet
from unifmir.tasks import TASKS

DARK = -0.964
"""tanh(-2), about the mean of a simulated volume in [-1, 1]."""


def start_dark(network: Network) -> Network:
    """Start light-field outputs at darkness, in place; leave other networks as they are.

    A light-field volume is nearly everywhere at -1. From an output around 0 the quickest way down
    is to shrink the last gain to nothing, and behind a gain of nothing no layer learns: after
    1,700 steps the output was still a constant. Started at darkness, it follows the truth
    (correlation 0.38) after 280. The gain stands behind a ReLU: one bias up, no plane is born
    dead; without that, planes at the far ends stayed constant for a thousand steps.
    """
    if isinstance(network, TaskNetworks):
        for one in network.children():
            start_dark(cast(Network, one))
    elif isinstance(network, UniFMIR | VolumeRestoration | VCDNet):
        unet: ViewUNet = network.unet if isinstance(network, VCDNet) else network.conv_first0
        last = f"decoder_layers.{len(unet.decoder_layers) - 1}"
        starts = {f"{last}.0.bias": 1.0, f"{last}.2.weight": 0.3, f"{last}.2.bias": -2.0}
        for name, value in starts.items():
            nn.init.constant_(unet.get_parameter(name), value)
        if not isinstance(network, VCDNet):
            tail = network.conv_lastv if isinstance(network, UniFMIR) else network.conv_last
            nn.init.constant_(tail.get_parameter("bias"), DARK)
    return network


def renew(network: Network, fresh: Network, tasks: list[str]) -> None:
    """Give a task's own layers the weights they have in `fresh`; the shared ones stay.

    Parameters
    ----------
    network, fresh : Network
        Multi-task, of one configuration; `network` is changed.
    """
    if isinstance(network, TaskNetworks):
        prefixes = tuple(f"{task}." for task in tasks)
    else:
        parts = (TASKS[task].multitask for task in tasks)
        prefixes = tuple(layer for part in parts if part for layer in part.own_layers)
    taken = {k: v for k, v in fresh.state_dict().items() if k.startswith(prefixes)}
    with torch.no_grad():
        network.load_state_dict(taken, strict=False)

"""Networks without memory: the meta device keeps shapes and types, and no values.

A full-size network and a full-size image then cost nothing to run through.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from unifmir import model
from unifmir.config import ModelConfig
from unifmir.networks.base import Network

META = torch.device("meta")


def meta_network(config: ModelConfig) -> Network:
    """The network of a configuration, in eval mode, without weights."""
    with META:
        return model.build(config)


def meta_copy(module: nn.Module) -> nn.Module:
    """A copy of a module, in eval mode, without weights; hooks and keys are the same.

    The stand-ins are made before copying, so that the weights are at no time there twice. A module
    that has no weights and is in eval mode is given back itself: copying takes as long as counting.
    """
    tensors = (*module.parameters(), *module.buffers())
    if (
        tensors
        and all(t.is_meta for t in tensors)
        and not any(m.training for m in module.modules())
    ):
        return module
    memo: dict[int, Any] = {}
    for child in module.modules():
        for parameter in child.parameters(recurse=False):
            empty = torch.empty_like(parameter, device=META)
            memo[id(parameter)] = nn.Parameter(empty, requires_grad=False)
        for value in (*child.buffers(recurse=False), *vars(child).values()):
            if isinstance(value, Tensor):
                memo[id(value)] = torch.empty_like(value, device=META)
    return deepcopy(module, memo).eval()

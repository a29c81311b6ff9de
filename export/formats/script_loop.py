"""The loop in a TorchScript file: of many images the network is given a few at a time.

A traced network runs all slices of a stack, or all sections of a volume, in one batch, whose
features lie in main memory: a volume of 56 pixels a side took 3.4 times as long as in parts of two
sections. Tracing writes no loops, so this one is scripted, around the traced network.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from unifmir.networks.interface import IsotropicInterface, StackInterface


class InParts(nn.Module):
    """A network that computes a few of many images at a time.

    Parameters
    ----------
    network : module
        (N, C, H, W) -> (N, ...), each image by itself.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Restore images (N, C, H, W), float, in any range that the network takes."""
        # 8192 pixels at a time: their features stay in a processor's cache. A GPU takes 64 times as
        # many, without a branch: a program with one is refused. Written out, since torch writes a
        # class's constants in an order of the moment.
        pixels = 8192 * (1 + 63 * int(images.is_cuda))
        few = pixels // (images.shape[-2] * images.shape[-1])
        restored = []
        for part in images.split(max(1, few)):
            restored.append(self.network(part))  # noqa: PERF401  # scripted
        return torch.cat(restored)


@contextmanager
def looped(module: nn.Module, example: Tensor) -> Iterator[None]:
    """Meanwhile the interfaces in `module` that cut images into many have their network in a loop.

    Parameters
    ----------
    module : module
    example : Tensor
        Image that it can be traced with, of any shape and range that it takes, float.
    """
    with ExitStack() as undo:
        for part in list(module.modules()):
            if isinstance(part, IsotropicInterface | StackInterface):
                undo.callback(setattr, part, "network", part.network)
                part.network = _looped(part.network, _seen(module, part.network, example))
        yield


def _looped(network: nn.Module, images: Tensor) -> nn.Module:
    traced = torch.jit.trace(network, images, check_trace=False)
    looped: nn.Module = torch.jit.script(InParts(traced))
    return looped


def _seen(module: nn.Module, network: nn.Module, image: Tensor) -> Tensor:
    """Input of a network inside a module, for an image of the module."""
    seen: list[Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        module(image)
    finally:
        hook.remove()
    return seen[0]

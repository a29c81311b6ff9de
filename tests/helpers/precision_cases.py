"""Inputs and networks that the tests of precision share."""

import numpy as np
import torch
from torch import nn

from unifmir.compare import compare

# Non-square, batch 2: network and image interface; then other sizes, where nothing may be fixed.
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "sr": [(2, 1, 16, 24), (1, 1, 13, 17)],
    "denoise": [(2, 5, 16, 24), (1, 5, 13, 17)],
    "isotropic": [(2, 1, 16, 24), (1, 1, 13, 17)],
    "projection": [(2, 6, 16, 24), (1, 6, 13, 17)],
    "volume": [(2, 9, 8, 16), (1, 9, 5, 9)],
}
IMAGES: dict[str, list[tuple[int, ...]]] = {
    "sr": [(2, 1, 16, 24), (1, 1, 13, 17)],
    "denoise": [(2, 1, 3, 16, 24), (1, 1, 7, 13, 17)],
    "isotropic": [(2, 1, 8, 10, 12), (1, 1, 5, 9, 6)],
    "projection": [(2, 1, 6, 16, 24), (1, 1, 6, 13, 17)],
    "volume": [(2, 1, 24, 48), (1, 1, 15, 27)],
}


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    """A float32 picture in [0, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def task_input(task: str, which: int = 0) -> torch.Tensor:
    """What the network of a task reads."""
    x = image(*SHAPES[task][which])
    return 2 * x - 1 if task == "volume" else x


def run(module: nn.Module, x: torch.Tensor) -> np.ndarray:
    """The output of a module."""
    with torch.no_grad():
        out: np.ndarray = module(x).numpy()
    return out


def psnr_db(expected: nn.Module, actual: nn.Module, x: torch.Tensor) -> float:
    """Of one module's output against another's."""
    return compare(run(expected, x), run(actual, x)).psnr_db


def outgrow(network: nn.Module) -> nn.Module:
    """Make the residual stream exceed fp16: 1e5 times larger after the first norm.

    The branches read it through layer norms and add 1000 times as much as before, within fp16.
    The last norm brings the picture back.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("patch_embed.norm"):
                parameter.mul_(1e5)
            elif ".proj." in name or ".fc2." in name:
                parameter.mul_(1e3)
    return network

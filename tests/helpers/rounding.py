"""A module whose arithmetic in fp32 is off by more than a file may be."""

import torch
from torch import Tensor, nn


class Rounds(nn.Module):
    """Rounds to a 1024th of the largest value in fp32, and in any arithmetic makes a diagonal
    brighter by `part` of the standard deviation."""

    def __init__(self, module: nn.Module, part: float) -> None:
        super().__init__()
        self.module, self.part = module, part

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.module(x)
        large = 2.0**13 * made.abs().max()
        return (made + large) - large + self.part * made.std() * torch.eye(*made.shape[-2:])

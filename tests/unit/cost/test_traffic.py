"""Bytes moved by a forward pass, against sums by hand."""

import torch
from torch import Tensor, nn

from unifmir.cost.traffic import count_traffic

FLOAT = 4


class Expanded(nn.Module):
    """Adds a row to every row of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.zeros(1, 8))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.row.expand(16, 8)


def test_each_operation_reads_its_inputs_and_writes_its_result():
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    image, weights, result = 64, 36 + 4, 4 * 64
    convolution, relu = image + weights + result, 2 * result
    assert count_traffic(module, (1, 1, 8, 8)) == FLOAT * (convolution + relu)


def test_a_view_moves_nothing():
    assert count_traffic(nn.Flatten(), (2, 3, 4)) == 0


def test_an_expanded_tensor_is_read_once():
    assert count_traffic(Expanded(), (16, 8)) == FLOAT * (16 * 8 + 8 + 16 * 8)


def test_traffic_of_a_convolution_grows_with_the_image_and_not_with_the_weights():
    module = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    weights = FLOAT * 2 * 3 * 9
    small, large = (count_traffic(module, (1, 2, side, side)) - weights for side in (8, 16))
    assert large == 4 * small

"""Building blocks that several reference networks share."""

from collections.abc import Sequence

from torch import Tensor, nn

from unifmir.networks.padding import reflect_index

CONVOLUTIONS: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Kinds of convolutions by the number of spatial axes."""
_FILLED = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def initialise(network: nn.Module) -> None:
    """Fill the convolutions as Keras and TensorFlow do by default.

    Training then starts as that of the published networks, which were made with them.
    """
    for layer in network.modules():
        if isinstance(layer, _FILLED):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def reflect_pad_axes(x: Tensor, multiples: Sequence[int]) -> Tensor:
    """Reflect-pad the end of the last axes, each up to a multiple of its number.

    Parameters
    ----------
    x : Tensor, shape (..., *spatial), any dtype, any values
    multiples : sequence of int
        One per spatial axis, pixels; an axis with 1 is left as it is.
    """
    for axis, multiple in enumerate(multiples, start=-len(multiples)):
        if multiple > 1:
            x = x.index_select(axis, reflect_index(x.shape[axis], multiple, x.device))
    return x

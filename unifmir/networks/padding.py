"""Padding by reflection, for every size and inside an exported graph."""

import torch
from torch import Tensor


def reflect_index(size: int, multiple: int, device: torch.device) -> Tensor:
    """Indices that extend an axis of `size` pixels by reflection to a multiple of `multiple`.

    Equal to reflect padding on the right, and defined for every size from 1 on, where
    `torch.nn.functional.pad` needs the padding to be smaller than the size. Written as a gather
    because tracing bakes "no padding needed" into the graph otherwise.

    Returns
    -------
    Tensor, shape (ceil(size / multiple) * multiple,), int64
    """
    padded = (size + multiple - 1) // multiple * multiple
    # Compilers of one graph for every size would take the answer to `size == 1` for its own.
    compiling = torch.compiler.is_compiling()
    period = torch.sym_max(2 * size - 2, 1) if compiling else 2 * size - 2 + (size == 1)
    index = torch.arange(padded, device=device) % period
    # Not by abs of a difference: OpenVINO 2026.4 leaves an integer abs out where sizes are fixed.
    return torch.minimum(index, period - index)


def reflect_pad(x: Tensor, multiple: int) -> Tensor:
    """Reflect-pad the right and bottom up to multiples of `multiple` pixels.

    Parameters
    ----------
    x : Tensor, shape (..., H, W), any dtype, any values
    """
    rows = reflect_index(x.shape[-2], multiple, x.device)
    columns = reflect_index(x.shape[-1], multiple, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)

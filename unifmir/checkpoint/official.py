"""Entries of the official files that are no weights: derivable buffers, and unused entries.

Source: the layout of the official checkpoints (Ma et al. 2024, published weights).
"""

from collections.abc import Iterator, Mapping
from math import isqrt

import torch
from torch import Tensor, nn

from unifmir.errors import CheckpointError
from unifmir.networks.projection import Projector
from unifmir.networks.swin import SwinBlock, relative_position_index, shift_mask

CONSTRUCTED_SIZE_PX = 64
"""Image size that the official networks are constructed with; their masks are for it."""

_DERIVABLE = ("relative_position_index", "attn_mask")
_UNUSED = ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias")
_INDEX_DTYPES = (torch.int64, torch.int32)
_MASK_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_OPTIONAL = "num_batches_tracked"


def is_derivable(key: str) -> bool:
    """Whether an entry follows from the configuration."""
    return key.rpartition(".")[2] in _DERIVABLE


def is_unused(key: str) -> bool:
    """Whether an entry is never read. The official ones hold uninitialised memory."""
    return key.endswith(_UNUSED)


def is_optional(key: str) -> bool:
    """Whether an entry only matters to training."""
    return key.rpartition(".")[2] == _OPTIONAL


def official_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """The state dict with all entries of the official files, to go back to the official code.

    Parameters
    ----------
    network : Network
        Single-task or multi-task. Its weights are shared with the result, not copied.

    Returns
    -------
    dict of Tensor, shapes and dtypes of the official files
        The weights; also `relative_position_index`, the `attn_mask` of the shifted blocks for
        64 x 64 pixels, and the projecting network's unused `sub_mean` and `add_mean`, as zeros.
    """
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if isinstance(module, SwinBlock):
            window = module.window_size
            state[f"{name}.attn.relative_position_index"] = relative_position_index(window)
            if module.shift:
                size = -(-CONSTRUCTED_SIZE_PX // window) * window
                mask = shift_mask(size, size, window, torch.device("cpu"))
                state[f"{name}.attn_mask"] = mask.squeeze(1)
        elif isinstance(module, Projector):
            for part in ("sub_mean", "add_mean"):
                state[f"{name}.{part}.weight"] = torch.zeros(1, 1, 1, 1)
                state[f"{name}.{part}.bias"] = torch.zeros(1)
    return state


def check_derivable(entries: Mapping[str, Tensor], window: int) -> None:
    """Refuse derivable entries that are not what follows from the window size.

    Parameters
    ----------
    entries : mapping to Tensor, any shape and dtype
        Indices and masks by key.
    window : int
        Side of the windows, pixels.

    Raises
    ------
    CheckpointError
        Such a file was made for other windows, or altered: this network would restore another
        picture than the one it was trained for.
    """
    pixels = window**2
    index = relative_position_index(window)
    known: list[Tensor] = []
    for key, entry in entries.items():
        is_index = key.endswith("relative_position_index")
        if entry.dtype not in (_INDEX_DTYPES if is_index else _MASK_DTYPES):
            raise CheckpointError(
                f"{key} has type {entry.dtype}; expected {'int64' if is_index else 'float32'}"
            )
        if is_index:
            if entry.shape != index.shape or not torch.equal(entry.long(), index):
                raise CheckpointError(
                    f"{key} is not the index of windows of {window} x {window} pixels that the "
                    "bias tables imply: the file is damaged, or was made for another network"
                )
        elif entry.ndim != 3 or entry.shape[1:] != (pixels, pixels):
            raise CheckpointError(
                f"{key} has shape {list(entry.shape)}; expected [windows, {pixels}, {pixels}] for "
                f"windows of {window} pixels"
            )
        elif not any(torch.equal(entry.float(), mask) for mask in known):
            candidates = _masks(len(entry), window)
            found = next((m for m in candidates if torch.equal(entry.float(), m)), None)
            if found is None:
                raise CheckpointError(
                    f"{key} is not the mask of a shift by {window // 2} pixels: the file is "
                    "damaged, or was made for a network with other shifts"
                )
            known.append(found)


def _masks(count: int, window: int) -> Iterator[Tensor]:
    """The masks of all images of `count` windows, the squarest first: the official ones are."""
    sides = [rows for rows in range(isqrt(count), 0, -1) if count % rows == 0]
    for rows in sides:
        for high, wide in {(rows, count // rows), (count // rows, rows)}:
            mask = shift_mask(high * window, wide * window, window, torch.device("cpu"))
            yield mask.squeeze(1)

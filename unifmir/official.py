"""What the official files hold besides weights: buffers that can be derived, and unused entries.

Source: the layout of the official checkpoints (Ma et al. 2024, published weights).
"""

from collections.abc import Mapping
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
    dict
        Also `relative_position_index`, the `attn_mask` of the shifted blocks for 64 x 64 pixels,
        and the projecting network's unused `sub_mean` and `add_mean`, as zeros.
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

    Raises
    ------
    CheckpointError
        Such a file was made for other windows, or altered: this network would restore another
        picture than the one it was trained for.
    """
    pixels = window**2
    masks: dict[int, list[Tensor]] = {}
    for key, entry in entries.items():
        if key.endswith("relative_position_index"):
            expected = relative_position_index(window)
            if entry.shape != expected.shape or not torch.equal(entry.long(), expected):
                raise CheckpointError(
                    f"{key} is not the index of windows of {window} x {window} pixels that the "
                    "bias tables imply: the file is damaged, or was made for another network"
                )
        elif entry.ndim != 3 or entry.shape[1:] != (pixels, pixels):
            raise CheckpointError(
                f"{key} has shape {list(entry.shape)}; expected [windows, {pixels}, {pixels}] for "
                f"windows of {window} pixels"
            )
        else:
            count = entry.shape[0]
            if count not in masks:
                masks[count] = _masks_of(count, window)
            if not any(torch.equal(entry.float(), mask) for mask in masks[count]):
                raise CheckpointError(
                    f"{key} is not the mask of a shift by {window // 2} pixels: the file is "
                    "damaged, or was made for a network with other shifts"
                )


def _masks_of(count: int, window: int) -> list[Tensor]:
    """The masks of `count` windows: the squarest image first, which the official files have."""
    pixels = window**2
    if count == 0 or count * pixels**2 > 2**28:  # 1 GiB; the official ones have 2**18 elements
        return []
    heights = [rows for rows in range(isqrt(count), 0, -1) if count % rows == 0]
    shapes = {(rows, count // rows) for rows in heights} | {(count // r, r) for r in heights}
    cpu = torch.device("cpu")
    return [
        shift_mask(rows * window, columns * window, window, cpu).squeeze(1)
        for rows, columns in sorted(shapes, key=lambda shape: abs(shape[0] - shape[1]))
    ]

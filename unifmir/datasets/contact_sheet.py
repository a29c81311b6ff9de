"""A dataset at a glance: inputs beside their truths, all at one contrast."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from unifmir.datasets.pairing import Split
from unifmir.datasets.stored_dataset import Patch, StoredDataset
from unifmir.errors import ImageError, OutputError
from unifmir.images.png import write_grey

GAP_PX = 4
LEAST_TILE_PX = 96
"""Small patches are enlarged, by whole factors, to about this."""
MOST_TILES = 400
SHOWN = (-0.05, 1.05)
"""Normalised intensities shown as black and as white; 0 and 1 are the percentiles."""


def contact_sheet(
    dataset: StoredDataset, split: Split, *, pairs: int, columns: int = 4
) -> UInt8[np.ndarray, "y x"]:
    """Patches of a split spread over its pairs, each input left of its truth.

    All are shown at one contrast, that of the normalised intensities which a network reads. Of
    stacks the middle plane is shown.

    Parameters
    ----------
    dataset : StoredDataset
    split : {"train", "validation", "test"}
    pairs : int
        Patches to show, at most.
    columns : int
        Patches beside each other.

    Raises
    ------
    ImageError
        The split is empty, or its patches are damaged.
    """
    patches = dataset.patches(split)
    if not patches:
        raise ImageError(f"{dataset.path.name} has nothing for {split}")
    count = min(pairs, MOST_TILES, len(patches))
    chosen = [patches[index * len(patches) // count] for index in range(count)]
    inside = dataset.task.normalization.inside
    cells = []
    for patch in chosen:
        tiles = [_tile(dataset.input(patch), inside=inside)]
        if patch.pair.truth is not None:
            tiles.append(_tile(dataset.truth(patch, "own"), inside=inside))
        largest = max(max(tile.shape) for tile in tiles)
        side = largest * max(1, LEAST_TILE_PX // largest)
        cells.append(np.hstack([_padded(_enlarged(tile, side), side) for tile in tiles]))
    side = max(cell.shape[0] for cell in cells)
    wide = min(columns, count)
    rows = -(-count // wide)
    step = (side + GAP_PX, cells[0].shape[1] + 2 * GAP_PX)
    sheet = np.full((rows * step[0], wide * step[1]), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // wide * step[0], index % wide * step[1]
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return sheet


def write_sheet(sheet: UInt8[np.ndarray, "y x"], path: Path) -> None:
    """Write a sheet as PNG, all or nothing.

    Parameters
    ----------
    sheet : array, shape (y, x), uint8
        Grey, 0 black to 255 white.
    path : Path

    Raises
    ------
    OutputError
        The name does not end in .png, or the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path.name}: a contact sheet is a .png file; name it so")
    write_grey(path, sheet)


def _tile(patch: Patch, *, inside: bool) -> UInt8[np.ndarray, "y x"]:
    plane = patch[len(patch) // 2] if patch.ndim == 3 else patch
    relative = (plane + 1) / 2 if inside else plane
    low, high = SHOWN
    scaled: UInt8[np.ndarray, "y x"] = (
        np.clip((relative - low) / (high - low), 0, 1) * 255
    ).astype(np.uint8)
    return scaled


def _enlarged(tile: UInt8[np.ndarray, "y x"], side: int) -> UInt8[np.ndarray, "rows columns"]:
    factor = max(1, side // max(tile.shape))
    return tile.repeat(factor, axis=0).repeat(factor, axis=1)


def _padded(tile: UInt8[np.ndarray, "y x"], side: int) -> UInt8[np.ndarray, "rows columns"]:
    rows, columns = max(0, side - tile.shape[0]), max(0, side - tile.shape[1])
    return np.pad(tile, ((0, rows), (0, columns + GAP_PX)), constant_values=255)

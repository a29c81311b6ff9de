"""A dataset at a glance: inputs beside their truths, and at which contrast they are shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from unifmir.datasets.pairing import Split
from unifmir.datasets.stored_dataset import Patch, PatchOfPair, StoredDataset
from unifmir.errors import ImageError, OutputError
from unifmir.images.png import write_grey

Tile = UInt8[np.ndarray, "_ _"]
"""Greys, 0 black to 255 white."""
GAP_PX = 4
LEAST_TILE_PX = 96
"""Small patches are enlarged, by whole factors, to about this."""
MOST_TILES = 400
COLUMNS = 4
"""Patches beside each other."""
CAPTION_PX = 14
MARGIN = 0.05
"""Part of the range between the percentiles that is shown below and above it."""
Contrast = Literal["pair", "image"]
CAPTIONS: Mapping[Contrast, str] = {
    "pair": "each pair at one contrast",
    "image": "each image at its own contrast",
}
"""Words below a sheet, by what is shown at one contrast."""


def contrast_of(dataset: StoredDataset) -> Contrast:
    """Whether an input and its truth are shown at one contrast: where they have one unit."""
    return "pair" if dataset.shares_units else "image"


def contact_sheet(dataset: StoredDataset, split: Split, *, pairs: int) -> UInt8[np.ndarray, "y x"]:
    """Patches of a split spread over its pairs, each input left of its truth.

    Pairs of one unit are shown at one contrast, from the lower to the higher of the percentiles
    that scale the two, so that a dim truth is dim; others each by its own percentiles. The line
    below says which. Of stacks the middle plane is shown.

    Parameters
    ----------
    dataset : StoredDataset
    split : {"train", "validation", "test"}
    pairs : int
        Patches to show, at most.

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
    contrast = contrast_of(dataset)
    cells = []
    for patch in chosen:
        tiles = _pair_tiles(dataset, patch) if contrast == "pair" else _own_tiles(dataset, patch)
        largest = max(max(tile.shape) for tile in tiles)
        side = largest * max(1, LEAST_TILE_PX // largest)
        cells.append(np.hstack([_padded(enlarged(tile, side), side) for tile in tiles]))
    side = max(cell.shape[0] for cell in cells)
    wide = min(COLUMNS, count)
    rows = -(-count // wide)
    step = (side + GAP_PX, cells[0].shape[1] + 2 * GAP_PX)
    sheet = np.full((rows * step[0], wide * step[1]), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // wide * step[0], index % wide * step[1]
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return _captioned(sheet, CAPTIONS[contrast])


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


def _pair_tiles(dataset: StoredDataset, patch: PatchOfPair) -> list[Tile]:
    scalings = dataset.scaling(patch), dataset.scaling(patch, "truth")
    low = min(one.low for one in scalings)
    high = max(one.low + one.span for one in scalings)
    return [_tile(part, low, high) for part in dataset.recorded(patch)]


def _own_tiles(dataset: StoredDataset, patch: PatchOfPair) -> list[Tile]:
    low = -1.0 if dataset.task.normalization.inside else 0.0
    parts = [dataset.input(patch)]
    if patch.pair.truth is not None:
        parts.append(dataset.truth(patch, "own"))
    return [_tile(part, low, 1.0) for part in parts]


def _tile(patch: Patch, low: float, high: float) -> Tile:
    """The middle plane of a patch, with a margin around the range from `low` to `high`."""
    plane = patch[len(patch) // 2] if patch.ndim == 3 else patch
    relative = (plane - np.float32(low)) / np.float32(high - low)
    shown = np.clip((relative + MARGIN) / (1 + 2 * MARGIN), 0, 1) * 255
    scaled: Tile = shown.astype(np.uint8)
    return scaled


def _captioned(sheet: Tile, caption: str) -> Tile:
    """A sheet with a line of words below it, and wide enough for them."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    width = max(sheet.shape[1], round(font.getlength(caption)) + 2 * GAP_PX)
    band = Image.new("L", (width, CAPTION_PX), 255)
    ImageDraw.Draw(band).text((1, 0), caption, fill=0, font=font)
    wide = np.pad(sheet, ((0, 0), (0, width - sheet.shape[1])), constant_values=255)
    return np.vstack([wide, np.asarray(band)])


def enlarged(tile: Tile, side: int) -> Tile:
    """A tile, any greys, enlarged by a whole factor to `side` pixels at the most."""
    factor = max(1, side // max(tile.shape))
    return tile.repeat(factor, axis=0).repeat(factor, axis=1)


def _padded(tile: Tile, side: int) -> Tile:
    rows, columns = max(0, side - tile.shape[0]), max(0, side - tile.shape[1])
    return np.pad(tile, ((0, rows), (0, columns + GAP_PX)), constant_values=255)

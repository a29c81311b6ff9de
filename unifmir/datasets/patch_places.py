"""Places of patches in an image: a grid that covers it, and of it what holds something."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from skimage.measure import block_reduce

from unifmir.datasets.dataset_manifest import Lengths
from unifmir.datasets.pair_image import Box, PairImage, Pixels

BLOCK_PX = 4
"""Side of the squares whose means are looked at: noise must not count as signal."""


@dataclass(frozen=True, slots=True, order=True)
class PatchPlace:
    """Beginning of a patch: the frame, and pixels along z, y and x."""

    frame: int
    z: int
    y: int
    x: int

    def box(self, lengths: Lengths, magnification: int = 1) -> Box:
        """The box of a patch of these lengths, in an image sampled so many times as finely."""
        y, x = self.y * magnification, self.x * magnification
        return (
            slice(self.z, self.z + lengths[0]),
            slice(y, y + lengths[1]),
            slice(x, x + lengths[2]),
        )


def places_of(image: PairImage, lengths: Lengths) -> Iterator[PatchPlace]:
    """All places of a grid that covers the image; the last of a row ends at its edge."""
    starts = [
        sorted({*range(0, whole - part + 1, part), whole - part})
        for whole, part in zip(image.shape, lengths, strict=True)
    ]
    for frame in range(image.frames):
        for z in starts[0]:
            for y in starts[1]:
                for x in starts[2]:
                    yield PatchPlace(frame, z, y, x)


def chosen_places(
    image: PairImage,
    lengths: Lengths,
    magnification: int,
    *,
    foreground: float,
    most: int,
    rng: np.random.Generator,
) -> tuple[list[PatchPlace], int]:
    """Places whose patches hold something, at most so many of them, at random.

    A patch holds something where its brightest part rises above the darkest patch by a share of
    what the brightest patch does; both of means over squares of `BLOCK_PX`.

    Parameters
    ----------
    image : PairImage
        Where signal is looked for: the truth where there is one.
    lengths : (int, int, int)
        Of a patch of this image.
    magnification : int
        Of this image against the input, in whose pixels the places are given.
    foreground : float
        That share, 0 to 1; 0 takes all.
    most : int
    rng : numpy Generator

    Returns
    -------
    places : list of PatchPlace
        In order, in the input's pixels.
    candidates : int
        How many were looked at.
    """
    places = list(places_of(image, lengths))
    if foreground > 0:
        levels = np.array(
            [_levels(image.read(one.frame, one.box(lengths))) for one in places], np.float64
        )
        floor, top = levels[:, 0].min(), levels[:, 1].max()
        held = levels[:, 1] >= floor + foreground * (top - floor)
    else:
        held = np.ones(len(places), bool)
    found = [
        PatchPlace(one.frame, one.z, one.y // magnification, one.x // magnification)
        for one, holds in zip(places, held, strict=True)
        if holds
    ]
    if len(found) > most:
        chosen = rng.choice(len(found), most, replace=False)
        found = [found[int(index)] for index in chosen]
    return sorted(found), len(places)


def _levels(patch: Pixels) -> tuple[float, float]:
    """Level of the darker half and of the brightest hundredth of a patch."""
    block = tuple(min(BLOCK_PX, length) for length in patch.shape[1:])
    fitting = [length // side * side for length, side in zip(patch.shape[1:], block, strict=True)]
    cut = patch[:, : fitting[0], : fitting[1]].astype(np.float32)
    means = block_reduce(cut, (1, *block), np.mean)
    return float(np.median(means)), float(np.percentile(means, 99))

"""Sizes that an artifact is verified at: fixed ones, those that restoring takes, and new ones.

A file could be another picture at sizes that nobody looked at. So each verification draws sizes of
its own, which were not known when the file was made, and looks as far as restoring reads at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from unifmir.config import SingleConfig
from unifmir.interfaces import InputKind, interface_of, shape_of

if TYPE_CHECKING:
    from unifmir.restoration.geometry import Size

Shape = tuple[int, ...]
Sizing = Literal["fixed", "tile", "new"]
"""`fixed`: the same in every report. `tile`: as long or as large as what `restore` reads at once on
this machine. `new`: drawn from the report's seed."""

SIZES: tuple[tuple[int, tuple[int, int, int]], ...] = (
    (2, (6, 24, 40)),
    (1, (1, 9, 16)),
    (3, (3, 17, 31)),
    (1, (8, 45, 51)),
    (2, (5, 8, 64)),
    (1, (4, 64, 72)),
)
"""(batch, (depth, height, width)): of whole windows, smaller, odd, odd and larger, narrow, larger.

In network pixels; heights and widths are a quarter of that for light fields, whose network works
at 11 times the sampling of its input, and half for whole isotropic volumes and for whole stacks
that are projected: that network multiplies 47 times as often for a pixel as denoising's.
"""
_DEPTH = 4
"""Planes of these two."""
_GRID = 8
"""Pixels to which networks continue an image: what is smaller takes as long."""
_TILE_SHARE = 5 / 8
"""Part of that time that the narrow one takes at most: 520 pixels, where the largest tile of a
published model as a graph has 365 to 504 on a CPU."""
_IMAGE_SIDE = 1024
"""Image whose tiles are the default ones: the usual size of a camera, or half of it."""


@dataclass(frozen=True, slots=True)
class SizedCase:
    """A shape of an artifact's input, and what it is filled with."""

    sizing: Sizing
    shape: Shape
    sources: tuple[str, ...] = ("random", "real")


def _divisor(config: SingleConfig, interface: InputKind) -> int:
    """Divisor of the heights and widths of `SIZES`."""
    return interface_of(config).case_divisor[interface != "network"]


def case_size(
    config: SingleConfig, interface: InputKind, size: tuple[int, int, int]
) -> tuple[int, int, int]:
    """One of `SIZES`, made affordable for the network."""
    depth, height, width = size
    divisor = _divisor(config, interface)
    return depth, -(-height // divisor), -(-width // divisor)


def verified_shapes(config: SingleConfig, interface: InputKind) -> tuple[Shape, ...]:
    """`SIZES` as shapes of an artifact's input."""
    return tuple(
        shape_of(config, interface, batch=batch, size=case_size(config, interface, size))
        for batch, size in SIZES
    )


def fixed_cases(shapes: Sequence[Shape]) -> tuple[SizedCase, ...]:
    """Each shape filled with noise and with a real image."""
    return tuple(SizedCase("fixed", shape) for shape in shapes)


def usual_cases(config: SingleConfig, interface: InputKind) -> tuple[SizedCase, ...]:
    """The fixed shapes that a file of any size is verified at."""
    *several, _narrow, larger = verified_shapes(config, interface)
    return (*fixed_cases(several), SizedCase("fixed", larger, ("real",)))


def sized_cases(
    config: SingleConfig, interface: InputKind, tile: "Size", *, seed: int, whole_tiles: bool
) -> tuple[SizedCase, ...]:
    """Shapes that a file of any size is verified at.

    Parameters
    ----------
    config : SingleConfig
    interface : {"network", "image", "raw"}
    tile : Size
        `unifmir.restoration.tile_size.largest_tile` of the runtime, in pixels of the image.
    seed : int
        From which new sizes are drawn.
    whole_tiles : bool
        Whether the tiles of `restore` are given whole, the default and the largest, and new sizes
        up to them. They take many times as long as all else.
    """
    rng = np.random.default_rng(seed)
    found = [
        *usual_cases(config, interface),
        *_affordable(config, interface, tile[2], rng),
    ]
    if whole_tiles:
        found += _whole_tiles(config, interface, tile, rng)
    return tuple(found)


def _affordable(
    config: SingleConfig, interface: InputKind, longest: int, rng: np.random.Generator
) -> list[SizedCase]:
    """A row of windows as long as a tile, and a new size, in the time of those they replace.

    Both are filled with noise, which has the whole range at any size: a piece of a real image may
    have so little contrast that nothing can be held against it.
    """

    def cost(shape: Shape) -> int:
        """Pixels that the network computes."""
        rows, columns = (-(-length // (unit * _GRID)) * _GRID for length in shape[-2:])
        return prod(shape[:-2]) * rows * columns

    def shaped(height: int, width: int) -> Shape:
        return shape_of(config, interface, batch=1, size=(_DEPTH, height, width))

    unit = _unit(config)
    narrow, larger = (cost(shape) for shape in verified_shapes(config, interface)[-2:])
    budget = 2 * narrow + larger
    window = cost(shaped(_GRID, _GRID))
    share = int(_TILE_SHARE * budget / window)
    # Tiles of stacks that are projected are longer than a row in the time of their smaller cases.
    most = share * _divisor(config, interface) ** 2 if interface_of(config).whole_row else share
    windows = max(1, min(longest // (unit * _GRID), most))
    tile = SizedCase("tile", shaped(_GRID, windows * _GRID), ("random",))
    left = max(1, budget // window - min(windows, share))
    across = int(rng.integers(1, int(left**0.5) + 1))
    along = int(rng.integers(across, left // across + 1))
    # The last window of each axis is not whole; one pixel of the first must be there.
    sides = [n * _GRID - int(rng.integers(_GRID if n > 1 else 1)) for n in (across, along)]
    height, width = (int(side) for side in rng.permutation(sides))
    return [tile, SizedCase("new", shaped(height, width), ("random",))]


def _whole_tiles(
    config: SingleConfig, interface: InputKind, tile: "Size", rng: np.random.Generator
) -> list[SizedCase]:
    """The largest tile, the one that an image of `_IMAGE_SIDE` is cut into, and two between."""

    def sized(sizing: Sizing, height: int, width: int) -> SizedCase:
        shape = shape_of(config, interface, batch=1, size=(tile[0], height, width))
        return SizedCase(sizing, shape, ("real" if sizing == "tile" else "random",))

    unit = _unit(config)
    largest, side = max(1, tile[2] // unit), max(1, _IMAGE_SIDE // unit)
    parts = -(-side // largest)
    default = min(largest, -(-side // (parts * _GRID)) * _GRID)
    # As many between 8 and 16 pixels as between the half of a tile and a tile.
    drawn = np.exp(rng.uniform(np.log(min(largest, _GRID)), np.log(largest), size=4))
    sides = [int(length) for length in drawn.round()]
    return [
        sized("tile", default, default),
        sized("new", *sides[:2]),
        sized("new", *sides[2:]),
        sized("tile", largest, largest),
    ]


def _unit(config: SingleConfig) -> int:
    """Pixels of the image along y and x for one of `shape_of`'s."""
    row = interface_of(config)
    return row.lens_px(config.signature) if row.lenses else 1

"""Receptive field: measured on the image that is restored, bounded by the layers.

Tiles need what lies within the reach of their edges, and every pixel read twice costs time.
Theory only bounds the reach; trained networks use a part of it. So a piece of the image is
restored, and its halves by themselves: what differs, and how far from the cut, is the reach.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from unifmir.config import BodyConfig, SingleConfig, SingleTaskConfig
from unifmir.interfaces import interface_of
from unifmir.networks.volume import ViewUNet
from unifmir.normalize import FloatImage, Scaling
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import Box, Interval, TileGeometry, X, Y, Z, tile_geometry
from unifmir.restoration.resampling import View
from unifmir.restoration.tile_inference import read_block, restore_block

THRESHOLD = 2e-5
"""Fraction of the result's range: a fifth of the bar that seams are held to, because another part
of the image may respond more than the one measured."""
SAFETY = 8
"""Pixels added to what was measured."""
GLOBAL_FACTOR = 2.0
"""Networks with whole-image statistics: the response must fall to twice its floor."""
GLOBAL_HALO = 48
"""Pixels that such networks overlap by at most: farther off, what is left comes from the sums."""
UNKNOWN_REACH = 112
"""Pixels looked at where the layers do not bound the reach."""
ACROSS = 64
"""Pixels of the measured piece across the cut's direction; the grid, where every one of them is
an image to the network (isotropic)."""
_CANDIDATES = 5
"""Places along each axis among which the piece with most contrast is taken."""
_DEPTH = 64
"""Planes of the piece, for networks that read planes as columns."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far beyond its edges a tile must read. Pixels of the image."""

    halo: int
    """A multiple of the grid."""
    measured: int | None = None
    """Distance from a cut beyond which the response is under the threshold; None: not measured."""
    bound: int | None = None
    """Largest reach that the layers allow; None: they do not bound it."""
    floor: float = 0.0
    """Least response, as a fraction of the range."""
    is_global: bool = False
    """Whether no halo removes the response, because the network sums over all it reads."""


def bound_of_reach(config: SingleConfig) -> int | None:
    """Pixels of the image, up to the grid, that a result can depend on beyond a tile's edge.

    None for networks with whole-image statistics, and for reference models, whose layers are
    their own business.
    """
    if not isinstance(config, SingleTaskConfig) or config.projector is not None:
        return None
    body = _body_reach(config.body, config.scale)
    if config.view_unet is None:
        return body
    levels = len(config.view_unet.encoder)
    lens = interface_of(config).lens_px(config.signature)
    lenses = _unet_reach(levels) + body / lens
    grid = tile_geometry(config).grid[X]
    return int(ceil(lenses * lens / grid) * grid)


def _body_reach(body: BodyConfig, scale: int) -> int:
    """Pixels, followed backwards through the layers from a cut on the grid.

    Convolutions add a pixel, attention goes to its window's edge, and shifted windows have theirs
    half a window off the grid.
    """
    window, shift = body.window_size, body.window_size // 2
    # conv_last, upsample, conv_before_upsample and conv_after_body.
    start = -3 if scale == 1 else -4
    for depth in reversed(body.depths):
        start -= 1  # the group's convolution
        for index in reversed(range(depth)):
            offset = shift if index % 2 else 0
            start = (start - offset) // window * window + offset
    start -= 1  # conv_first
    return -(start // window * window)


def _unet_reach(levels: int) -> float:
    """Lenses: the sum over the layers of `ViewUNet`, in pixels of 1 / 16 lens and coarser."""
    fine = 2**ViewUNet.STEPS
    reach: float = 3.0
    for step in range(ViewUNet.STEPS):
        reach += 1 / 2**step + 1 / 2 ** (step + 1)
    reach += 2 / fine
    for level in range(levels):
        pixel = 2**level / fine
        # Down: a convolution and a pooling of 3. Up: a convolution and a resize from pixels twice
        # as large, whose centres are off by up to half of one.
        reach += pixel * (1 + 2) + pixel * 1 + 2 * pixel * 1.5
    return reach


def unmeasured_reach(config: SingleConfig) -> Reach:
    """Reach without a measurement, for images that fit in one tile and options with a halo.

    A network whose layers do not bound the reach is taken as global: its tile is not cut later.
    """
    bound = bound_of_reach(config)
    grid = tile_geometry(config).grid[X]
    halo = bound if bound is not None else -(-UNKNOWN_REACH // grid) * grid
    return Reach(halo, bound=bound, is_global=bound is None)


_measured: "WeakKeyDictionary[Predictor, Reach]" = WeakKeyDictionary()


def cached_reach(predictor: Predictor, image: View, scaling: Scaling) -> Reach:
    """Measure the reach of a network on an image, once for each predictor.

    Parameters
    ----------
    image : View
        Raw, as the tiles will read it.
    """
    if predictor not in _measured:
        _measured[predictor] = measure_reach(predictor, image, scaling)
    return _measured[predictor]


def measure_reach(predictor: Predictor, image: View, scaling: Scaling) -> Reach:
    """Measure the reach of a network on a raw image, whatever was measured before."""
    config = predictor.config
    bound = bound_of_reach(config)
    grid = tile_geometry(config).grid[X]
    half = -(-(bound or UNKNOWN_REACH) // grid) * grid + grid
    curves = []
    for axis in (Y, X):
        piece = _piece(image, config, axis, half)
        curves += list(_responses(predictor, image, scaling, piece, axis, grid))
    curves = [curve for curve in curves if curve.size]
    if not curves:
        return unmeasured_reach(config)
    longest = max(curve.size for curve in curves)
    # A curve that ends early says nothing of what lies beyond: its last value is taken on.
    curve = np.max([np.pad(c, (0, longest - c.size), mode="edge") for c in curves], axis=0)
    return reach_from_response(curve, grid, bound)


def reach_from_response(
    curve: Float32[np.ndarray, " distance"], grid: int, bound: int | None
) -> Reach:
    """The halo that a response asks for: change against distance in pixels, 1 the whole range."""
    floor = float(curve.min())
    # Global: it has not fallen under the threshold anywhere near the end of what was looked at.
    is_global = bound is None and float(curve[-grid:].max()) > THRESHOLD
    limit = max(THRESHOLD, GLOBAL_FACTOR * floor) if is_global else THRESHOLD
    above = np.flatnonzero(curve > limit)
    measured = int(above[-1]) + 1 if above.size else 0
    halo = -(-(measured + SAFETY) // grid) * grid
    halo = min(halo, bound) if bound is not None else halo
    if is_global:
        halo = min(halo, -(-GLOBAL_HALO // grid) * grid)
    return Reach(halo, measured, bound, floor, is_global)


def _piece(image: View, config: SingleConfig, axis: int, half: int) -> Box:
    """The place of most contrast, `2 * half` long along an axis."""
    geometry = tile_geometry(config)
    step = (1, geometry.grid[Y], geometry.grid[X])
    every_pixel_is_an_image = geometry.grid[Z] > 1
    across = step[axis] if every_pixel_is_an_image else -(-ACROSS // step[axis]) * step[axis]
    wanted = [_planes_needed(geometry, image.size[Z]), across, across]
    wanted[axis] = 2 * half
    size = [
        min(length, have // unit * unit or have)
        for length, have, unit in zip(wanted, image.size, step, strict=True)
    ]
    places = [
        _places(have - need, unit) for have, need, unit in zip(image.size, size, step, strict=True)
    ]
    boxes = [_box(start, size) for start in product(*places)]
    return max(boxes, key=lambda box: float(np.std(image.read(box), dtype=np.float64)))


def _planes_needed(geometry: TileGeometry, planes: int) -> int:
    """Planes of a piece: for networks that work plane by plane, one with its neighbours."""
    if geometry.whole_depth:
        return planes
    return min(planes, _DEPTH if geometry.grid[Z] > 1 else 2 * geometry.halo[Z] + 1)


def _box(start: tuple[int, ...], size: list[int]) -> Box:
    z, y, x = ((first, first + length) for first, length in zip(start, size, strict=True))
    return z, y, x


def _places(room: int, grid: int) -> list[int]:
    """Starts of pieces, on the grid, spread over the room there is."""
    steps = room // grid
    return sorted({round(i * steps / (_CANDIDATES - 1)) * grid for i in range(_CANDIDATES)})


def _responses(
    predictor: Predictor, image: View, scaling: Scaling, piece: Box, axis: int, grid: int
) -> Iterator[NDArray[np.float32]]:
    """Largest change against distance from a cut, on either side of it."""
    first, last = piece[axis]
    middle = first + (last - first) // (2 * grid) * grid
    if not first < middle < last:
        return
    restored = _restorer(predictor, image, scaling)
    expected = restored(piece)
    extent = float(expected.max() - expected.min()) or 1.0
    for kept in ((first, middle), (middle, last)):
        actual = restored(_with(piece, axis, kept))
        scale = actual.shape[axis] // (kept[1] - kept[0])
        start = (kept[0] - first) * scale
        part = expected.take(range(start, start + actual.shape[axis]), axis=axis)
        change = np.abs(actual - part).swapaxes(0, axis).reshape(actual.shape[axis], -1).max(axis=1)
        change = change.reshape(-1, scale).max(axis=1) / extent
        yield change[::-1] if kept[0] == first else change


def _with(box: Box, axis: int, interval: Interval) -> Box:
    z, y, x = (interval if index == axis else kept for index, kept in enumerate(box))
    return z, y, x


def _restorer(predictor: Predictor, image: View, scaling: Scaling) -> Callable[[Box], FloatImage]:
    """Restores a box with what lies in it and nothing else, as a tile without halo."""
    geometry = tile_geometry(predictor.config)

    def restored(box: Box) -> FloatImage:
        write: Box = (
            _planes_restored(geometry, box[Z], image.size[Z]),
            _magnified(box[Y], geometry.scale),
            _magnified(box[X], geometry.scale),
        )
        return restore_block(read_block(image, scaling, box, write, predictor), predictor, batch=8)

    return restored


def _planes_restored(geometry: TileGeometry, read: Interval, planes: int) -> Interval:
    """Planes of the result that can be restored from the planes of a piece."""
    if geometry.planes is not None:
        return 0, geometry.planes
    neighbours = geometry.halo[Z]
    start = read[0] + (neighbours if read[0] > 0 else 0)
    return start, read[1] - (neighbours if read[1] < planes else 0)


def _magnified(interval: Interval, scale: int) -> Interval:
    return interval[0] * scale, interval[1] * scale

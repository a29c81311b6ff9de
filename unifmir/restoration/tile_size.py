"""Tile sizes: the largest that fit the memory, so that the least is read twice."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from unifmir.devices import device_named
from unifmir.errors import ImageError
from unifmir.interfaces import interface_of
from unifmir.normalize import Scaling
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import (
    Size,
    TileGeometry,
    X,
    Y,
    Z,
    fitting_pitch,
    largest_read,
    tile_geometry,
)
from unifmir.restoration.memory_budget import run_bytes_per_pixel, usable_bytes
from unifmir.restoration.receptive_field import Reach, cached_reach, unmeasured_reach
from unifmir.restoration.resampling import View
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.sampling_levels import Level

RAMP_STEPS = 4
"""Grid steps over which tiles of a network with whole-image statistics are blended."""
RUN_PIXELS = {"cpu": 2**16, "gpu": 2**20}
"""Small images are run in batches up to so many pixels; more gains nothing."""
TILE_PIXELS = 2**20
"""Small planes are put together in tiles up to so many pixels."""
RUN_PLANES = 16
"""Planes of a volume that are taken for usual, where a network reads all there are."""
LARGEST_SIDE = 2**14
"""Pixels; a longer tile fits no memory of today."""
LEAST_TILE = 3
"""Overlaps: what is kept of the smallest tile that can be asked for is as wide as one."""
VOXEL_BYTES = 16
"""Memory of a block beside the run: raw, normalised, and what is restored of it."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """Overlap and size of tiles, as they were chosen."""

    geometry: TileGeometry
    reach: Reach
    pitch: Size
    """Distance of tiles, in pixels of the image (isotropic, where the task wants that)."""

    @property
    def ramp(self) -> int:
        """Pixels of the result over which tiles are blended; 0: they are cropped."""
        return ramp_of(self.geometry, self.reach)


def ramp_of(geometry: TileGeometry, reach: Reach) -> int:
    """Pixels of the result over which tiles are blended; 0: they are cropped."""
    return RAMP_STEPS * geometry.steps()[X] if reach.is_global else 0


def choose_tiles(
    predictor: Predictor,
    size: Size,
    levels: tuple[Level, ...],
    options: Options,
    view: View,
    scaling: Scaling,
    margin: Size = (0, 0, 0),
) -> Tiling:
    """Decide overlap and tile size for an image of `size`.

    Parameters
    ----------
    view : View
        The image at the first level's sampling, on which the reach is measured if it is needed.
    margin : Size
        What is restored around a tile beside its own, in pixels of the image, multiples of the
        grid.
    """
    grid = tile_geometry(predictor.config).grid[X]
    exact = unmeasured_reach(predictor.config)
    # Where the layers do not bound the reach it is measured in any case: sums over the tile show.
    given = options.halo is not None and exact.bound is not None
    if given or _fits_whole(predictor, size, levels, options):
        reach = exact
    else:
        reach = cached_reach(predictor, view, scaling)
    if options.halo is not None:
        reach = replace(reach, halo=-(-options.halo // grid) * grid)
    return _tiling(predictor, size, levels, options, reach, margin)


def batch_for(predictor: Predictor, geometry: TileGeometry, read: Size, options: Options) -> int:
    """Network inputs in one run for tiles that read so much."""
    if options.batch is not None:
        return options.batch
    kind = "cpu" if device_named(predictor.device).is_cpu else "gpu"
    pixels = _run_pixels(predictor, geometry, (1, read[Y], read[X]) if geometry.by_plane else read)
    fitting = _budget(predictor, options) / (run_bytes_per_pixel(predictor) * pixels)
    return max(1, min(RUN_PIXELS[kind] // max(1, int(pixels)), int(fitting)))


def largest_tile_read(
    geometry: TileGeometry, size: Size, pitch: Size, ramp: int = 0, margin: Size = (0, 0, 0)
) -> Size:
    """Pixels of the image that the largest tile reads."""
    halo = _halo(geometry, ramp, margin)
    z, y, x = (largest_read(size[a], pitch[a], halo[a]) for a in (Z, Y, X))
    return z, y, x


def largest_tile(predictor: Predictor) -> Size:
    """The largest tile that is taken by default: as long as it is wide, in pixels of the image.

    Its planes are those that a run reads: all neighbours of a plane, or `RUN_PLANES` of a volume.
    """
    geometry = tile_geometry(predictor.config)
    fits = _fitting(predictor, geometry, (1, 1, 1), (), Options(), (0, 0, 0))
    row, grid = interface_of(predictor.config), geometry.grid[X]
    planes = RUN_PLANES if predictor.config.signature.volumetric else 1

    def tile(steps: int) -> Size:
        side = steps * grid
        depth = side if row.cuts_depth else max(planes, row.slices(predictor.config.signature))
        return depth, side, side

    beyond = bisect_left(range(1, LARGEST_SIDE // grid + 1), True, key=lambda n: not fits(tile(n)))
    return tile(max(1, beyond))


def _tiling(
    predictor: Predictor,
    size: Size,
    levels: tuple[Level, ...],
    options: Options,
    reach: Reach,
    margin: Size,
) -> Tiling:
    geometry = tile_geometry(predictor.config, reach.halo)
    ramp = ramp_of(geometry, reach)
    length = _cut_size(geometry, size)
    if _fits_whole(predictor, size, levels, options):
        pitch = length
    else:
        cut, halo = _cuttable(predictor, geometry), _halo(geometry, ramp, margin)
        if not cut:
            raise ImageError(
                f"the light field of {size[X]} x {size[Y]} pixels must be restored whole, because "
                "this model cannot be told where a tile lies, and it does not fit the tile or the "
                "memory; use a checkpoint, in the runtime native or eager"
            )
        fits = _fitting(predictor, geometry, size, levels, options, halo)
        pitch = fitting_pitch(length, geometry.grid, halo, cut, fits)
    if geometry.by_plane:
        read = largest_tile_read(geometry, length, pitch, ramp, margin)
        batch = batch_for(predictor, geometry, read, options)
        together = max(1, TILE_PIXELS // (read[Y] * read[X]) // batch) * batch
        pitch = (min(size[Z], together), pitch[Y], pitch[X])
    return Tiling(geometry, reach, pitch)


def _fits_whole(
    predictor: Predictor, size: Size, levels: tuple[Level, ...], options: Options
) -> bool:
    """Whether nothing is cut."""
    geometry = tile_geometry(predictor.config)
    fits = _fitting(predictor, geometry, size, levels, options, (0, 0, 0))
    return fits(_cut_size(geometry, size))


def _cut_size(geometry: TileGeometry, size: Size) -> Size:
    """Size that is cut into tiles: of one plane where planes are restored one by one."""
    return (1, size[Y], size[X]) if geometry.by_plane else size


def _fitting(
    predictor: Predictor,
    geometry: TileGeometry,
    size: Size,
    levels: tuple[Level, ...],
    options: Options,
    halo: Size,
) -> Callable[[Size], bool]:
    """Function that says whether a tile that reads so much fits the memory, or the options."""
    # A finer sampling has more pixels for the same part of the image.
    stretch = max([1.0, *(level.size[X] / size[X] for level in levels)])
    deep = stretch if geometry.grid[Z] > 1 else 1.0
    budget = _budget(predictor, options)
    per_pixel = run_bytes_per_pixel(predictor)
    lateral = (Z, Y, X) if geometry.grid[Z] > 1 else (Y, X)

    def fits(read: Size) -> bool:
        if options.tile is not None:
            return all(read[a] <= max(options.tile, LEAST_TILE * halo[a]) for a in lateral)
        z, y, x = (int(n * f) for n, f in zip(read, (deep, stretch, stretch), strict=True))
        needed = per_pixel * _run_pixels(predictor, geometry, (z, y, x))
        return needed + VOXEL_BYTES * z * y * x <= budget

    return fits


def _halo(geometry: TileGeometry, ramp: int, margin: Size) -> Size:
    half = ramp // (2 * geometry.scale)
    z, y, x = geometry.halo
    return z + margin[Z], y + half + margin[Y], x + half + margin[X]


def _cuttable(predictor: Predictor, geometry: TileGeometry) -> tuple[int, ...]:
    if interface_of(predictor.config).lenses:
        placed = predictor.interface == "network" and predictor.run_placed is not None
        return (Y, X) if placed else ()
    return (Z, Y, X) if geometry.grid[Z] > 1 else (Y, X)


def _run_pixels(predictor: Predictor, geometry: TileGeometry, read: Size) -> float:
    """Pixels of the image (voxels, for networks with a depth) that one run reads, at least."""
    z, y, x = read
    if predictor.config.signature.volumetric:
        return float(prod(read))
    if geometry.grid[Z] > 1:
        # Slices one by one; a file takes the whole block.
        return float(z * max(y, x)) if predictor.interface == "network" else 2.0 * z * y * x
    return float(y * x)


def _budget(predictor: Predictor, options: Options) -> float:
    if options.max_memory_bytes is not None:
        return float(options.max_memory_bytes)
    return float(usable_bytes(predictor.device))

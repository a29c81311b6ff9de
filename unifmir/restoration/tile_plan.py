"""Plans of restorations: the tiles of a whole image, and its scaling."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import prod
from typing import Any, overload

from unifmir.config import SingleConfig
from unifmir.errors import ImageError
from unifmir.images.base import ImageInfo, Region, Shape, Source
from unifmir.interfaces import interface_of
from unifmir.normalize import Scaling
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import Box, Size, TileGeometry, X, Y, Z, tile_geometry
from unifmir.restoration.percentiles import measure_scaling
from unifmir.restoration.receptive_field import Reach
from unifmir.restoration.resampling import Axes, Resampled, StackView, needs
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.sampling_levels import (
    Level,
    base_axes,
    info_of_result,
    level_view,
    levels_of,
    with_z_step,
)
from unifmir.restoration.tile_size import (
    Tiling,
    batch_for,
    choose_tiles,
    largest_tile_read,
)
from unifmir.tasks import TASKS


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the work. Can be pickled."""

    index: int
    read: Region
    """Part of the source that the result depends on."""
    write: Region
    """Part of the output. Tiles write every pixel exactly once."""


@dataclass(frozen=True, slots=True)
class RestorationPlan:
    """The whole work. Can be pickled; tiles are computed when asked for."""

    config: SingleConfig
    shape: Shape
    """Shape of the source."""
    out_shape: Shape
    out_info: ImageInfo
    tile_shape: Shape
    """Tile of the output: tiles start at its multiples, so chunks of a sink may divide it."""
    pitch: Size
    """Distance of tiles in pixels of the image."""
    scalings: tuple[tuple[Scaling, ...], ...]
    """Scalings by time point and channel."""
    geometry: TileGeometry
    reach: Reach
    batch: int
    base: Axes
    """Along z, isotropic sampling."""
    levels: tuple[Level, ...]
    """The samplings at which the image is restored; their results are averaged."""
    ramp: int
    """Pixels of the result over which tiles are blended; 0: they are cropped."""

    @property
    def tiles(self) -> Sequence[Tile]:
        """All tiles, in the order they are best worked on."""
        return Tiles(self)

    def digest(self) -> str:
        """SHA-256 over everything that decides what is written where."""
        facts = {
            "config": self.config.to_dict(),
            "shapes": (self.shape, self.out_shape, self.tile_shape),
            "halo": self.geometry.halo,
            "ramp": self.ramp,
            "sampling": repr((self.base, self.levels)),
            "scalings": repr(self.scalings),
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def recorded(self) -> dict[str, Any]:
        """Facts with which a later run makes the same plan, as JSON values."""
        return {
            "pitch": list(self.pitch),
            "reach": asdict(self.reach),
            "scalings": [[asdict(scaling) for scaling in row] for row in self.scalings],
        }

    def read_box(self, write: Box) -> Box:
        """The part of a stack of the source that the part `write` of the result depends on."""
        boxes = []
        for level in self.levels:
            box = write if level.back is None else needs(level.back, write)
            size_out = self.geometry.size_out(level.size)
            box = _grown(box, self.ramp // 2, size_out) if self.ramp else box
            box = self.geometry.read(box, level.size)
            boxes.append(needs(self.base, needs(level.forward, box)))
        z, y, x = (
            (min(box[axis][0] for box in boxes), max(box[axis][1] for box in boxes))
            for axis in (Z, Y, X)
        )
        return z, y, x


class Tiles(Sequence[Tile]):
    """The tiles of a plan, made when asked for."""

    def __init__(self, plan: RestorationPlan) -> None:
        self._plan = plan
        self._counts = tuple(
            -(-length // step) for length, step in zip(plan.out_shape, plan.tile_shape, strict=True)
        )

    def __len__(self) -> int:
        return prod(self._counts)

    def __iter__(self) -> Iterator[Tile]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Tile: ...
    @overload
    def __getitem__(self, index: slice) -> "tuple[Tile, ...]": ...
    def __getitem__(self, index: int | slice) -> "Tile | tuple[Tile, ...]":
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        rest = index = index % len(self)
        starts = []
        for count, step in zip(
            reversed(self._counts), reversed(self._plan.tile_shape), strict=True
        ):
            rest, place = divmod(rest, count)
            starts.append(place * step)
        write = tuple(
            slice(start, min(start + step, length))
            for start, step, length in zip(
                reversed(starts), self._plan.tile_shape, self._plan.out_shape, strict=True
            )
        )
        t, c, z, y, x = write
        box = self._plan.read_box(box_of((t, c, z, y, x)))
        read = tuple(slice(*interval) for interval in box)
        return Tile(index, (t, c, read[Z], read[Y], read[X]), (t, c, z, y, x))


def box_of(region: Region) -> Box:
    """The box of a region, without time and channel."""
    z, y, x = ((part.start, part.stop) for part in region[2:])
    return z, y, x


def _grown(box: Box, by: int, size: Size) -> Box:
    y, x = (
        (max(0, start - by), min(length, stop + by))
        for (start, stop), length in zip(box[Y:], size[Y:], strict=True)
    )
    return box[Z], y, x


def plan_restoration(
    source: Source,
    predictor: Predictor,
    options: Options | None = None,
    *,
    recorded: Mapping[str, Any] | None = None,
) -> RestorationPlan:
    """Plan the restoration of an image.

    Reads the source (whole-image percentiles, in blocks) and runs the network on a piece of it
    (overlap), where they are needed.

    Parameters
    ----------
    recorded : mapping, optional
        `RestorationPlan.recorded` of an earlier run with the same source, model and options, whose
        finished tiles are to be kept: nothing is measured again.

    Raises
    ------
    ImageError
        The image does not fit the task, or cannot be normalised.
    """
    options = options or Options()
    config = predictor.config
    info = with_z_step(config, source.info, options.z_factor)
    base = base_axes(config, source, options)
    size = Resampled(StackView(source, 0, 0), base).size
    levels = levels_of(config, info, size, options.pixel_size_um, options.correct_sampling)
    for level in levels:
        check_image_size(config, level.size)
    if recorded is None:
        scalings = _scalings(source, config)
        view = level_view(source, 0, 0, base, levels[0])
        tiling = choose_tiles(predictor, size, levels, options, view, scalings[0][0])
    else:
        scalings, tiling = _recalled(recorded, config)
    geometry, pitch = tiling.geometry, tiling.pitch
    final = geometry.size_out(size)
    steps = (pitch[Z], pitch[Y] * geometry.scale, pitch[X] * geometry.scale)
    depth = final[Z] if geometry.whole_depth or geometry.planes is not None else steps[Z]
    read = largest_tile_read(geometry, size, pitch, tiling.ramp)
    return RestorationPlan(
        config=config,
        shape=source.shape,
        out_shape=(*source.shape[:2], *final),
        out_info=info_of_result(config, info, base),
        tile_shape=(1, 1, depth, steps[Y], steps[X]),
        pitch=pitch,
        scalings=scalings,
        geometry=geometry,
        reach=tiling.reach,
        batch=batch_for(predictor, geometry, read, options),
        base=base,
        levels=levels,
        ramp=tiling.ramp,
    )


def check_image_size(config: SingleConfig, size: Size) -> None:
    """Refuse an image that the network cannot read.

    Raises
    ------
    ImageError
        Says what was expected, and what to do.
    """
    interface, signature, planes = interface_of(config), config.signature, size[Z]
    if interface.depth == "fixed" and planes != signature.channels:
        raise ImageError(f"the stack has {planes} planes; this model projects {signature.channels}")
    if not interface.lenses:
        return
    n = interface.lens_px(signature)
    if planes != 1:
        raise ImageError(f"a light field is a single plane; this image has {planes}")
    if size[Y] % n or size[X] % n:
        raise ImageError(
            f"the light field is {size[X]} x {size[Y]} pixels, expected multiples of {n}, the "
            "pixels behind a lens. Crop it so that it begins and ends with a whole lens, or say "
            "how many pixels a lens has (--lens-pitch 15.4)"
        )


def _scalings(source: Source, config: SingleConfig) -> tuple[tuple[Scaling, ...], ...]:
    """Scaling of every time point and channel: the official inference sees a stack at a time."""
    normalization = TASKS[config.task].normalization
    if 0 in source.shape:
        raise ImageError(f"the image is empty: its shape (t, c, z, y, x) is {source.shape}")
    return tuple(
        tuple(
            measure_scaling(StackView(source, t, c), normalization) for c in range(source.shape[1])
        )
        for t in range(source.shape[0])
    )


def _recalled(
    recorded: Mapping[str, Any], config: SingleConfig
) -> tuple[tuple[tuple[Scaling, ...], ...], Tiling]:
    """Scalings and tiling that `RestorationPlan.recorded` wrote."""
    reach = Reach(**recorded["reach"])
    z, y, x = recorded["pitch"]
    scalings = tuple(tuple(Scaling(**s) for s in row) for row in recorded["scalings"])
    return scalings, Tiling(tile_geometry(config, reach.halo), reach, (z, y, x))

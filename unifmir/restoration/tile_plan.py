"""Plans of restorations: the tiles of a whole image, and its scaling."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil, prod
from typing import Any, overload

from unifmir.config import SingleConfig
from unifmir.errors import ImageError
from unifmir.images.base import ImageInfo, Region, Sampling, Shape, Source
from unifmir.interfaces import interface_of
from unifmir.json_values import JsonValues
from unifmir.normalize import Scaling
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import Box, Size, TileGeometry, X, Y, Z, tile_geometry
from unifmir.restoration.image_check import sampling_of
from unifmir.restoration.intensity_line import IntensityLine
from unifmir.restoration.percentiles import measure_range
from unifmir.restoration.plane_counts import tell_planes
from unifmir.restoration.receptive_field import Reach
from unifmir.restoration.recorded_sampling import RecordedSampling, radius_px, recorded_sampling
from unifmir.restoration.resampling import Axes, StackView, needs
from unifmir.restoration.restoration_options import Options, intensity_of, normalization_of
from unifmir.restoration.sampling_levels import (
    Level,
    info_of_result,
    level_view,
    result_sampling,
    with_z_step,
)
from unifmir.restoration.tile_size import (
    Tiling,
    batch_for,
    choose_tiles,
    largest_tile_read,
)
from unifmir.tasks import TASKS
from unifmir.tasks.base import Intensity, Normalization

KEPT_VOXELS = 2**20
"""Images of up to so many voxels are restored whole to find their lines, and kept in memory."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the work. Can be pickled."""

    index: int
    read: Region
    """Part of the source that the result depends on."""
    write: Region
    """Part of the output. Tiles write every pixel exactly once."""


@dataclass(frozen=True, slots=True)
class RecordedPlan(JsonValues):
    """Measurements for a plan, with which a later run makes the same one."""

    pitch: Size
    reach: Reach
    scalings: tuple[tuple[Scaling, ...], ...]
    lines: tuple[tuple[IntensityLine, ...], ...]
    notes: tuple[str, ...]


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
    intensity: Intensity
    """How intensities come back; `percentile` where values are relative."""
    lines: tuple[tuple[IntensityLine, ...], ...] = ()
    """Lines by time point and channel; empty: not measured yet, or not needed."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should know on the image and its intensities."""

    @property
    def has_lines(self) -> bool:
        """Whether intensities come back by lines."""
        return self.intensity != "percentile"

    @property
    def adds_low_frequencies(self) -> bool:
        """Whether the low frequencies of what the lines leave are added."""
        return self.intensity == "local"

    @property
    def is_invertible(self) -> bool:
        """Whether intensities come back at all; else values are relative."""
        return TASKS[self.config.task].normalization.invertible

    @property
    def kept(self) -> bool:
        """Whether the image is so small that the lines are fitted to all of it."""
        return self.has_lines and prod(self.shape) <= KEPT_VOXELS

    @property
    def sampling(self) -> RecordedSampling:
        """The samplings of a stack's result and of what it is held against."""
        z, y, x = self.shape[2:]
        flat = interface_of(self.config).counterpart == "maximum"
        task = TASKS[self.config.task]
        return recorded_sampling(
            (1 if flat else z, y, x), self.out_shape[2:], self.base, task.low_frequency_px
        )

    @property
    def result_sampling(self) -> tuple[Sampling, Sampling, Sampling]:
        """Step and offset of the result's pixels along z, y and x, in pixels of the image."""
        return result_sampling(self.config, self.base)

    def intensity_facts(self) -> dict[str, Any]:
        """How intensities come back, as JSON values: `intensity` (or `relative`), and `lines`."""
        lines = [[line.to_dict() for line in row] for row in self.lines]
        return {"intensity": self.intensity if self.is_invertible else "relative", "lines": lines}

    def where(self, t: int, c: int) -> str:
        """Start of a sentence on one stack; empty where the image is one."""
        return f"time point {t}, channel {c}: " if self.shape[:2] != (1, 1) else ""

    @property
    def tiles(self) -> Sequence[Tile]:
        """All tiles, in the order they are best worked on."""
        return Tiles(self)

    def tiles_of(self, t: int, c: int) -> "tuple[Tile, ...]":
        """The tiles of one time point and channel."""
        times, channels = self.shape[:2]
        count = len(self.tiles) // (times * channels)
        first = (t * channels + c) * count
        return tuple(self.tiles[index] for index in range(first, first + count))

    def digest(self) -> str:
        """SHA-256 over everything that decides what is written where."""
        facts = {
            "config": self.config.to_dict(),
            "shapes": (self.shape, self.out_shape, self.tile_shape),
            "halo": self.geometry.halo,
            "ramp": self.ramp,
            "sampling": repr((self.base, self.levels)),
            "scalings": repr(self.scalings),
            "intensity": repr((self.intensity, self.lines)),
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def recorded(self) -> RecordedPlan:
        """Facts with which a later run makes the same plan."""
        return RecordedPlan(self.pitch, self.reach, self.scalings, self.lines, self.notes)

    def read_box(self, write: Box) -> Box:
        """The part of a stack of the source that the part `write` of the result depends on."""
        boxes = []
        if self.adds_low_frequencies:
            write = self.sampling.restored_box(write)
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
    recorded: RecordedPlan | None = None,
) -> RestorationPlan:
    """Plan the restoration of an image.

    Reads the source (whole-image percentiles, in blocks) and runs the network on a piece of it
    (overlap), where they are needed.

    Parameters
    ----------
    recorded : RecordedPlan, optional
        `RestorationPlan.recorded` of an earlier run with the same source, model and options, whose
        finished tiles are to be kept: nothing is measured again.

    Raises
    ------
    ImageError
        The image does not fit the task, or cannot be normalised.
    """
    options = options or Options()
    config = predictor.config
    sampling = sampling_of(source, config, options)
    base, size, levels = sampling.base, sampling.size, sampling.levels
    info = with_z_step(config, source.info, options.z_factor)
    normalization, intensity = normalization_of(config, options), intensity_of(config, options)
    if interface_of(config).depth == "fixed":
        tell_planes(source, base[Z])
    notes: tuple[str, ...] = ()
    lines: tuple[tuple[IntensityLine, ...], ...] = ()
    local = intensity == "local" and prod(source.shape) > KEPT_VOXELS
    margin = _margin(config, base) if local else (0, 0, 0)
    if recorded is None:
        scalings, notes = _scalings(source, normalization)
        view = level_view(source, 0, 0, base, levels[0])
        tiling = choose_tiles(predictor, size, levels, options, view, scalings[0][0], margin)
    else:
        scalings, lines, notes = recorded.scalings, recorded.lines, recorded.notes
        reach = recorded.reach
        tiling = Tiling(tile_geometry(config, reach.halo), reach, recorded.pitch)
    geometry, pitch = tiling.geometry, tiling.pitch
    final = geometry.size_out(size)
    steps = (pitch[Z], pitch[Y] * geometry.scale, pitch[X] * geometry.scale)
    depth = final[Z] if geometry.whole_depth or geometry.planes is not None else steps[Z]
    read = largest_tile_read(geometry, size, pitch, tiling.ramp, margin)
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
        intensity=intensity,
        lines=lines,
        notes=notes,
    )


def _margin(config: SingleConfig, base: Axes) -> Size:
    """Pixels of the image that low frequencies need around a tile, up to the grid."""
    z, y, x = tile_geometry(config).grid
    planes = 0 if (axis := base[Z]) is None else ceil(2 / axis.step) + 1
    lateral = radius_px(TASKS[config.task].low_frequency_px) + 2
    return -(-planes // z) * z, -(-lateral // y) * y, -(-lateral // x) * x


def _scalings(
    source: Source, normalization: Normalization
) -> tuple[tuple[tuple[Scaling, ...], ...], tuple[str, ...]]:
    """Scaling of every time point and channel, and what to say of them.

    The official inference sees a stack at a time.
    """
    if 0 in source.shape:
        raise ImageError(f"the image is empty: its shape (t, c, z, y, x) is {source.shape}")
    several = source.shape[:2] != (1, 1)
    rows, notes = [], []
    for t in range(source.shape[0]):
        row = []
        for c in range(source.shape[1]):
            found = measure_range(StackView(source, t, c), normalization)
            row.append(found.scaling)
            if (told := found.note()) is not None:
                notes.append(f"time point {t}, channel {c}: {told}" if several else told)
        rows.append(tuple(row))
    return tuple(rows), tuple(notes)

"""Geometry of tiles: what part of an image a result depends on, and how an image is cut.

Boxes are in pixels of a stack (z, y, x); every bound is explicit. The attention windows of the
network lie on a grid that starts at the image's first pixel: tiles that start on the grid have
the windows where the whole image has them.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from unifmir.config import SingleConfig
from unifmir.interfaces import interface_of

Interval = tuple[int, int]
"""First pixel, and the one after the last."""
Box = tuple[Interval, Interval, Interval]
"""Along z, y and x."""
Size = tuple[int, int, int]
Z, Y, X = 0, 1, 2


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """How far a result depends on the image around it. z, y, x, in pixels of the image."""

    grid: Size
    """Multiple at which everything starts that is read."""
    halo: Size
    """Read beyond the result on each side, multiples of the grid."""
    scale: int = 1
    """Lateral magnification."""
    whole_depth: bool = False
    """All planes are read at once."""
    planes: int | None = None
    """Planes of the result; None: those of the image."""

    @property
    def by_plane(self) -> bool:
        """Whether planes are restored one by one."""
        return not self.whole_depth and self.planes is None and self.grid[Z] == 1

    def size_out(self, shape: Size) -> Size:
        """Size of the result of an image."""
        depth = shape[Z] if self.planes is None else self.planes
        return depth, shape[Y] * self.scale, shape[X] * self.scale

    def read(self, write: Box, shape: Size) -> Box:
        """The part of an image of size `shape` that the part `write` of its result depends on."""
        z, y, x = (
            self._read_axis(axis, interval, shape[axis]) for axis, interval in enumerate(write)
        )
        return z, y, x

    def _read_axis(self, axis: int, interval: Interval, length: int) -> Interval:
        if axis == Z and self.whole_depth:
            return 0, length
        scale = 1 if axis == Z else self.scale
        grid, halo = self.grid[axis], self.halo[axis]
        start = interval[0] // scale // grid * grid - halo
        stop = -(-interval[1] // (scale * grid)) * grid + halo
        return max(0, start), min(length, stop)

    def steps(self) -> Size:
        """The grid, in pixels of the result; 0 along an axis that is not cut."""
        depth = 0 if self.whole_depth else self.grid[Z]
        return depth, self.grid[Y] * self.scale, self.grid[X] * self.scale


def tile_geometry(config: SingleConfig, halo: int = 0) -> TileGeometry:
    """The geometry of a network's image interface for a lateral halo, in pixels of the image."""
    interface, signature = interface_of(config), config.signature
    grid = interface.grid_px(config)
    deep_grid, deep_halo = 1, interface.slices(signature) // 2
    if interface.cuts_depth:
        deep_grid, deep_halo = grid, halo
    return TileGeometry(
        grid=(deep_grid, grid, grid),
        halo=(deep_halo, halo, halo),
        scale=interface.scale(signature, "image"),
        whole_depth=interface.whole_depth,
        planes=interface.result_planes(signature),
    )


def size_of(box: Box) -> Size:
    """Pixels along each axis."""
    z, y, x = (stop - start for start, stop in box)
    return z, y, x


def slices(box: Box, origin: Box | None = None) -> tuple[slice, slice, slice]:
    """Slices of a box, for an array that begins where `origin` does."""
    starts = (0, 0, 0) if origin is None else tuple(start for start, _ in origin)
    z, y, x = (
        slice(start - first, stop - first) for (start, stop), first in zip(box, starts, strict=True)
    )
    return z, y, x


def whole_box(size: Size) -> Box:
    """All of a stack."""
    return (0, size[Z]), (0, size[Y]), (0, size[X])


def even_pitch(length: int, parts: int, step: int) -> int:
    """Length of `parts` parts as even as multiples of `step` allow; the last may be shorter."""
    return min(length, -(-length // (parts * step)) * step)


def largest_read(length: int, pitch: int, halo: int) -> int:
    """Pixels that the largest of the parts reads."""
    count = -(-length // pitch)
    return min(length, pitch + min(2, count - 1) * halo)


def pitches(length: int, step: int) -> list[int]:
    """All lengths of even parts, the longest first."""
    found = {even_pitch(length, parts, step) for parts in range(1, -(-length // step) + 1)}
    return sorted(found, reverse=True)


def fitting_pitch(
    length: Size, step: Size, halo: Size, axes: tuple[int, ...], fits: Callable[[Size], bool]
) -> Size:
    """Cut an image into even parts that fit, so that the least is read twice.

    Parameters
    ----------
    length, step, halo : Size
        Of the image, its grid, and what is read beyond a part; all in pixels of the image.
    axes : tuple of int
        Those that may be cut. Planes are cut only where nothing else helps.
    fits : callable
        Whether a part that reads so much fits. If it does, every smaller one does.

    Returns
    -------
    Size
        Pixels from one part to the next; the least there is where nothing fits.
    """
    depths, rows, columns = (
        pitches(length[axis], step[axis]) if axis in axes else [length[axis]] for axis in (Z, Y, X)
    )
    for depth in depths:
        found = []
        for row in rows:
            known = (
                largest_read(length[Z], depth, halo[Z]),
                largest_read(length[Y], row, halo[Y]),
            )
            reads = [(*known, largest_read(length[X], column, halo[X])) for column in columns]
            at = bisect_left(reads, True, key=fits)
            if at < len(columns):
                parts = (-(-length[Y] // row), -(-length[X] // columns[at]))
                twice = tuple(
                    length[axis] + 2 * halo[axis] * (count - 1)
                    for axis, count in zip((Y, X), parts, strict=True)
                )
                found.append((twice[0] * twice[1], parts[0] * parts[1], row, columns[at]))
        if found:
            *_, row, column = min(found)
            return depth, row, column
    return depths[-1], rows[-1], columns[-1]


def halves(box: Box, steps: Size) -> tuple[Box, Box] | None:
    """Cut a box in two along its longest axis, on the grid; None if it is not longer than that."""
    lengths = size_of(box)
    for axis in sorted((Z, Y, X), key=lambda a: -lengths[a]):
        step, (start, stop) = steps[axis], box[axis]
        if not step:
            continue
        middle = (start + stop + step) // (2 * step) * step
        if start < middle < stop:
            first, second = list(box), list(box)
            first[axis], second[axis] = (start, middle), (middle, stop)
            return (first[0], first[1], first[2]), (second[0], second[1], second[2])
    return None

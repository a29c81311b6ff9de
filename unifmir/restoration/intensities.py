"""Intensities of a result: brought back from the network's units to the image's own.

A restored image is held against the raw one at the sampling at which that was recorded. The line
between them is measured before anything is written, and is part of the plan, so that tiles of any
size, resumed runs and the workers of a cluster write the same. The low frequencies of what the
line leaves are added tile by tile, each reading what its own need around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from unifmir.images.base import Source
from unifmir.interfaces import interface_of
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import Box, Size, X, Y, Z, size_of, slices, whole_box
from unifmir.restoration.intensity_line import BlockSums, IntensityLine, block_sums, fit_line
from unifmir.restoration.lazy_image import TileLimit
from unifmir.restoration.low_frequencies import ImagePart, low_frequencies
from unifmir.restoration.percentiles import normalize_part
from unifmir.restoration.recorded_sampling import RecordedSampling, recorded_view
from unifmir.restoration.resampling import Resampled, View
from unifmir.restoration.restored_stack import RestoredStack
from unifmir.restoration.tile_plan import RestorationPlan

SHARE = 8
"""Parts of an image, too large to be kept, of which one is restored to find the lines."""
MOST_VOXELS = 2**20
"""Voxels of the image that are restored to find the lines, at most."""
BAND_VOXELS = 2**20
"""Voxels of a result that are brought back at a time: 4 MiB of float32."""
LEAST_ROWS = 64
"""Rows of them at least: low frequencies are made of a dozen more on each side."""
PIECE = (64, 128, 128)
"""Planes, rows and columns of a piece of them; one plane where planes are restored one by one."""


@dataclass(frozen=True, slots=True)
class _Held:
    """One stack of an image, raw and restored."""

    raw: View
    """Stack at the recorded sampling, in intensities."""
    restored: RestoredStack
    sampling: RecordedSampling

    def sums(self, box: Box) -> BlockSums:
        """Sums of a recorded part, for the line."""
        return block_sums(*self.pair(box, self.restored))

    def pair(self, box: Box, restored: View) -> tuple[FloatImage, FloatImage]:
        """A recorded part, restored and raw, both in the network's units."""
        stack = self.restored
        scaling = stack.plan.scalings[stack.t][stack.c]
        recorded = Resampled(restored, self.sampling.to_recorded)
        return recorded.read(box), normalize_part(scaling, self.raw.read(box))


def with_lines(
    plan: RestorationPlan, source: Source, predictor: Predictor, limit: TileLimit
) -> RestorationPlan:
    """The plan with the lines that its intensities need: of every stack, or of every channel.

    A small image is restored whole, and kept in the limit. Time points of a larger one share a
    line, in the network's units, fitted to pieces that are spread over all of them.

    Raises
    ------
    TooLittleMemoryError
        The smallest piece does not fit the memory.
    """
    if not plan.has_lines or plan.lines:
        return plan
    times, channels = range(plan.shape[0]), range(plan.shape[1])
    if plan.kept:
        sums = {
            (t, c): [held.sums(whole_box(plan.sampling.recorded))]
            for t in times
            for c in channels
            for held in [_held(plan, t, c, source, predictor, limit)]
        }
        lines = [[fit_line(sums[t, c], plan.scalings[t][c]) for c in channels] for t in times]
    else:
        shared = [
            [
                _held(plan, t, c, source, predictor, limit).sums(box)
                for t, box in pieces(plan.shape[0], plan.sampling.recorded, *_depth_and_count(plan))
            ]
            for c in channels
        ]
        lines = [[fit_line(shared[c], plan.scalings[t][c]) for c in channels] for t in times]
    return replace(plan, lines=tuple(tuple(row) for row in lines), notes=_notes(plan, lines))


def restore_box(
    plan: RestorationPlan,
    stack: tuple[int, int],
    box: Box,
    source: Source,
    predictor: Predictor,
    limit: TileLimit,
) -> FloatImage:
    """Restore a part of a stack's result, as it is written.

    Parameters
    ----------
    plan : RestorationPlan
        With its lines, where its intensities need them.
    stack : tuple of int
        Time point and channel.
    box : Box
        In pixels of the result.

    Returns
    -------
    array, float32
        In the source's intensities; in [0, 1] where the task's values are relative.
    """
    t, c = stack
    held = _held(plan, t, c, source, predictor, limit)
    if not plan.is_invertible:
        return held.restored.read(box)
    scaling = plan.scalings[t][c]
    if not plan.has_lines:
        return scaling.invert(held.restored.read(box))
    line = plan.lines[t][c]
    slope, shift = np.float32(line.slope), np.float32(line.shift(scaling))
    unclipped = replace(scaling, clip=False)
    if not plan.adds_low_frequencies:
        return unclipped.invert(slope * held.restored.read(box) + shift)
    # What is read is in memory from here on: the network runs once.
    sampling = held.sampling
    wanted, around = sampling.restored_box(box), sampling.around(sampling.field_box(box))
    restored = ImagePart(held.restored.read(wanted), wanted, held.restored.size)
    inside = replace(held, raw=ImagePart(held.raw.read(around), around, held.raw.size))
    result = np.empty(size_of(box), np.float32)
    for band in _bands(box):
        field = sampling.field_box(band)
        around = sampling.around(field)
        below, left = inside.pair(around, restored)
        left -= _on_line(below, slope, shift)
        low = low_frequencies(ImagePart(left, around, sampling.recorded), field, sampling.sigma_px)
        brought = _on_line(restored.read(band), slope, shift)
        brought += Resampled(low, sampling.to_result).read(band)
        result[slices(band, box)] = unclipped.invert(brought)
    return result


def _on_line(restored: FloatImage, slope: np.float32, shift: np.float32) -> FloatImage:
    found: FloatImage = slope * restored
    found += shift
    return found


def _bands(box: Box) -> Iterator[Box]:
    """Rows of a box, so few that what is computed of them stays in the processor's cache."""
    depth, _, width = size_of(box)
    (first, last), rows = box[Y], max(LEAST_ROWS, BAND_VOXELS // (depth * width))
    for start in range(first, last, rows):
        yield box[Z], (start, min(last, start + rows)), box[X]


def pieces(times: int, size: Size, depth: int, count: int) -> Iterator[tuple[int, Box]]:
    """Time points and boxes of an image, spread evenly over it; no two are the same.

    Independent of the tiles, so that tiles of any size give the same lines.
    """
    lengths = [min(piece, length) for piece, length in zip((depth, *PIECE[1:]), size, strict=True)]
    found = set()
    for index in range(count):
        # Radical inverses in prime bases (Halton 1960) fill a space evenly, however many there are.
        t = int(_radical_inverse(index, 7) * times)
        starts = [
            round(_radical_inverse(index, base) * (length - part))
            for base, length, part in zip((5, 3, 2), size, lengths, strict=True)
        ]
        z, y, x = ((start, start + part) for start, part in zip(starts, lengths, strict=True))
        if (t, z, y, x) not in found:
            found.add((t, z, y, x))
            yield t, (z, y, x)


def _held(
    plan: RestorationPlan,
    t: int,
    c: int,
    source: Source,
    predictor: Predictor,
    limit: TileLimit,
) -> _Held:
    raw = recorded_view(source, t, c, interface_of(plan.config).counterpart)
    return _Held(raw, RestoredStack(plan, t, c, source, predictor, limit), plan.sampling)


def _depth_and_count(plan: RestorationPlan) -> tuple[int, int]:
    """Planes of a piece, and how many pieces a channel has."""
    planes = plan.sampling.recorded[0]
    depth = 1 if plan.geometry.by_plane else planes if plan.geometry.whole_depth else PIECE[0]
    voxels = min(MOST_VOXELS, prod(plan.shape) // SHARE) / plan.shape[1]
    read = plan.shape[2] if plan.geometry.whole_depth else min(depth, planes)
    return depth, max(1, int(voxels / (read * prod(PIECE[1:]))))


def _radical_inverse(number: int, base: int) -> float:
    inverse, part = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        inverse += digit * part
        part /= base
    return inverse


def _notes(plan: RestorationPlan, lines: list[list[IntensityLine]]) -> tuple[str, ...]:
    """The notes of the plan, and what is wrong with the lines."""
    found = [
        (t, c, line.poorness())
        for t, row in enumerate(lines if plan.kept else lines[:1])
        for c, line in enumerate(row)
    ]
    return plan.notes + tuple(plan.where(t, c) + wrong for t, c, wrong in found if wrong)

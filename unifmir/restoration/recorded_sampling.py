"""Ways from a result's sampling to that at which its image was recorded, and back.

A restored image is held against what was recorded: the pixels of a result that magnifies are
averaged by area, and of planes that were interpolated the recorded ones are taken.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Shaped

from unifmir.images.base import Source
from unifmir.interfaces import Counterpart
from unifmir.restoration.geometry import Box, Interval, Size, X, Y, Z
from unifmir.restoration.resampling import Axes, Axis, Kernel, StackView, View, needs, scaled

CUT = 3
"""Standard deviations after which the Gaussian that tells low frequencies is cut."""


@dataclass(frozen=True, slots=True)
class RecordedSampling:
    """Two samplings of one field of view: the result's, and that of what was recorded."""

    recorded: Size
    result: Size
    to_recorded: Axes
    to_result: Axes
    sigma_px: float
    """Standard deviation of the Gaussian that tells low frequencies, in recorded pixels."""

    @property
    def radius_px(self) -> int:
        """Recorded pixels after which it is cut."""
        return radius_px(self.sigma_px)

    def field_box(self, write: Box) -> Box:
        """The recorded part whose low frequencies the part `write` of the result needs."""
        return needs(self.to_result, write)

    def around(self, field: Box) -> Box:
        """A recorded part, with what its low frequencies are made of."""
        y, x = (
            (max(0, start - self.radius_px), min(length, stop + self.radius_px))
            for (start, stop), length in zip(field[Y:], self.recorded[Y:], strict=True)
        )
        return field[Z], y, x

    def result_box(self, recorded: Box) -> Box:
        """The part of the result that a recorded part is held against."""
        return needs(self.to_recorded, recorded)

    def restored_box(self, write: Box) -> Box:
        """All of the result that the part `write` needs, with its low frequencies."""
        needed = self.result_box(self.around(self.field_box(write)))
        z, y, x = (_hull(*pair) for pair in zip(write, needed, strict=True))
        return z, y, x


def radius_px(sigma_px: float) -> int:
    """Pixels after which a Gaussian is cut."""
    return ceil(CUT * sigma_px)


def recorded_sampling(
    recorded: Size, result: Size, base: Axes, sigma_px: float
) -> RecordedSampling:
    """The two samplings of an image whose planes were interpolated by `base`.

    Parameters
    ----------
    recorded, result : Size
        A result that is one plane is held against one: `recorded` counts that.
    """
    planes = base[Z]
    back = None if planes is None else _recorded_planes(planes)
    down, up = (
        [_by_area(before, after) for before, after in zip(pair[0][Y:], pair[1][Y:], strict=True)]
        for pair in ((result, recorded), (recorded, result))
    )
    to_recorded, to_result = (back, down[0], down[1]), (planes, up[0], up[1])
    return RecordedSampling(recorded, result, to_recorded, to_result, sigma_px)


@dataclass(frozen=True, slots=True)
class MaximumProjection:
    """Maximum of a stack along z, as a stack of one plane."""

    stack: View

    @property
    def size(self) -> Size:
        """Pixels along z (one), y and x."""
        _, y, x = self.stack.size
        return 1, y, x

    def read(self, box: Box) -> Shaped[np.ndarray, "1 y x"]:
        """The pixels of a box, in the stack's intensities."""
        deep = ((0, self.stack.size[Z]), box[Y], box[X])
        projected: Shaped[np.ndarray, "1 y x"] = self.stack.read(deep).max(axis=0, keepdims=True)
        return projected


def recorded_view(source: Source, t: int, c: int, counterpart: Counterpart) -> View:
    """The image that a raw stack's result is held against."""
    stack = StackView(source, t, c)
    return MaximumProjection(stack) if counterpart == "maximum" else stack


def _by_area(before: int, after: int) -> Axis | None:
    """Means of whole pixels where the new ones are larger; linear between them where smaller."""
    axis = scaled(before, after)
    if axis is None:
        return None
    kernel: Kernel = "area" if before > after else "linear"
    return Axis(axis.before, axis.after, axis.step, axis.offset, kernel)


def _recorded_planes(planes: Axis) -> Axis:
    """The way back from interpolated planes to the recorded ones."""
    return Axis(planes.after, planes.before, 1 / planes.step, 0.0, "between")


def _hull(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])

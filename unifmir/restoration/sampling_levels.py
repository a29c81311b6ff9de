"""Samplings at which an image is restored, and the metadata of its result.

isotropic: a stack whose planes lie apart by more than its pixels is first interpolated along z.
The model's pixel size: the image is resampled to it, and the result back. Correction: a second
restoration at half the sampling; the two are averaged.
"""

from dataclasses import dataclass, replace

from unifmir.config import SingleConfig
from unifmir.errors import ImageError
from unifmir.images.base import AXES, ImageInfo, Source
from unifmir.interfaces import interface_of
from unifmir.restoration.geometry import Size, X, Y, Z, tile_geometry
from unifmir.restoration.resampling import (
    Axes,
    Resampled,
    StackView,
    View,
    interpolated_planes,
    scaled,
    scaled_length,
)
from unifmir.tasks import TASKS

_SAME = 1e-3
"""Samplings that differ by less are equal: files round their pixel sizes."""
_UNCHANGED: Axes = (None, None, None)


@dataclass(frozen=True, slots=True)
class Level:
    """One sampling at which an image is restored."""

    size: Size
    """Size of the image at this sampling."""
    forward: Axes = _UNCHANGED
    """Resampling of the image to this sampling."""
    back: Axes | None = None
    """Resampling of its result to the wanted one; None: it is the wanted one."""


def base_axes(config: SingleConfig, info: ImageInfo, z_factor: float | None, planes: int) -> Axes:
    """Interpolation of a stack to isotropic sampling; none for tasks that do without."""
    if not TASKS[config.task].isotropic_sampling:
        if z_factor is not None:
            raise ImageError(
                f"z_factor is for isotropic, whose stacks are interpolated along z; not for "
                f"{config.task}"
            )
        return _UNCHANGED
    pixel = _lateral(info)
    factor = z_factor
    if factor is None:
        known = pixel is not None and info.z_step_um is not None
        factor = info.z_step_um / pixel if known and info.z_step_um and pixel else 1.0
    if abs(factor - 1) < _SAME:
        return _UNCHANGED
    return interpolated_planes(planes, factor), None, None


def levels_of(
    config: SingleConfig,
    info: ImageInfo,
    size: Size,
    pixel_size_um: float | None,
    correct_sampling: bool,
) -> tuple[Level, ...]:
    """The samplings of an image of `size`, already isotropic where the task wants that.

    Raises
    ------
    ImageError
        The image does not say its pixel size, or is a light field, whose sampling is its lenses'.
    """
    if pixel_size_um is None and not correct_sampling:
        return (Level(size),)
    if interface_of(config).lenses:
        raise ImageError(
            "a light field cannot be resampled: its pixels are views behind lenses. Leave the "
            "pixel size and its correction out"
        )
    factor = 1.0
    if pixel_size_um is not None:
        own = _lateral(info)
        if own is None:
            raise ImageError(
                "the image does not say its pixel size, so it cannot be brought to "
                f"{pixel_size_um:g} um; set it (Fiji: Image > Properties) or give it"
            )
        factor = own / pixel_size_um
    factors = (factor, factor / 2) if correct_sampling else (factor,)
    return tuple(_level(config, size, factor) for factor in factors)


def level_view(source: Source, t: int, c: int, base: Axes, level: Level) -> View:
    """A stack of the source at one sampling, raw."""
    view: View = StackView(source, t, c)
    if base != _UNCHANGED:
        view = Resampled(view, base)
    return view if level.forward == _UNCHANGED else Resampled(view, level.forward)


def info_of_result(config: SingleConfig, info: ImageInfo, base: Axes) -> ImageInfo:
    """Metadata of the result: the image's own, where it still holds."""
    geometry = tile_geometry(config)
    task = TASKS[config.task]
    axes = set(info.axes.lower()) | set(task.output_axes) - {"z"}
    axes = axes - {"z"} if "z" not in task.output_axes and "z" in task.input_axes else axes
    axes = axes | {"z"} if geometry.planes is not None and geometry.planes > 1 else axes
    step, pixels = info.z_step_um, info.pixel_size_um
    if "z" in task.input_axes and "z" not in task.output_axes:
        step = None
    if geometry.planes is not None and "z" in task.output_axes:
        step = None  # the model's planes: no file says how far apart they are
    if (along_z := base[Z]) is not None and step is not None:
        step *= along_z.step
    rows, columns = (None if size is None else size / geometry.scale for size in pixels)
    channels = info.channels
    if not task.normalization.invertible:
        channels = tuple(replace(channel, display=None) for channel in channels)
    return replace(
        info,
        axes="".join(axis for axis in AXES if axis in axes),
        pixel_size_um=(rows, columns),
        z_step_um=step,
        channels=channels,
    )


def _level(config: SingleConfig, size: Size, factor: float) -> Level:
    isotropic = TASKS[config.task].isotropic_sampling
    depth = scaled_length(size[Z], factor) if isotropic else size[Z]
    there = (depth, scaled_length(size[Y], factor), scaled_length(size[X], factor))
    geometry = tile_geometry(config)
    forward = _between(size, there)
    back = _between(geometry.size_out(there), geometry.size_out(size))
    return Level(there, forward, None if back == _UNCHANGED else back)


def _between(before: Size, after: Size) -> Axes:
    z, y, x = (scaled(a, b) for a, b in zip(before, after, strict=True))
    return z, y, x


def _lateral(info: ImageInfo) -> float | None:
    """One pixel size for y and x; ImageError where they differ."""
    rows, columns = info.pixel_size_um
    if rows is None or columns is None:
        return rows if columns is None else columns
    if abs(rows / columns - 1) > 0.01:
        raise ImageError(
            f"its pixels are {columns:g} x {rows:g} um; expected square ones. Resample the image "
            "(Fiji: Image > Scale)"
        )
    return (rows + columns) / 2

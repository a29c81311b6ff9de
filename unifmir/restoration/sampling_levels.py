"""Samplings at which an image is restored, and the metadata of its result.

isotropic: a stack whose planes lie apart by more than its pixels is first interpolated along z.
Projection: a stack is brought to the number of planes that the network reads. Light fields: lenses
of another pitch are brought to the network's.
The model's pixel size: the image is resampled to it, and the result back. Correction: a second
restoration at half the sampling; the two are averaged.
"""

from dataclasses import dataclass, replace

from unifmir.config import SingleConfig
from unifmir.errors import ImageError
from unifmir.images.base import AXES, ImageInfo, Sampling, Source
from unifmir.interfaces import interface_of
from unifmir.restoration.geometry import Size, X, Y, Z, tile_geometry
from unifmir.restoration.lens_grid import lens_axis, lens_centres
from unifmir.restoration.plane_counts import plane_axis
from unifmir.restoration.resampling import (
    Axes,
    Resampled,
    StackView,
    View,
    interpolated_planes,
    scaled,
    scaled_length,
)
from unifmir.restoration.restoration_options import Options
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


def base_axes(config: SingleConfig, source: Source, options: Options) -> Axes:
    """Sampling that the network needs, whatever its pixel size: of planes, or of lenses.

    Raises
    ------
    ImageError
        An option is for another task; isotropic of a single plane, or of a stack whose z step is
        not known; a projection of too few planes; or a light field whose lenses are not seen.
    """
    task, interface = TASKS[config.task], interface_of(config)
    if options.z_factor is not None and not task.isotropic_sampling:
        raise ImageError(
            f"z_factor is for isotropic, whose stacks are interpolated along z; not for "
            f"{config.task}"
        )
    if options.lens_pitch is not None and not interface.lenses:
        raise ImageError(f"the lens pitch is for raw light fields, not for {config.task}")
    if task.isotropic_sampling:
        return _isotropic(config, source.info, options.z_factor, source.shape[2])
    if interface.depth == "fixed":
        return plane_axis(source, config.signature.channels, options.planes), None, None
    if options.lens_pitch is not None:
        pitch = options.lens_pitch
        centres = options.lens_centre or lens_centres(StackView(source, 0, 0), pitch)
        pixels = interface.lens_px(config.signature)
        rows, columns = (
            lens_axis(length, pitch, centre, pixels)
            for length, centre in zip(source.shape[3:], centres, strict=True)
        )
        return None, rows, columns
    return _UNCHANGED


def _isotropic(config: SingleConfig, info: ImageInfo, z_factor: float | None, planes: int) -> Axes:
    """Interpolation of a stack to isotropic sampling."""
    if planes == 1:
        raise ImageError(
            f"{info.name} is a single plane, and {config.task} restores stacks along z. If its "
            "frames are planes, say so (--axes zyx)"
        )
    factor = z_factor if z_factor is not None else _planes_apart(info)
    if factor is None:
        raise ImageError(
            f"{info.name} does not say how far apart its planes are, compared with its pixels: "
            "give the z step over the pixel size (--z-factor 4, say; 1 where the stack is "
            "interpolated already), or set both (Fiji: Image > Properties)"
        )
    if abs(factor - 1) < _SAME:
        return _UNCHANGED
    return interpolated_planes(planes, factor), None, None


def with_z_step(config: SingleConfig, info: ImageInfo, z_factor: float | None) -> ImageInfo:
    """Metadata with the z step that a factor means, where the file does not say one."""
    if z_factor is None or not TASKS[config.task].isotropic_sampling:
        return info
    pixel, (t, z, y, x) = _lateral(info), info.unitless
    if pixel is not None and info.z_step_um is None:
        return replace(info, z_step_um=z_factor * pixel)
    if pixel is None and y is not None and y == x and z is None:
        return replace(info, unitless=(t, z_factor * y, y, x))
    return info


def _planes_apart(info: ImageInfo) -> float | None:
    """Z step over pixel size; of scales without a unit where there are no others."""
    pixel = _lateral(info)
    if pixel is not None and info.z_step_um is not None:
        return info.z_step_um / pixel
    _, z, y, x = info.unitless
    if z is None or y is None or x is None:
        return None
    _check_square(y, x, "")
    return z / x


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


def result_sampling(config: SingleConfig, base: Axes) -> tuple[Sampling, Sampling, Sampling]:
    """Step and offset of a result's pixels along z, y and x, in pixels of the image.

    Planes that a model makes, or of which it makes one, have no place in the image: their step
    is 1.
    """
    finer = 1 / tile_geometry(config).scale
    offset = (finer - 1) / 2  # pixels of a finer sampling share the image's edges, not its centres
    along_z, rows, columns = (
        (1.0, 0.0) if axis is None else (axis.step, axis.offset) for axis in base
    )
    return (
        along_z,
        (rows[0] * finer, rows[0] * offset + rows[1]),
        (columns[0] * finer, columns[0] * offset + columns[1]),
    )


def info_of_result(config: SingleConfig, info: ImageInfo, base: Axes) -> ImageInfo:
    """Metadata of the result: the image's own, where it still holds."""
    geometry = tile_geometry(config)
    task = TASKS[config.task]
    axes = set(info.axes.lower()) | set(task.output_axes) - {"z"}
    axes = axes - {"z"} if "z" not in task.output_axes and "z" in task.input_axes else axes
    axes = axes | {"z"} if geometry.planes is not None and geometry.planes > 1 else axes
    z, y, x = result_sampling(config, base)
    result = info.resampled(z=z, y=y, x=x)
    # Planes that the model makes: no file says how far apart they are.
    made = geometry.planes is not None and "z" in task.output_axes
    if made or ("z" in task.input_axes and "z" not in task.output_axes):
        result = result.without("z")
    channels = info.channels
    if not task.normalization.invertible:
        channels = tuple(replace(channel, display=None) for channel in channels)
    return replace(result, axes="".join(axis for axis in AXES if axis in axes), channels=channels)


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
    _check_square(rows, columns, " um")
    return (rows + columns) / 2


def _check_square(rows: float, columns: float, unit: str) -> None:
    if abs(rows / columns - 1) > 0.01:
        raise ImageError(
            f"its pixels are {columns:g} x {rows:g}{unit}; expected square ones. Resample the "
            "image (Fiji: Image > Scale)"
        )

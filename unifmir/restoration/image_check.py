"""Checks of an image before a model is loaded: size, planes, values. Imports no torch."""

from dataclasses import dataclass
from math import prod

import numpy as np

from unifmir.config import SingleConfig
from unifmir.errors import ImageError
from unifmir.images.base import Source
from unifmir.interfaces import interface_of
from unifmir.restoration.geometry import Size, X, Y, Z
from unifmir.restoration.percentiles import measure_range
from unifmir.restoration.resampling import Axes, Resampled, StackView
from unifmir.restoration.restoration_options import Options, intensity_of, normalization_of
from unifmir.restoration.sampling_levels import Level, base_axes, levels_of, with_z_step
from unifmir.tasks import TASKS

LOOKED_AT_PIXELS = 2**22
"""Images of more pixels are not read whole just to be looked at: 4 megapixels take 0.1 s."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The samplings at which an image is restored."""

    base: Axes
    """Along z, isotropic sampling."""
    size: Size
    """Size of a stack with that."""
    levels: tuple[Level, ...]


def sampling_of(source: Source, config: SingleConfig, options: Options) -> Sampling:
    """Samplings of an image that a network reads.

    Raises
    ------
    ImageError
        The image has another size or depth than the network reads, or lacks the pixel size that
        the options need.
    """
    info = with_z_step(config, source.info, options.z_factor)
    base = base_axes(config, source, options)
    size = Resampled(StackView(source, 0, 0), base).size
    levels = levels_of(config, info, size, options.pixel_size_um, options.correct_sampling)
    for level in levels:
        check_image_size(config, level.size)
    return Sampling(base, size, levels)


def check_image(source: Source, task: str, config: SingleConfig | None, options: Options) -> None:
    """Refuse an image that cannot be restored, as far as a moment's look shows it.

    Parameters
    ----------
    source : Source
        Its header decides size and depth. Up to `LOOKED_AT_PIXELS` its values are read too; of a
        larger image those of its first block, and planning reads the rest.
    task : str
        Name of a task.
    config : SingleConfig or None
        Of the network, where that is known already.
    options : Options

    Raises
    ------
    ImageError
        Says what was expected, and what to do.
    """
    if 0 in source.shape:
        raise ImageError(f"the image is empty: its shape (t, c, z, y, x) is {source.shape}")
    normalization = TASKS[task].normalization
    if config is not None:
        normalization = normalization_of(config, options)
        intensity_of(config, options)
    large = prod(source.shape) > LOOKED_AT_PIXELS
    # Lenses and surfaces are sought in the values.
    sought = options.lens_pitch is not None or options.planes == "crop"
    if config is not None and not (large and sought):
        sampling_of(source, config, options)
    if large:
        _check_first_block(source)
        return
    for t in range(source.shape[0]):
        for c in range(source.shape[1]):
            measure_range(StackView(source, t, c), normalization)


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


def _check_first_block(source: Source) -> None:
    block = next(iter(StackView(source, 0, 0).blocks()))
    if block.dtype.kind == "f" and not np.isfinite(block).all():
        raise ImageError(
            "pixels are NaN or infinite; replace them (for example by the image's median) and try "
            "again"
        )

"""Images that are read and written as a whole, in the axes that are wanted."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from unifmir.errors import ImageError
from unifmir.images.base import AXES, ImageInfo, Shape, Source, described, whole_region
from unifmir.images.damage import check_size, reading
from unifmir.images.layout import find_layout
from unifmir.images.open_files import open_source
from unifmir.images.plane_output import OutputRequest
from unifmir.images.tiff_output import TiffSink
from unifmir.normalize import checked


@dataclass(frozen=True, slots=True)
class Image:
    """A file's image with what the file says of it."""

    values: Float32[np.ndarray, "..."]
    """Raw intensities in the wanted axes."""
    pixel_size_um: float | None
    """Lateral; None where the file does not say, or says different ones for x and y."""
    z_step_um: float | None
    """Distance of planes; None where the file does not say."""


def read_image(path: Path, axes: str) -> Float32[np.ndarray, "..."]:
    """Read an image file in the wanted axes.

    Parameters
    ----------
    path : Path
        What `open_source` opens.
    axes : str
        The wanted axes, `TaskSpec.input_axes`: "yx" or "zyx".

    Returns
    -------
    array, float32
        Raw intensities; axes of length 1 that are not wanted are dropped.

    Raises
    ------
    ImageError
        The file is missing, is no image, is damaged, or has other axes than wanted.
    """
    return read_image_file(path, axes).values


def read_image_file(path: Path, axes: str) -> Image:
    """Read an image file as `read_image` does, shape and intensities, with its pixel size."""
    source = open_source(path)
    try:
        check_size(path, math.prod(source.shape) * source.dtype.itemsize)
        with reading(path):
            order = _order(source, axes.lower())
            found = source.read(whole_region(source.shape))
            lengths = [
                source.shape[AXES.index(axis)] for axis in sorted(axes.lower(), key=AXES.index)
            ]
            values = checked(found.reshape(lengths).transpose(order))
    finally:
        source.close()
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ImageError(f"{path.name}: its values exceed float32; divide it by a constant first")
    return Image(narrow, _square(*source.info.pixel_size_um), source.info.z_step_um)


def write_tiff(
    path: Path,
    array: Shaped[np.ndarray, "..."],
    axes: str,
    pixel_size_um: float | None = None,
    *,
    z_step_um: float | None = None,
) -> None:
    """Write an image that opens in Fiji with its axes and pixel size, all or nothing.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    array : array, shape as `axes`
        Intensities; uint8 and uint16 are kept, all else becomes float32 (ImageJ has no others).
    axes : str
        "yx" or "zyx".
    pixel_size_um : float, optional
        Lateral.
    z_step_um : float, optional
        Distance of planes.

    Raises
    ------
    ImageError
        The array does not have the axes named, or is empty, complex, NaN or Inf.
    """
    if array.ndim != len(axes) or set(axes.lower()) - set("zyx"):
        raise ImageError(f"cannot write {described(array.shape, axes)}: expected axes yx or zyx")
    for name, size in (("pixel size", pixel_size_um), ("z step", z_step_um)):
        if size is not None and not (np.isfinite(size) and size > 0):
            raise ImageError(f"the {name} is {size} um, expected more than 0")
    pixels = array if array.dtype in (np.uint8, np.uint16) else checked(array).astype(np.float32)
    if pixels.size == 0:
        raise ImageError(f"cannot write an empty image of shape {array.shape}")
    found = find_layout(axes, pixels.shape)
    lateral = (pixel_size_um, pixel_size_um)
    info = ImageInfo(
        path.name, found.image_axes, lateral, z_step_um if "z" in found.image_axes else None
    )
    sink = TiffSink(OutputRequest(path, found.image_shape, pixels.dtype, info, resume=False))
    try:
        sink.write(whole_region(found.image_shape), found.to_image(pixels))
        sink.publish()
    finally:
        sink.discard()


def _order(source: Source, wanted: str) -> list[int]:
    """Place of each wanted axis in the order of `AXES`; ImageError where one is missing."""
    shape: Shape = source.shape
    long = "".join(axis for axis, n in zip(AXES, shape, strict=True) if n > 1)
    extra = [axis for axis in long if axis not in wanted]
    missing = [axis for axis in wanted if axis not in source.info.axes]
    if extra or missing:
        # Those of length 1 that nobody asked for are not in the way.
        axes = "".join(axis for axis in source.info.axes if axis in wanted or axis in long)
        lengths = tuple(shape[AXES.index(axis)] for axis in axes)
        raise ImageError(
            f"shape {described(lengths, axes)}; expected {wanted.upper()}: {_advice(axes, wanted)}"
        )
    ordered = sorted(wanted, key=AXES.index)
    return [ordered.index(axis) for axis in wanted]


def _advice(axes: str, wanted: str) -> str:
    if "c" in axes:
        return "choose a channel and save it alone (Fiji: Image > Color > Split Channels)"
    if "t" in axes and "z" in wanted and "z" not in axes:
        return "if its frames are planes, say so (Fiji: Image > Properties) and save it again"
    if "t" in axes:
        return "choose a time point and save it alone (Fiji: Image > Duplicate)"
    if "z" in wanted and "z" not in axes:
        return "this is a single plane, and the task needs a stack"
    if "z" not in wanted:
        return "choose a plane and save it alone, or project the stack"
    return "save it with these axes alone (Fiji: Image > Properties)"


def _square(y: float | None, x: float | None) -> float | None:
    # 0.1 %: TIFF stores a fraction, so equal sizes come back slightly different.
    if x is None or y is None or abs(x - y) > 1e-3 * x:
        return None
    return x

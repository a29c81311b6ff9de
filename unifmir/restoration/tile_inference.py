"""A block of an image through the network of its task.

What a network reads of a block and how its outputs are put together, for both kinds of predictors:
plain networks, and modules or files with the image interface. Blocks are normalised, except light
fields, whose scaling is the whole image's maximum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np

from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.errors import ImageError
from unifmir.restoration.base import FloatImage, Placement, Predictor
from unifmir.restoration.geometry import (
    Box,
    Size,
    TileGeometry,
    X,
    Y,
    Z,
    size_of,
    slices,
    whole_box,
)

REFERENCE_GRID = 16
"""Pixels: a multiple of what every reference model halves its images by."""
LENS_GRID = 8
"""Lenses: whole attention windows, before and after the magnification by the views."""


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """A part of a stack, and the part of the result it is read for."""

    image: FloatImage
    """z, y, x: the part `read` of the image."""
    read: Box
    write: Box
    """In pixels of the result."""
    size: Size
    """Of the whole image."""
    brightest: float = 1.0
    """Largest intensity of the whole image; light fields only."""


def views_per_side(config: SingleConfig) -> int:
    """Pixels behind a lens along y and x; 1 for tasks without lenses."""
    return isqrt(config.signature.channels) if config.task == "volume" else 1


def slices_read(config: SingleConfig) -> int:
    """Slices that a network for denoising reads around each slice, itself included."""
    signature = config.signature
    return signature.channels if config.task == "denoise" and not signature.volumetric else 1


def geometry_of(config: SingleConfig, halo: int) -> TileGeometry:
    """The geometry of a task for a lateral halo, in pixels of the image."""
    signature = config.signature
    grid = REFERENCE_GRID if isinstance(config, ReferenceConfig) else config.body.window_size
    if config.task == "volume":
        grid = LENS_GRID * views_per_side(config)
        return TileGeometry((1, grid, grid), (0, halo, halo), planes=signature.out_channels)
    if config.task == "projection":
        return TileGeometry((1, grid, grid), (0, halo, halo), whole_depth=True, planes=1)
    if signature.volumetric:
        return TileGeometry((1, grid, grid), (0, halo, halo), whole_depth=True)
    if config.task == "isotropic":
        return TileGeometry((grid, grid, grid), (halo, halo, halo))
    neighbours = slices_read(config) // 2
    scale = signature.scale * signature.enlarge
    return TileGeometry((1, grid, grid), (neighbours, halo, halo), scale)


def check_size(config: SingleConfig, size: Size) -> None:
    """Refuse an image that the network cannot read.

    Raises
    ------
    ImageError
        Says what was expected, and what to do.
    """
    signature, planes = config.signature, size[Z]
    if config.task == "projection" and not signature.volumetric and planes != signature.channels:
        raise ImageError(
            f"the stack has {planes} planes; this model projects {signature.channels}. Crop the "
            "stack around the surface, or interpolate it along z"
        )
    if config.task != "volume":
        return
    n = views_per_side(config)
    if planes != 1:
        raise ImageError(f"a light field is a single plane; this image has {planes}")
    if size[Y] % n or size[X] % n:
        raise ImageError(
            f"the light field is {size[X]} x {size[Y]} pixels, expected multiples of {n}, the "
            "pixels behind a lens. Crop it so that it begins and ends with a whole lens"
        )


def restore_block(block: ImageBlock, predictor: Predictor, batch: int) -> FloatImage:
    """The part `block.write` of the result, in units of the normalised image.

    Parameters
    ----------
    batch : int
        Images that the network reads in one run, at most.

    Raises
    ------
    MemoryError
        From the predictor.
    """
    return _way(predictor)(block, predictor, batch)


def _run(predictor: Predictor, images: FloatImage) -> FloatImage:
    """Run the network; ImageError where it is not the one it says it is."""
    config, images = predictor.config, np.ascontiguousarray(images)
    scale = config.signature.scale
    if predictor.interface == "image":
        scale = 1 if config.task == "volume" else scale * config.signature.enlarge
    rows, columns = (length * scale for length in images.shape[-2:])
    restored = predictor.run(images)
    if (len(restored), *restored.shape[-2:]) != (len(images), rows, columns):
        raise ImageError(
            f"the model gave {restored.shape} for {images.shape}, expected {rows} x {columns} "
            f"pixels; it is not the model for {config.task} that it says it is"
        )
    return restored


def _way(predictor: Predictor) -> Callable[[ImageBlock, Predictor, int], FloatImage]:
    config = predictor.config
    if config.task == "volume":
        return _light_field
    if config.signature.volumetric or config.task == "projection":
        return _depth
    if config.task == "isotropic":
        return _isotropic if predictor.interface == "network" else _depth
    if slices_read(config) > 1:
        return _windows if predictor.interface == "network" else _sub_stacks
    return _planes


def _cropped(result: FloatImage, block: ImageBlock, scale: int = 1) -> FloatImage:
    """What of a block's result was asked for; it begins where the block does."""
    origin = (
        (block.read[Z][0], 0),
        (block.read[Y][0] * scale, 0),
        (block.read[X][0] * scale, 0),
    )
    if result.shape[0] == size_of(block.write)[Z]:
        origin = (block.write[Z], origin[Y], origin[X])
    return result[slices(block.write, origin)]


def _batches(count: int, batch: int) -> Iterator[slice]:
    for start in range(0, count, max(1, batch)):
        yield slice(start, min(start + max(1, batch), count))


def _planes(block: ImageBlock, predictor: Predictor, batch: int) -> FloatImage:
    """Every plane by itself."""
    signature = predictor.config.signature
    scale = signature.scale * signature.enlarge
    result = np.empty(size_of(block.write), dtype=np.float32)
    for part in _batches(len(result), batch):
        images = block.image[part, None]
        if predictor.interface == "network" and signature.enlarge > 1:
            images = _enlarged(images, signature.enlarge)
        restored = _run(predictor, images)[:, 0]
        lateral = _lateral(block, scale)
        result[part] = restored[:, lateral[0], lateral[1]]
    return result


def _lateral(block: ImageBlock, scale: int) -> tuple[slice, slice]:
    """Rows and columns of a block's result that were asked for."""
    rows, columns = (
        slice(start - first * scale, stop - first * scale)
        for (start, stop), (first, _) in zip(block.write[Y:], block.read[Y:], strict=True)
    )
    return rows, columns


def _enlarged(images: FloatImage, factor: int) -> FloatImage:
    """As `EnlargingInterface` does; a part's pixels lie where the whole image's do."""
    import torch
    import torch.nn.functional as F

    images = np.ascontiguousarray(images)
    enlarged: FloatImage = F.interpolate(
        torch.from_numpy(images), scale_factor=factor, mode="bilinear", align_corners=False
    ).numpy()
    return enlarged


def _windows(block: ImageBlock, predictor: Predictor, batch: int) -> FloatImage:
    """Every plane from its neighbours, as `StackInterface`: beyond the ends it is repeated."""
    reach = slices_read(predictor.config) // 2
    first, last = block.write[Z]
    centre = np.arange(first, last)[:, None]
    wanted = centre + np.arange(-reach, reach + 1)[None, :]
    inside = (wanted >= 0) & (wanted < block.size[Z])
    index = np.where(inside, wanted, centre) - block.read[Z][0]
    result = np.empty(size_of(block.write), dtype=np.float32)
    lateral = _lateral(block, 1)
    for part in _batches(len(result), batch):
        restored = _run(predictor, block.image[index[part]])[:, 0]
        result[part] = restored[:, lateral[0], lateral[1]]
    return result


def _sub_stacks(block: ImageBlock, predictor: Predictor, batch: int) -> FloatImage:
    """The same by the image interface, which finds the neighbours itself."""
    reach = slices_read(predictor.config) // 2
    origin, end = block.read[Z]
    result = np.empty(size_of(block.write), dtype=np.float32)
    lateral = _lateral(block, 1)
    for part in _batches(len(result), batch):
        first, last = block.write[Z][0] + part.start, block.write[Z][0] + part.stop
        start, stop = max(origin, first - reach), min(end, last + reach)
        restored = _run(predictor, block.image[None, None, start - origin : stop - origin])[0, 0]
        result[part] = restored[first - start : last - start, lateral[0], lateral[1]]
    return result


def _depth(block: ImageBlock, predictor: Predictor, _batch: int) -> FloatImage:
    """All planes in one run."""
    planes_are_channels = (
        predictor.interface == "network" and not predictor.config.signature.volumetric
    )
    image = block.image[None] if planes_are_channels else block.image[None, None]
    restored = _run(predictor, image)[0]
    stack = restored if predictor.config.task == "projection" else restored[0]
    return _cropped(stack, block)


def _isotropic(block: ImageBlock, predictor: Predictor, batch: int) -> FloatImage:
    """As `IsotropicInterface`: rows y and columns z for each x, rows x and columns z for each y.

    Each pass reads the halo of its own rows only.
    """
    z, y, x = slices(block.write, block.read)
    # Axes (image, row, column) = (x, y, z), then (y, x, z).
    by_x = block.image[:, :, x].transpose(2, 1, 0)
    first = np.empty(tuple(reversed(size_of(block.write))), dtype=np.float32)
    for part in _batches(len(by_x), batch):
        first[part] = _run(predictor, by_x[part, None])[:, 0, y, z]
    by_y = block.image[:, y].transpose(1, 2, 0)
    combined = np.maximum(first, 0, out=first).transpose(1, 0, 2)
    for part in _batches(len(by_y), batch):
        second = _run(predictor, by_y[part, None])[:, 0, x, z]
        combined[part] *= np.maximum(second, 0)
    return np.ascontiguousarray(np.sqrt(combined).transpose(2, 0, 1))


def _light_field(block: ImageBlock, predictor: Predictor, _batch: int) -> FloatImage:
    """From the raw light field; as `LightFieldInterface`, by the whole image's maximum."""
    is_whole = block.read == whole_box(block.size)
    if predictor.interface == "image":
        volume = _run(predictor, block.image[None])[0, 0]
        return _cropped(volume, block)
    n = views_per_side(predictor.config)
    scaled = block.image[0] / (np.float32(block.brightest) * np.float32(0.55)) - np.float32(1)
    rows, columns = (length // n for length in scaled.shape)
    # View i * n + j holds the pixels [i::n, j::n].
    views = scaled.reshape(rows, n, columns, n).transpose(1, 3, 0, 2)
    views = np.ascontiguousarray(views.reshape(1, n * n, rows, columns))
    if is_whole or predictor.run_placed is None:
        volume = _run(predictor, views)
    else:
        start = (block.read[Y][0] // n, block.read[X][0] // n)
        lenses = (block.size[Y] // n, block.size[X] // n)
        volume = predictor.run_placed(views, Placement(start, lenses))
    return _cropped((volume[0].clip(-1, 1) + np.float32(1)) / np.float32(2), block)

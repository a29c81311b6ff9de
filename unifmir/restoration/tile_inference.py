"""A block of an image through its network, in each way that `unifmir.interfaces` names.

A way says what the network reads of a block and how its outputs are put together: for plain
networks, and for modules or files with the image interface.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from unifmir.errors import ImageError
from unifmir.interfaces import interface_of
from unifmir.normalize import FloatImage, Scaling
from unifmir.registry import resolve
from unifmir.restoration.base import Placement, Predictor
from unifmir.restoration.geometry import Box, Size, X, Y, Z, size_of, slices, whole_box
from unifmir.restoration.percentiles import normalize_part
from unifmir.restoration.resampling import View
from unifmir.tasks import TASKS

Stack = Float32[np.ndarray, "z y x"]


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """A part of a stack, and the part of the result it is read for."""

    image: Stack
    """The part `read` of the image: normalised, or raw for light fields."""
    read: Box
    write: Box
    """The wanted part, in pixels of the result."""
    size: Size
    """Pixels of the whole image."""
    brightest: float = 1.0
    """Largest intensity of the whole image; light fields only."""


def read_block(
    image: View, scaling: Scaling, read: Box, write: Box, predictor: Predictor
) -> ImageBlock:
    """Read a part of a raw image, scaled as the network wants it."""
    raw = image.read(read)
    if TASKS[predictor.config.task].normalization.inside:
        return ImageBlock(raw.astype(np.float32), read, write, image.size, scaling.span)
    return ImageBlock(normalize_part(scaling, raw), read, write, image.size)


def restore_block(block: ImageBlock, predictor: Predictor, batch: int) -> Stack:
    """Restore the part `block.write` of the result, in units of the normalised image.

    Parameters
    ----------
    batch : int
        Images that the network reads in one run, at most.

    Raises
    ------
    MemoryError
        From the predictor.
    """
    row = interface_of(predictor.config)
    way = row.tiles if predictor.interface == "network" else row.image_tiles
    restored: Stack = resolve(way)(block, predictor, batch)
    return restored


def restore_planes(block: ImageBlock, predictor: Predictor, batch: int) -> Stack:
    """Restore every plane by itself; in normalised units."""
    scale = _image_scale(predictor)
    result, (rows, columns) = _empty_result(block), _lateral(block, scale)
    for part in _batches(len(result), batch):
        result[part] = _run(predictor, block.image[part, None])[:, 0, rows, columns]
    return result


def restore_enlarged_planes(block: ImageBlock, predictor: Predictor, batch: int) -> Stack:
    """Restore every plane from its enlargement, as `EnlargingInterface`; in normalised units.

    A part's pixels lie where the whole image's do.
    """
    import torch
    import torch.nn.functional as F

    factor = predictor.config.signature.enlarge
    result, (rows, columns) = _empty_result(block), _lateral(block, _image_scale(predictor))
    for part in _batches(len(result), batch):
        images = torch.from_numpy(np.ascontiguousarray(block.image[part, None]))
        enlarged = F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
        result[part] = _run(predictor, enlarged.numpy())[:, 0, rows, columns]
    return result


def restore_windows(block: ImageBlock, predictor: Predictor, batch: int) -> Stack:
    """Restore every plane from its neighbours, as `StackInterface`; in normalised units.

    Beyond the ends of the stack the plane itself is repeated.
    """
    reach = _neighbours(predictor)
    first, last = block.write[Z]
    centre = np.arange(first, last)[:, None]
    wanted = centre + np.arange(-reach, reach + 1)[None, :]
    inside = (wanted >= 0) & (wanted < block.size[Z])
    index = np.where(inside, wanted, centre) - block.read[Z][0]
    result, (rows, columns) = _empty_result(block), _lateral(block, 1)
    for part in _batches(len(result), batch):
        result[part] = _run(predictor, block.image[index[part]])[:, 0, rows, columns]
    return result


def restore_sub_stacks(block: ImageBlock, predictor: Predictor, batch: int) -> Stack:
    """Restore planes by an image interface that finds the neighbours; in normalised units."""
    reach = _neighbours(predictor)
    origin, end = block.read[Z]
    result, (rows, columns) = _empty_result(block), _lateral(block, 1)
    for part in _batches(len(result), batch):
        first, last = block.write[Z][0] + part.start, block.write[Z][0] + part.stop
        start, stop = max(origin, first - reach), min(end, last + reach)
        restored = _run(predictor, block.image[None, None, start - origin : stop - origin])[0, 0]
        result[part] = restored[first - start : last - start, rows, columns]
    return result


def restore_volume(block: ImageBlock, predictor: Predictor, _batch: int) -> Stack:
    """Restore all planes in one run, as a volume of one channel; in normalised units."""
    return _crop(_run(predictor, block.image[None, None]), block)


def restore_channels(block: ImageBlock, predictor: Predictor, _batch: int) -> Stack:
    """Restore all planes in one run, as the channels of an image; in normalised units."""
    return _crop(_run(predictor, block.image[None]), block)


def restore_isotropic(block: ImageBlock, predictor: Predictor, batch: int) -> Stack:
    """Restore sections along both lateral axes and combine them; in normalised units.

    As `IsotropicInterface`: rows y and columns z for each x, rows x and columns z for each y. Each
    pass reads the halo of its own rows only.
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


def restore_light_field(block: ImageBlock, predictor: Predictor, _batch: int) -> Stack:
    """Restore a raw light field by its views, as `LightFieldInterface`; in [0, 1].

    The scaling is the whole image's maximum, and the network is told where the block lies.
    """
    from unifmir.networks.interface import BRIGHTEST_FRACTION

    n = interface_of(predictor.config).lens_px(predictor.config.signature)
    brightest = np.float32(block.brightest) * np.float32(BRIGHTEST_FRACTION)
    scaled = block.image[0] / brightest - np.float32(1)
    rows, columns = (length // n for length in scaled.shape)
    # View i * n + j holds the pixels [i::n, j::n].
    views = scaled.reshape(rows, n, columns, n).transpose(1, 3, 0, 2)
    views = np.ascontiguousarray(views.reshape(1, n * n, rows, columns))
    if block.read == whole_box(block.size) or predictor.run_placed is None:
        volume = _run(predictor, views)
    else:
        start = (block.read[Y][0] // n, block.read[X][0] // n)
        lenses = (block.size[Y] // n, block.size[X] // n)
        volume = _checked(predictor.run_placed(views, Placement(start, lenses)), predictor)
    return _crop((volume.clip(-1, 1) + np.float32(1)) / np.float32(2), block)


def _run(predictor: Predictor, images: FloatImage) -> FloatImage:
    """Run the network; ImageError where it is not the one it says it is."""
    config, images = predictor.config, np.ascontiguousarray(images)
    row, signature = interface_of(config), config.signature
    scale = row.scale(signature, predictor.interface)
    rows, columns = (length * scale for length in images.shape[-2:])
    axes = len(row.axes(signature, predictor.interface)[1])
    restored = predictor.run(images)
    if restored.ndim != axes or (len(restored), *restored.shape[-2:]) != (
        len(images),
        rows,
        columns,
    ):
        raise ImageError(
            f"the model gave {restored.shape} for {images.shape}, expected {axes} axes and "
            f"{rows} x {columns} pixels; it is not the model for {config.task} that it says it is"
        )
    return _checked(restored, predictor)


def _checked(restored: Shaped[np.ndarray, "..."], predictor: Predictor) -> FloatImage:
    """The output of a network, once it is a picture; ImageError where it is none."""
    if restored.dtype != np.float32:
        raise ImageError(
            f"the model gave pixels of {restored.dtype}, expected float32; it is not the model for "
            f"{predictor.config.task} that it says it is"
        )
    # The least and the largest are NaN where any pixel is.
    if not (np.isfinite(restored.min()) and np.isfinite(restored.max())):
        raise ImageError(
            "the model gave NaN or infinite pixels for a part of the image whose own are finite: "
            "its weights are damaged, or too large for its precision"
        )
    return restored


def _image_scale(predictor: Predictor) -> int:
    return interface_of(predictor.config).scale(predictor.config.signature, "image")


def _neighbours(predictor: Predictor) -> int:
    """Planes that are read on each side of a restored one."""
    return interface_of(predictor.config).slices(predictor.config.signature) // 2


def _empty_result(block: ImageBlock) -> Stack:
    return np.empty(size_of(block.write), dtype=np.float32)


def _lateral(block: ImageBlock, scale: int) -> tuple[slice, slice]:
    """Rows and columns of a block's result that were asked for."""
    rows, columns = (
        slice(start - first * scale, stop - first * scale)
        for (start, stop), (first, _) in zip(block.write[Y:], block.read[Y:], strict=True)
    )
    return rows, columns


def _crop(result: FloatImage, block: ImageBlock) -> Stack:
    """Cut what was asked for out of the one result of a block, whose planes are its last axes."""
    stack = result.reshape(-1, *result.shape[-2:])
    rows, columns = _lateral(block, 1)
    first = block.read[Z][0] if len(stack) != size_of(block.write)[Z] else block.write[Z][0]
    return stack[block.write[Z][0] - first : block.write[Z][1] - first, rows, columns]


def _batches(count: int, batch: int) -> Iterator[slice]:
    for start in range(0, count, max(1, batch)):
        yield slice(start, min(start + max(1, batch), count))

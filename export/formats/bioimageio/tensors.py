"""Test and sample tensors of a package: a real image, and what the declared steps make of it."""

import io
import itertools
from collections.abc import Sequence

import numpy as np
import tifffile
import torch
from jaxtyping import Float32, Shaped
from torch import nn

from unifmir.errors import ExportError
from unifmir.tasks.base import Normalization

EPSILON = 1e-6
"""Addend of bioimageio.core to the span in `scale_range`, whatever the description says."""
SMALLEST_MAXIMUM = 1e-4
"""Largest absolute value below which bioimageio.core refuses a test output."""

RawImage = Shaped[np.ndarray, "..."]
"""Raw intensities in the task's input axes, of any dtype."""
Batch = Float32[np.ndarray, "1 1 ..."]
"""One image of one channel: (1, 1, y, x) or (1, 1, z, y, x)."""


def test_image(image: RawImage, sizes: Sequence[int], *, multiple_of: int = 1) -> Batch:
    """Crop of a raw image with the most contrast, as (1, 1, *sizes) float32.

    Parameters
    ----------
    image : array
        Raw intensities, as many axes as `sizes`.
    sizes : sequence of int
        Pixels. Where the image is smaller it is continued by reflection.
    multiple_of : int
        Crops start at multiples of this, so that a light field starts with a whole lens.
    """
    padding = [(0, max(0, want - have)) for want, have in zip(sizes, image.shape, strict=True)]
    image = np.pad(image, padding, mode="symmetric")
    best, best_contrast = image, -1.0
    for start in _starts(image.shape, sizes, multiple_of):
        crop = image[tuple(slice(s, s + n) for s, n in zip(start, sizes, strict=True))]
        contrast = float(crop.std(dtype=np.float64))
        if contrast > best_contrast:
            best, best_contrast = crop, contrast
    return np.ascontiguousarray(best[None, None], dtype=np.float32)


def preprocess(
    image: Float32[np.ndarray, "*shape"], normalization: Normalization
) -> Float32[np.ndarray, "*shape"]:
    """Raw intensities after the package's declared preprocessing, as bioimageio.core computes it.

    Not `unifmir.normalize`, which adds 1e-20 to the span as CARE does: the test output must be
    that of the declared operation. On raw intensities the two differ by 1e-6 / span.
    """
    if normalization.method != "percentile":
        return image.astype(np.float32)
    low, high = np.percentile(
        image.astype(np.float64), [normalization.low_percent, normalization.high_percent]
    )
    scaled: np.ndarray = ((image - low) / (high - low + EPSILON)).astype(np.float32)
    return scaled


def restore(module: nn.Module, image: Batch, normalization: Normalization) -> Batch:
    """Result of the declared steps on raw intensities, in normalised units."""
    with torch.inference_mode():
        restored: Batch = module(torch.from_numpy(preprocess(image, normalization))).numpy()
    if not np.isfinite(restored).all():
        raise ExportError("the network's output on the sample image holds NaN or infinity")
    return restored


def check_testable(output: Batch) -> None:
    """ExportError if the output (normalised units) is too small for the zoo's test to mean much."""
    largest = float(np.abs(output).max())
    if largest <= SMALLEST_MAXIMUM:
        raise ExportError(
            f"the largest output on the sample image is {largest:.2g}; the zoo's test needs more "
            f"than {SMALLEST_MAXIMUM:g}. Is the network trained?"
        )


def npy_bytes(array: Batch) -> bytes:
    """A float32 .npy file of any real values."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
    return file.getvalue()


def tiff_bytes(array: Batch) -> bytes:
    """A float32 TIFF of the spatial axes without a date; any real values."""
    file = io.BytesIO()
    spatial = np.ascontiguousarray(array[0, 0], dtype=np.float32)
    tifffile.imwrite(file, spatial, photometric="minisblack", software="unifmir", metadata=None)
    return file.getvalue()


def state_dict_bytes(module: nn.Module, dtype: torch.dtype) -> bytes:
    """File of a module's state dict: pure tensors, narrowed to `dtype` where that loses nothing.

    Layers that a precision plan keeps in fp32 hold values `dtype` cannot; they stay as they are.
    """

    def narrowed(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach().cpu().contiguous().clone()
        if not tensor.is_floating_point():
            return tensor
        narrow = tensor.to(dtype)
        return narrow if torch.equal(narrow.to(tensor.dtype), tensor) else tensor

    file = io.BytesIO()
    torch.save({key: narrowed(value) for key, value in module.state_dict().items()}, file)
    return file.getvalue()


def _starts(shape: Sequence[int], sizes: Sequence[int], multiple_of: int) -> list[tuple[int, ...]]:
    """A coarse grid of crop origins: halves of the crop's size, rounded to `multiple_of`."""
    ranges = []
    for have, want in zip(shape, sizes, strict=True):
        stride = max(multiple_of, want // 2 // multiple_of * multiple_of)
        ranges.append(range(0, have - want + 1, stride))
    return list(itertools.product(*ranges))

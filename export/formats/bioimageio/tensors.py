"""Test and sample tensors of a package: a real image, and what the declared steps make of it."""

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
AGREEMENT = 1e-5
"""Largest difference of two definitions of a percentile, as a fraction of the span, that does not
matter: a tenth of what deepImageJ's check allows."""
_PARTS, _FINE_PARTS = 2, 8
"""Steps of the grid of crops per crop."""

RawImage = Shaped[np.ndarray, "..."]
"""Raw intensities in the task's input axes, of any dtype."""
Batch = Float32[np.ndarray, "1 1 ..."]
"""One image of one channel: (1, 1, y, x) or (1, 1, z, y, x)."""


def test_image(
    image: RawImage,
    sizes: Sequence[int],
    *,
    multiple_of: int = 1,
    normalization: Normalization | None = None,
) -> Batch:
    """Crop of a raw image with the most contrast, as (1, 1, *sizes) float32.

    Where percentiles inside the range are declared, it is the one of the most contrast among the
    crops on which both definitions of them agree (`percentiles_agree`); of all, if there is none.

    Parameters
    ----------
    image : array
        Raw intensities, as many axes as `sizes`.
    sizes : sequence of int
        Pixels. Where the image is smaller it is continued by reflection.
    multiple_of : int
        Crops start at multiples of this, so that a light field starts with a whole lens.
    normalization : Normalization, optional
        What the description will declare.
    """
    padding = [(0, max(0, want - have)) for want, have in zip(sizes, image.shape, strict=True)]
    image = np.pad(image, padding, mode="symmetric")
    percents = _inner_percents(normalization)
    # Agreement is rare on images with many grey levels (29 of 289 crops of the shipped embryo).
    parts = _FINE_PARTS if percents else _PARTS
    crops = [
        image[tuple(slice(s, s + n) for s, n in zip(start, sizes, strict=True))]
        for start in _starts(image.shape, sizes, multiple_of, parts)
    ]
    # The first of equals stays the first.
    crops.sort(key=lambda crop: -float(crop.std(dtype=np.float64)))
    agreeing = (crop for crop in crops if not percents or percentiles_agree(crop, percents))
    best = next(agreeing, crops[0])
    return np.ascontiguousarray(best[None, None], dtype=np.float32)


def nearest_rank(image: RawImage, percent: float) -> float:
    """Percentile as JDLL takes it: of n sorted values the one at floor(n * percent / 100).

    Source: bioimage-io/JDLL, ScaleRangeTransformation, as of 2026; bioimageio.core interpolates.
    """
    position = min(int(image.size * (percent / 100)), image.size - 1)
    return float(np.partition(image, position, axis=None)[position])


def percentiles_agree(image: RawImage, percents: tuple[float, float]) -> bool:
    """Whether an image's percentiles are the same by nearest rank and by interpolation."""
    return percentile_difference(image, percents) <= AGREEMENT


def percentile_difference(image: RawImage, percents: tuple[float, float]) -> float:
    """Largest difference of the two definitions of percentiles, as a fraction of their span."""
    interpolated = np.percentile(image.astype(np.float64), percents)
    ranked = [nearest_rank(image, percent) for percent in percents]
    span = float(interpolated[1] - interpolated[0])
    return float(np.abs(interpolated - ranked).max()) / (span + EPSILON)


def declared_difference(image: RawImage, normalization: Normalization) -> float | None:
    """`percentile_difference` of what a task declares; None where it declares extremes or none."""
    percents = _inner_percents(normalization)
    return None if percents is None else percentile_difference(image, percents)


def _inner_percents(normalization: Normalization | None) -> tuple[float, float] | None:
    """The declared percentiles, if any lies inside the range: extremes are the same to everyone."""
    if normalization is None or normalization.method != "percentile":
        return None
    percents = normalization.low_percent, normalization.high_percent
    return None if percents == (0.0, 100.0) else percents


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


def test_tensor(rdf: Mapping[str, Any], files: Mapping[str, bytes], kind: str) -> Batch | None:
    """The test tensor of a description's first input or output; None if it is none of ours.

    Parameters
    ----------
    rdf : mapping
        The description, perhaps malformed.
    files : mapping
        The package's files.
    kind : str
        `inputs` or `outputs`.
    """
    try:
        source = rdf[kind][0]["test_tensor"]["source"]
        found = np.load(io.BytesIO(files[source]), allow_pickle=False)
    except (KeyError, IndexError, TypeError, ValueError, EOFError):
        return None
    return found if found.dtype == np.float32 and found.shape[:2] == (1, 1) else None


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


def write_state_dict(module: nn.Module, dtype: torch.dtype, path: Path) -> None:
    """Write a module's state dict: pure tensors, narrowed to `dtype` where that loses nothing.

    Layers that a precision plan keeps in fp32 hold values `dtype` cannot; they stay as they are.
    """

    def narrowed(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach().cpu().contiguous().clone()
        if not tensor.is_floating_point():
            return tensor
        narrow = tensor.to(dtype)
        return narrow if torch.equal(narrow.to(tensor.dtype), tensor) else tensor

    # An open file: by its path, torch would name the archive's folder after it.
    with path.open("wb") as file:
        torch.save({key: narrowed(value) for key, value in module.state_dict().items()}, file)


def _starts(
    shape: Sequence[int], sizes: Sequence[int], multiple_of: int, parts: int
) -> list[tuple[int, ...]]:
    """A grid of crop origins: parts of the crop's size, rounded to `multiple_of`."""
    ranges = []
    for have, want in zip(shape, sizes, strict=True):
        stride = max(multiple_of, want // parts // multiple_of * multiple_of)
        ranges.append(range(0, have - want + 1, stride))
    return list(itertools.product(*ranges))

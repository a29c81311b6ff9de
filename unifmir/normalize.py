"""Normalisation: a user's intensities to the network's input and back. No torch is imported.

The rule of each task is `TaskSpec.normalization`; this is its only implementation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from unifmir.errors import ImageError
from unifmir.tasks.base import Normalization

FloatImage = Float32[np.ndarray, "..."]

EPSILON = 1e-20
"""Added to the span, as CARE does: a constant image becomes 0 instead of 0 / 0."""
PIECE_PX = 2**15
"""Pixels that are mapped at a time: their float64 values are 256 KiB."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Scaling that `normalize` found for one image: the network reads (x - low) / span."""

    low: float = 0.0
    """Intensity that becomes 0 in the network's input."""
    span: float = 1.0
    """Intensities between 0 and 1 of the network's input."""
    clip: bool = False
    """Limit the network's output to [0, 1] before it is mapped back."""

    def invert(self, output: Shaped[np.ndarray, "*axes"]) -> Float32[np.ndarray, "*axes"]:
        """Map a network's output back to the image's own intensities.

        Parameters
        ----------
        output : array of any shape and real dtype
            In the units of the normalised input.

        Returns
        -------
        array, float32, same shape
            `output * span + low`; `output` itself where the task is not invertible.
        """
        restored = np.asarray(output, dtype=np.float32)
        if self.clip:
            restored = np.clip(restored, 0.0, 1.0)
        if self.low == 0.0 and self.span == 1.0:
            return restored.copy()

        def back(piece: Shaped[np.ndarray, " pixels"], out: Float32[np.ndarray, " pixels"]) -> None:
            # float64: span and low may differ by more than float32's 7 digits (offset cameras).
            np.add(piece * np.float64(self.span), self.low, out=out, casting="same_kind")

        return _in_pieces(restored, back)


def normalize(
    image: Shaped[np.ndarray, "*axes"], normalization: Normalization
) -> tuple[Float32[np.ndarray, "*axes"], Scaling]:
    """Bring a whole image or stack to the range its network was trained on.

    Parameters
    ----------
    image : array of any shape, integer, boolean or floating point
        Raw intensities, all of them: percentiles of a tile are not those of the image.
    normalization : Normalization
        `TaskSpec.normalization` of the task.

    Returns
    -------
    array, float32, same shape
        Nominally [0, 1]; beyond it where the task does not clip. Unchanged for `light_field`,
        whose network does it itself.
    Scaling
        The way back.

    Raises
    ------
    ImageError
        The image is empty, complex, or holds NaN or Inf; or its two percentiles coincide
        although it is not constant, so that there is nothing to scale by.

    Notes
    -----
    (x - p_low) / (p_high - p_low + 1e-20), Weigert et al. 2018, as in the official inference.
    """
    values = checked(image)
    extremes = float(values.min()), float(values.max())
    if normalization.inside:
        require_float32(*extremes)
        return values.astype(np.float32), Scaling()
    low, high = (
        float(p)
        for p in np.percentile(values, [normalization.low_percent, normalization.high_percent])
    )
    scaling = scaling_between(low, high, extremes, normalization)
    if not normalization.invertible:
        return scaled(values, scaling), Scaling(clip=normalization.clip)
    return scaled(values, scaling), scaling


def scaling_between(
    low: float, high: float, extremes: tuple[float, float], normalization: Normalization
) -> Scaling:
    """The scaling of an image whose two percentiles and least and largest values are known.

    Raises
    ------
    ImageError
        As `normalize`.
    """
    minimum, maximum = extremes
    require_float32(minimum, maximum)
    span = high - low + EPSILON
    if high <= low and maximum > minimum:
        raise ImageError(
            f"percentiles {normalization.low_percent:g} and {normalization.high_percent:g} of the "
            f"image are both {low:g}, although its values run from {minimum:g} to {maximum:g}: too "
            "little of it is signal to scale by. Crop to the part with signal"
        )
    with np.errstate(over="ignore"):
        ends = ((np.array(extremes) - low) / span).astype(np.float32)
    if not np.isfinite(ends).all():
        raise _too_wide(minimum, maximum)
    return Scaling(low, span, normalization.clip)


def require_float32(minimum: float, maximum: float) -> None:
    """Refuse intensities that float32 does not hold: as results they would be infinite.

    Raises
    ------
    ImageError
        With the range.
    """
    if max(-minimum, maximum) > float(np.finfo(np.float32).max):
        raise _too_wide(minimum, maximum)


def _too_wide(minimum: float, maximum: float) -> ImageError:
    return ImageError(
        f"values from {minimum:g} to {maximum:g} span too far for float32; divide the image "
        "by a constant first"
    )


def scaled(values: Shaped[np.ndarray, "*axes"], scaling: Scaling) -> Float32[np.ndarray, "*axes"]:
    """(values - low) / span as float32, limited to [0, 1] where the scaling says so."""

    def scale(piece: Shaped[np.ndarray, " pixels"], out: Float32[np.ndarray, " pixels"]) -> None:
        wide = piece.astype(np.result_type(piece.dtype, np.float32), copy=False)
        np.divide(wide - scaling.low, scaling.span, out=out, casting="same_kind")
        if scaling.clip:
            out.clip(0.0, 1.0, out=out)

    return _in_pieces(values, scale)


def _in_pieces(
    values: Shaped[np.ndarray, "*axes"],
    function: Callable[[Shaped[np.ndarray, " pixels"], Float32[np.ndarray, " pixels"]], None],
) -> Float32[np.ndarray, "*axes"]:
    """A function of each pixel, whose steps stay in the processor's cache; it fills its second."""
    found: FloatImage = np.empty(values.shape, np.float32)
    given, taken = values.reshape(-1), found.reshape(-1)
    for start in range(0, given.size, PIECE_PX):
        piece = slice(start, start + PIECE_PX)
        function(given[piece], taken[piece])
    return found


def checked(image: Shaped[np.ndarray, "*axes"]) -> Shaped[np.ndarray, "*axes"]:
    """Raw intensities as floating point wide enough for them, or ImageError.

    8 and 16 bit become float32, which holds them exactly; wider integers become float64.
    """
    if image.size == 0:
        raise ImageError(f"the image is empty: its shape is {_times(image.shape)}")
    check_real(image.dtype)
    values: Shaped[np.ndarray, ...] = image.astype(np.result_type(image.dtype, np.float32))
    finite = np.isfinite(values)
    if not finite.all():
        nan = int(np.isnan(values).sum())
        infinite = int(values.size - np.count_nonzero(finite)) - nan
        raise not_finite(nan, infinite, values.size)
    return values


def check_real(dtype: np.dtype[Any]) -> None:
    """ImageError where pixels are no real numbers."""
    if dtype.kind not in "biuf":
        raise ImageError(f"pixels are {dtype}, expected integers or real floating-point numbers")


def not_finite(nan: int, infinite: int, count: int) -> ImageError:
    """The error of an image of which so many pixels are no numbers."""
    return ImageError(
        f"{nan} pixels are NaN and {infinite} are infinite, of {count}; "
        "replace them (for example by the image's median) and try again"
    )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape) if shape else "a single number"

"""Low frequencies of an image, computed where they are read."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy.ndimage import correlate1d

from unifmir.normalize import FloatImage
from unifmir.restoration.geometry import Box, Size, slices
from unifmir.restoration.recorded_sampling import radius_px


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A part of an image that is in memory, as a view of the image."""

    values: FloatImage
    box: Box
    """Place of the part."""
    size: Size
    """Pixels of the whole image along z, y and x."""

    def read(self, box: Box) -> Float32[np.ndarray, "z y x"]:
        """The pixels of a box that lies in the part, in its units."""
        part: FloatImage = self.values[slices(box, self.box)]
        return part


def low_frequencies(part: ImagePart, box: Box, sigma_px: float) -> ImagePart:
    """Every plane through a Gaussian, the pixels of `box`.

    Parameters
    ----------
    part : ImagePart
        The box and `radius_px(sigma_px)` around it, less only where the image ends: beyond its
        edges it is mirrored, which keeps its total.
    """
    values: FloatImage = part.values
    for axis in (1, 2):
        values = correlate1d(values, _gaussian(sigma_px), axis=axis, mode="reflect")
    return ImagePart(values[slices(box, part.box)], box, part.size)


def _gaussian(sigma_px: float) -> Float64[np.ndarray, " taps"]:
    radius = radius_px(sigma_px)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    normalised: Float64[np.ndarray, " taps"] = weights / weights.sum()
    return normalised

"""Light-field microscopy: a stack seen from n x n directions behind a lens array.

Each view sees plane z sheared by (view - middle) * shear * z pixels, blurred by the small
aperture it looks through, and sampled once per lens. Source: Levoy et al., SIGGRAPH 2006;
the grid of views as in Wang et al. (VCD-Net), Nature Methods 2021.
"""

from math import isqrt

import numpy as np
import scipy.fft
import scipy.ndimage
from jaxtyping import Float32

from unifmir.tasks.volume import VOLUME

Volume = Float32[np.ndarray, "z y x"]
Views = Float32[np.ndarray, "n n h w"]
LightField = Float32[np.ndarray, "y x"]

VIEWS_PER_SIDE = isqrt(VOLUME.simulation.views)
SHEAR = 0.3
"""Pixels of the volume per plane and per view off the axis."""
APERTURE_SIGMA = 1.5
"""Blur of a view in focus, pixels of the volume."""
DEFOCUS_SIGMA = 0.08
"""Growth of that blur per plane."""


def project_views(
    volume: Volume,
    *,
    views: int = VIEWS_PER_SIDE,
    shear: float = SHEAR,
    aperture_sigma: float = APERTURE_SIGMA,
) -> Views:
    """Project a stack to its views.

    Parameters
    ----------
    volume : ndarray, shape (planes, n * h, n * w), float32
        Light emitted, >= 0, in any unit. Sides wrap around: cut two lenses off afterwards.

    Returns
    -------
    ndarray, shape (n, n, h, w), float32
        The mean light on each lens, view (i, j) from the i-th row and j-th column of directions.
    """
    planes, height, width = volume.shape
    depth = np.arange(planes, dtype=np.float32) - planes // 2
    rows = scipy.fft.fftfreq(height).astype(np.float32)
    columns = scipy.fft.rfftfreq(width).astype(np.float32)
    spectrum = scipy.fft.rfft2(volume.astype(np.float32))
    sigma = (aperture_sigma + DEFOCUS_SIGMA * np.abs(depth))[:, None, None]
    squared = (rows**2)[:, None] + (columns**2)[None, :]
    # A lens collects what falls on it: a box of n pixels, whose spectrum is a periodic sinc.
    lens = _box(rows, views)[:, None] * _box(columns, views)[None, :]
    spectrum = spectrum * (np.exp(-2 * (np.pi * sigma) ** 2 * squared) * lens).astype(np.complex64)
    offsets = (np.arange(views) - views // 2) * shear
    turn_rows = np.exp(-2j * np.pi * offsets[:, None, None] * depth[:, None] * rows)
    turn_columns = np.exp(-2j * np.pi * offsets[:, None, None] * depth[:, None] * columns)
    turn_rows = turn_rows.astype(np.complex64)
    # (x, z, views): for each column of the spectrum one matrix product over the planes.
    turn_columns = np.ascontiguousarray(turn_columns.astype(np.complex64).transpose(2, 1, 0))
    middle = views // 2
    out = np.empty((views, views, height // views, width // views), dtype=np.float32)
    for i in range(views):
        turned = np.ascontiguousarray((spectrum * turn_rows[i][:, :, None]).transpose(2, 1, 0))
        summed = (turned @ turn_columns).transpose(2, 1, 0)
        image = scipy.fft.irfft2(summed, s=(height, width))
        out[i] = image[:, middle::views, middle::views]
    return np.maximum(out, 0)


def _box(frequency: Float32[np.ndarray, " n"], width: int) -> Float32[np.ndarray, " n"]:
    """Spectrum of the mean over `width` (odd) pixels."""
    offsets = np.arange(width) - width // 2
    spectrum = np.cos(2 * np.pi * frequency[:, None] * offsets).mean(axis=1)
    result: np.ndarray = spectrum.astype(np.float32)
    return result


def interleave(views: Views) -> LightField:
    """Raw image (n * h, n * w) in the views' units: its pixels [i::n, j::n] are view (i, j)."""
    n, _, height, width = views.shape
    return np.ascontiguousarray(views.transpose(2, 0, 3, 1).reshape(height * n, width * n))


def separate(light_field: LightField, views: int = VIEWS_PER_SIDE) -> Views:
    """Views of a raw image in its own units: pixels [i::n, j::n] become view (i, j)."""
    height, width = light_field.shape[0] // views, light_field.shape[1] // views
    return light_field.reshape(height, views, width, views).transpose(1, 3, 0, 2)


def refocus(light_field: LightField, *, planes: int, shear: float = SHEAR) -> Volume:
    """Shift-and-sum refocusing of a raw light field: (planes, n * h, n * w) in its own units."""
    views = separate(light_field)
    n, _, height, width = views.shape
    fine = np.stack(
        [
            scipy.ndimage.zoom(view, n, order=1, grid_mode=True, mode="nearest")
            for view in views.reshape(n * n, height, width)
        ]
    ).reshape(n, n, n * height, n * width)
    volume = np.zeros((planes, n * height, n * width), dtype=np.float32)
    offsets = (np.arange(n) - n // 2) * shear
    for z in range(planes):
        depth = z - planes // 2
        for i in range(n):
            # Rows of views share the vertical shift; shifting their sum costs n times less.
            row = sum(
                scipy.ndimage.shift(fine[i, j], (0, -offsets[j] * depth), order=1, mode="nearest")
                for j in range(n)
            )
            volume[z] += scipy.ndimage.shift(row, (-offsets[i] * depth, 0), order=1, mode="nearest")
    result: np.ndarray = volume / n**2
    return result

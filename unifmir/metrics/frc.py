"""Fourier ring correlation of a restored image and the truth, and the resolution it reaches.

Correlation of the two spectra over rings of one spatial frequency (Saxton & Baumeister, J. Microsc.
1982; for fluorescence images Nieuwenhuizen et al., Nature Methods 2013, Banterle et al., J. Struct.
Biol. 2013). The resolution is the length at which it falls below 1/7, their fixed threshold.
"""

import numpy as np
from jaxtyping import Float64
from scipy import fft
from scipy.ndimage import uniform_filter1d

from unifmir.metrics.base import Metric, RestoredImage

THRESHOLD = 1 / 7
SMOOTHED_RINGS = 3
"""Rings that each value is the mean over: a single ring near the centre has few points."""


def ring_correlation(
    restored: RestoredImage, truth: RestoredImage
) -> tuple[Float64[np.ndarray, " rings"], Float64[np.ndarray, " rings"]]:
    """Correlation of two images' spectra, ring by ring; planes of a stack are taken together.

    Parameters
    ----------
    restored, truth : array, (y, x) or (z, y, x), of one shape
        Intensities in any units: the mean of each plane is taken off, and a Hann window keeps what
        the edges cut from counting as detail.

    Returns
    -------
    frequencies : array, float64
        Of the middle of each ring, in cycles a pixel, below 0.5.
    correlations : array, float64
        In [-1, 1]; 0 where a ring holds nothing.
    """
    height, width = truth.shape[-2:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    rings = max(1, min(height, width) // 2)
    rows, columns = fft.fftfreq(height)[:, None], fft.rfftfreq(width)
    ring_of = (np.hypot(rows, columns) * 2 * rings).astype(np.int64).ravel()
    inside = ring_of < rings
    # The transform of real numbers leaves out one half: its columns stand for two each.
    twice = np.where((columns > 0) & (columns < 0.5), 2.0, 1.0)
    weights = np.broadcast_to(twice, (height, len(columns))).ravel()[inside]
    sums = np.zeros((3, rings))
    for one, other in zip(
        restored.reshape(-1, height, width), truth.reshape(-1, height, width), strict=True
    ):
        first, second = (
            fft.rfft2((plane.astype(np.float64) - plane.mean(dtype=np.float64)) * window).ravel()
            for plane in (one, other)
        )
        products = ((first * second.conj()).real, np.abs(first) ** 2, np.abs(second) ** 2)
        sums += [
            np.bincount(ring_of[inside], product[inside] * weights, minlength=rings)
            for product in products
        ]
    scale = np.sqrt(sums[1] * sums[2])
    correlations = np.divide(sums[0], scale, out=np.zeros(rings), where=scale > 0)
    return (np.arange(rings) + 0.5) / (2 * rings), correlations


def frc_resolution_px(restored: RestoredImage, truth: RestoredImage) -> float:
    """Length in pixels down to which the restored image holds what the truth holds.

    2, the finest that pixels can show, where the correlation stays above 1/7 throughout; the
    shorter side of the image where even the coarsest ring lies below it.
    """
    frequencies, correlations = ring_correlation(restored, truth)
    smooth = uniform_filter1d(correlations, SMOOTHED_RINGS, mode="nearest")
    below = np.flatnonzero(smooth < THRESHOLD)
    if not len(below):
        return 2.0
    at = int(below[0])
    if at == 0:
        return float(min(truth.shape[-2:]))
    part = (smooth[at - 1] - THRESHOLD) / (smooth[at - 1] - smooth[at])
    return float(1 / (frequencies[at - 1] + part * (frequencies[at] - frequencies[at - 1])))


FRC = Metric(frc_resolution_px, "FRC resolution", decimals=2, unit="px", short="FRC")

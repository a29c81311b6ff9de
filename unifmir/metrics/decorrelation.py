"""Resolution of one image by decorrelation analysis: no truth and no second exposure is needed.

The image's spectrum is correlated with the same spectrum of which every amplitude is 1, inside a
disc that grows. Where signal ends and noise begins the correlation falls again: the peak of the
highest frequency, over high-pass filtered copies of the image, is where the detail ends (Descloux,
Grussmayer & Radenovic, Nature Methods 2019).
"""

from math import exp, log

import numpy as np
from jaxtyping import Float64
from scipy import fft

from unifmir.metrics.base import Metric, RestoredImage

RADII = 50
"""Discs of a pass, as published."""
FILTERS = 10
"""High-pass filters of a pass, as published, beside the image itself."""
WEAKEST_PX, STRONGEST_PX = 0.25, 0.15
"""Gaussians that high-pass filters take off: the widest, as a part of the side where no peak of the
image itself says more, and the narrowest, in pixels."""
LEAST_FALL = 5e-4
"""Fall behind a peak from which on it is one: rounding of flat curves is none."""
FADED = 20
"""Parts of a side over which an image fades out at its edges, which would be detail."""

Curve = Float64[np.ndarray, " discs"]
Frequencies = Float64[np.ndarray, " frequencies"]


def decorrelation_px(image: RestoredImage) -> float:
    """Length in pixels down to which an image holds signal, 2 divided by the cut-off over Nyquist.

    Parameters
    ----------
    image : array, (y, x) or (z, y, x)
        Any units. Of a stack the median plane counts.

    Returns
    -------
    float
        At least 2, the finest that pixels can show; the shorter side where nothing decorrelates.
    """
    planes = image.reshape(-1, *image.shape[-2:])
    return float(np.median([_of_plane(plane) for plane in planes]))


def _of_plane(plane: RestoredImage) -> float:
    side = min(plane.shape)
    radius, power = _spectrum(plane)
    coarse = np.linspace(0, 1, RADII)
    first = _peak(coarse, _correlation(radius, power, coarse, None))
    widest = 2 / first if first > 0 else WEAKEST_PX * side
    widths = np.exp(np.linspace(log(max(widest, STRONGEST_PX)), log(STRONGEST_PX), FILTERS))
    peaks = [_peak(coarse, _correlation(radius, power, coarse, width)) for width in widths]
    best = max([first, *peaks])
    if best <= 0:
        return float(side)
    # Once more between the neighbours of the best, as published.
    step = coarse[1]
    fine = np.linspace(max(0.0, best - step), min(1.0, best + 4 * step), RADII)
    at = int(np.argmax(peaks))
    ends = widths[max(0, at - 1)], widths[min(FILTERS - 1, at + 1)]
    near = [exp(one) for one in np.linspace(log(ends[0]), log(ends[1]), FILTERS)]
    finer = [_peak(fine, _correlation(radius, power, fine, width)) for width in (None, *near)]
    return float(max(2.0, 2 / max(best - step, *finer)))


def _spectrum(plane: RestoredImage) -> tuple[Frequencies, Frequencies]:
    """Distance from the middle in units of Nyquist, and squared amplitude, of every frequency."""
    faded = [np.ones(length) for length in plane.shape]
    for window in faded:
        part = max(1, len(window) // FADED)
        window[:part] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(part) + 0.5) / part)
        window[-part:] = window[:part][::-1]
    values = plane.astype(np.float64)
    transformed = fft.fft2((values - values.mean()) * np.outer(*faded))
    rows, columns = (fft.fftfreq(length) for length in plane.shape)
    radius = 2 * np.hypot(rows[:, None], columns).ravel()
    power = (np.abs(transformed) ** 2).ravel()
    order = np.argsort(radius, kind="stable")
    inside = order[np.searchsorted(radius[order], 0, "right") : np.searchsorted(radius[order], 1)]
    return radius[inside], power[inside]


def _correlation(
    radius: Frequencies, power: Frequencies, discs: Curve, width: float | None
) -> Curve:
    """Correlation with the spectrum of amplitude 1 inside each disc, of the filtered image."""
    amplitude = np.sqrt(power)
    if width is not None:
        amplitude = amplitude * -np.expm1(-2 * (np.pi * width * radius / 2) ** 2)
    total = float((amplitude**2).sum())
    counts = np.searchsorted(radius, discs, "right")
    sums = np.concatenate([[0.0], np.cumsum(amplitude)])[counts]
    found: Curve = np.divide(
        sums, np.sqrt(total * counts), out=np.zeros(len(discs)), where=total * counts > 0
    )
    return found


def _peak(discs: Curve, correlation: Curve) -> float:
    """The disc at which a curve is highest and falls behind; 0 where there is none."""
    end = len(correlation)
    while end > 1:
        at = int(np.argmax(correlation[:end]))
        if at == 0:
            return 0.0
        if correlation[at] - correlation[at:end].min() >= LEAST_FALL:
            return float(discs[at])
        end = at if at < end - 1 else end - 1
    return 0.0


def _restored_alone(restored: RestoredImage, _truth: RestoredImage) -> float:
    return decorrelation_px(restored)


DECORRELATION = Metric(
    _restored_alone, "decorrelation resolution", decimals=2, unit="px", short="decorr."
)

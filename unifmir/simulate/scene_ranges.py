"""Ranges that simulated scenes are drawn from, as data; docs/simulator.md shows them as tables.

Sizes are in pixels of the recorded image; for super-resolution in those of the truth, which is
sampled twice as finely.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

import numpy as np

from unifmir.registry import require_known


@dataclass(frozen=True, slots=True)
class Range:
    """Values between two limits, equally likely, or equally likely in their logarithm."""

    low: float
    high: float
    unit: str
    meaning: str
    logarithmic: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        if self.logarithmic:
            return exp(rng.uniform(log(self.low), log(self.high)))
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class Chance:
    """Chance of something to happen in a scene."""

    share: float
    """Part of the scenes of a task in which it can happen."""
    meaning: str
    never: tuple[str, ...] = ()
    """Tasks in whose scenes it cannot happen."""
    confocal: bool = True
    """Whether it can happen in confocal images."""


def _log(low: float, high: float, unit: str, meaning: str) -> Range:
    return Range(low, high, unit, meaning, logarithmic=True)


RANGES: Mapping[str, Range] = {
    # Sizes and brightnesses of structures.
    "nucleus radius": _log(3, 60, "px", "mean radius of the nuclei of a scene"),
    "nucleus brightness": _log(0.12, 1, "", "of each nucleus, against the brightest"),
    "nucleus softness": _log(1, 8, "px", "ramp at the border of a nucleus"),
    "chromatin": _log(0.1, 0.6, "", "deviation of chromatin's texture, against its mean"),
    "chromatin scale": _log(0.06, 0.5, "radii", "scale of that texture"),
    "coverage": Range(0.04, 0.6, "", "part of the area or volume that bodies fill"),
    "cell radius": _log(25, 100, "px", "radius of cells with diffuse cytoplasm"),
    "smooth scale": _log(2, 100, "px", "scale of diffuse light and of regions"),
    "spot sigma": _log(0.3, 3, "px", "size of spots before the optics"),
    "spot brightness": _log(0.05, 1, "", "of each spot, against the brightest"),
    "spot density": _log(1e-4, 6e-3, "1/px²", "spots per area"),
    "filament bending": _log(0.006, 0.09, "rad/px^½", "turn of filaments along their length"),
    "filament density": _log(0.01, 0.2, "1/px", "length of filaments per area"),
    "bundle sigma": _log(0.5, 4, "px", "half thickness of bundles and fibres"),
    "tube radius": _log(1.5, 6, "px", "radius of mitochondria and neurites"),
    "fibre radius": _log(6, 45, "px", "radius of wide fibres"),
    "mesh size": _log(6, 50, "px", "size of the meshes of reticulum"),
    "tissue cell": _log(7, 60, "px", "size of packed cells"),
    "membrane width": _log(0.7, 3, "px", "half thickness of membranes"),
    "ring radius": _log(2, 14, "px", "radius of vesicles and rings"),
    "bacterium radius": _log(2, 9, "px", "half width of bacteria"),
    "wall radius": _log(12, 80, "px", "radius of shells such as pollen"),
    # What lies around and over the structures.
    "second structure": _log(0.03, 0.8, "", "brightness of a second structure beside the first"),
    "diffuse": _log(0.01, 0.6, "", "diffuse light in focus, against the peak"),
    "staining": Range(0.1, 0.9, "", "log deviation of uneven staining"),
    "background": _log(0.003, 0.5, "", "even background, against the peak"),
    "haze": _log(0.05, 1.5, "", "out-of-focus light, against the mean of the light in focus"),
    "haze sigma": _log(8, 40, "px", "blur of out-of-focus light"),
    "illumination width": Range(0.45, 1.6, "sides", "sigma of the Gaussian fall-off"),
    "bleaching": Range(0.1, 1.5, "", "light lost from the first plane to the last, natural log"),
    "sheet width": Range(6, 16, "px", "width at half maximum of a light sheet (isotropic)"),
    "below the surface": _log(0.05, 1, "", "brightness of tissue below the surface (projection)"),
    "view blur": Range(1.2, 1.9, "px", "blur of a view in focus (volume)"),
    # Photons and the camera.
    "photons, sr": _log(20, 4000, "photons", "peak of the light in focus"),
    "photons, denoise": _log(4, 400, "photons", "peak of the light in focus"),
    "photons, isotropic": _log(30, 3000, "photons", "peak of the light in focus"),
    "photons, projection": _log(6, 300, "photons", "peak of the light in focus"),
    "photons, volume": _log(100, 4000, "photons", "brightest pixel of the light field"),
    "read noise": _log(0.3, 3, "e⁻", "deviation of the read noise"),
    "gain spread": _log(0.001, 0.03, "", "deviation of the pixels' gains (sCMOS)"),
    "offset spread": _log(0.1, 2.5, "e⁻", "deviation of the pixels' offsets (sCMOS)"),
    "line noise": _log(0.05, 0.8, "e⁻", "deviation of the noise that a row has in common"),
    "noise blur": Range(0.3, 0.6, "px", "sigma of noise that resampling has correlated"),
    "full well": Range(0.25, 0.9, "", "saturation, against the peak"),
}
"""Name -> what is drawn from it."""

_NO_STACKS = ("sr", "projection", "volume")
_LIGHT_FIELDS = ("volume",)
CHANCES: Mapping[str, Chance] = {
    "second structure": Chance(0.4, "a second structure lies between the first"),
    "diffuse": Chance(0.55, "diffuse light of one or several scales is in focus", _LIGHT_FIELDS),
    "staining": Chance(0.4, "staining varies over the image"),
    "haze": Chance(
        0.5, "there is out-of-focus light; never in confocal images", _LIGHT_FIELDS, confocal=False
    ),
    "illumination": Chance(0.4, "the illumination falls off from its centre", _LIGHT_FIELDS),
    "bleaching": Chance(
        0.4, "planes of a stack lose light one after the other, or with depth", _NO_STACKS
    ),
    "gain map": Chance(0.4, "the camera's pixels differ (sCMOS)"),
    "line noise": Chance(0.25, "the camera's rows have noise in common"),
    "multiplication": Chance(
        0.12, "electrons are multiplied (EMCCD), which doubles the shot noise"
    ),
    "noise blur": Chance(0.1, "the noise of neighbouring pixels is correlated"),
    "hot pixels": Chance(
        0.06, "up to three hot pixels, none brighter than the peak", _LIGHT_FIELDS
    ),
    "saturation": Chance(
        0.07, "the brightest structures are beyond the camera's full well", _LIGHT_FIELDS
    ),
}
"""Name -> how often, what happens then, and in which scenes never."""

WAVELENGTHS_UM = (0.45, 0.52, 0.58, 0.67)
"""Wavelengths of the emission; each equally likely."""


def draw(rng: np.random.Generator, name: str) -> float:
    """A value of the range of that name.

    Raises
    ------
    UnknownNameError
        No such range.
    """
    require_known("range", name, RANGES)
    return RANGES[name].draw(rng)


def happens(rng: np.random.Generator, name: str) -> bool:
    """Whether what has that name in `CHANCES` happens in this scene.

    Raises
    ------
    UnknownNameError
        No such chance.
    """
    require_known("chance", name, CHANCES)
    return float(rng.random()) < CHANCES[name].share

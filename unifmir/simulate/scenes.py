"""One simulated pair for each task: what a microscope records, and what it should have shown."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from unifmir.registry import resolve
from unifmir.tasks import TASKS
from unifmir.tasks.base import Lens, TruthScaling

Image = Float[np.ndarray, "..."]

LEAST_SPAN = 0.02
"""Distance of the percentiles that an image is scaled by, against that of its extremes."""


@dataclass(frozen=True, slots=True)
class SimulatedPair:
    """A recorded image and the truth, both before normalisation.

    Photons, but for the light field's truth, which is the emitted density in [0, 1].
    """

    task: str
    image: Image
    """Photoelectrons with the camera's offset; axes of `TaskSpec.input_axes`."""
    target: Image
    """Expected photons with the offset, no noise; axes of `TaskSpec.output_axes`."""
    reference: Image
    """Noise-free image in the units of the target, whose percentiles normalise it."""
    expected: Image = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    """The recorded image without its noise, in its units; empty where nobody knows it."""
    kind: str = ""
    """Name in `unifmir.simulate.structures.STRUCTURES` of what it shows, where it is simulated."""
    lens: Lens | None = None
    """Lens and sampling of the recorded image; None where nobody knows them, as of light fields."""


def generator(task: str, seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one scene; `split` keeps training and held-out scenes apart."""
    return np.random.default_rng(
        [seed, zlib.crc32(task.encode()), zlib.crc32(split.encode()), index]
    )


def simulate_pair(task: str, rng: np.random.Generator, size: int) -> SimulatedPair:
    """Simulate one scene.

    Parameters
    ----------
    task : str
    rng : numpy Generator
        All randomness comes from it.
    size : int
        Side of the recorded image in pixels; for volume in lenses.

    Raises
    ------
    UnknownNameError
        No such task.
    """
    simulate = resolve(TASKS[task].simulation.scene)
    while True:
        scene: SimulatedPair = simulate(rng, size)
        if _is_scalable(scene):
            return scene


def _is_scalable(scene: SimulatedPair) -> bool:
    """Whether a scene's percentiles lie apart: those of one bright point in the dark do not."""
    rule = TASKS[scene.task].normalization
    low, high = np.percentile(scene.reference, (rule.low_percent, rule.high_percent))
    darkest, brightest = float(scene.reference.min()), float(scene.reference.max())
    return high - low > LEAST_SPAN * (brightest - darkest) and brightest > darkest


def _rescaled(image: Image, reference: Image, task: str) -> Image:
    """`image` with the percentiles of `reference` at 0 and 1."""
    rule = TASKS[task].normalization
    low, high = np.percentile(reference, (rule.low_percent, rule.high_percent))
    return (image - np.float32(low)) / np.float32(high - low + 1e-20)


def normalize_pair(scene: SimulatedPair, intensities: TruthScaling) -> tuple[Image, Image]:
    """A scene in the network's units, whole: windows, slices and views are cut from it.

    Parameters
    ----------
    scene : SimulatedPair
    intensities : {"own", "shared"}
        Whose percentiles scale the target. `own`: those of the noise-free image, as the paper does
        (Weigert et al. 2018). `shared`: the image's, so that the exact inverse of the image's
        scaling brings an output to photons. A light field has no photons: both are the same.

    Returns
    -------
    image, target : ndarray, shapes and floating dtypes of the scene's
        The image is scaled by its own percentiles. Volume: both in [-1, 1].
    """
    rule = TASKS[scene.task].normalization
    if rule.inside:
        # Imports PyTorch, which other scenes do without.
        from unifmir.networks.interface import BRIGHTEST_FRACTION

        brightest = float(scene.image.max()) or 1.0
        return scene.image / np.float32(BRIGHTEST_FRACTION * brightest) - 1, scene.target * 2 - 1
    image = _rescaled(scene.image, scene.image, scene.task)
    if intensities == "shared":
        # Nothing is clipped: structure that is sharper is brighter than the image's brightest.
        return image, _rescaled(scene.target, scene.image, scene.task)
    target = _rescaled(scene.target, scene.reference, scene.task)
    return (np.clip(image, 0, 1), np.clip(target, 0, 1)) if rule.clip else (image, target)

"""Simple methods that a model must beat, as the tasks' rows name them.

Each takes a simulated pair and gives results by name, in the units of the recorded image.
"""

from collections.abc import Mapping

import numpy as np
import scipy.ndimage
from jaxtyping import Float32
from skimage.transform import resize

from unifmir.simulate import SimulatedPair, lightfield

GAUSSIAN_SIGMAS = (0.5, 1.0, 1.5, 2.0)
"""Pixels."""
MEDIAN_SIZES = (3, 5)
"""Pixels."""

Results = Mapping[str, Float32[np.ndarray, "..."]]
"""Name of a method -> its result."""


def smoothed(scene: SimulatedPair) -> Results:
    """The image itself, and smoothed by Gaussian and median filters."""
    found = {"input": scene.image}
    for sigma in GAUSSIAN_SIGMAS:
        found[f"gaussian {sigma}"] = scipy.ndimage.gaussian_filter(scene.image, sigma)
    for size in MEDIAN_SIZES:
        found[f"median {size}"] = scipy.ndimage.median_filter(scene.image, size)
    return found


def enlarged(scene: SimulatedPair) -> Results:
    """The smoothed images enlarged to the truth's sampling, bicubic."""
    shape = scene.target.shape
    return {
        f"{name}, bicubic": resize(image, shape, order=3, anti_aliasing=False)
        for name, image in smoothed(scene).items()
    }


def projected(scene: SimulatedPair) -> Results:
    """Maximum projections of the smoothed stacks, and the mean projection."""
    found = {f"{name}, maximum": stack.max(axis=0) for name, stack in smoothed(scene).items()}
    found["mean"] = scene.image.mean(axis=0)
    return found


def refocused(scene: SimulatedPair) -> Results:
    """Views shifted by the simulated optics' own shear and added; and the central view."""
    planes = len(scene.target)
    middle = lightfield.VIEWS_PER_SIDE // 2
    view = lightfield.separate(scene.image)[middle, middle]
    central = resize(view, scene.target.shape[1:], order=3)
    return {
        "refocused": lightfield.refocus(scene.image, planes=planes),
        "central view": np.repeat(central[None], planes, axis=0),
    }

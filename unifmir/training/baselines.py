"""Simple methods that a model must beat, as the tasks' rows name them.

Each takes a simulated pair and gives results by name, in the units of the recorded image. Their
settings were chosen on simulated scenes of a split of their own, never on the held-out ones.
BM3D is not among them: its package (PyPI `bm3d`) is licensed for non-commercial use alone.
"""

from collections.abc import Mapping

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32
from skimage.restoration import denoise_nl_means, richardson_lucy
from skimage.transform import resize

from unifmir.simulate import SimulatedPair, lightfield
from unifmir.simulate.optics import gaussian_kernel

GAUSSIAN_SIGMAS = (0.5, 1.0, 1.5, 2.0)
"""Pixels."""
MEDIAN_SIZES = (3, 5)
"""Pixels."""

NON_LOCAL_MEANS = "non-local means"
STRENGTH = 0.8
"""Cut-off of non-local means, in standard deviations of the noise."""
PATCH_PX, REACH_PX = 5, 6
"""Side of its patches, and how far it looks for similar ones."""
RICHARDSON_LUCY = "Richardson-Lucy"
ENLARGED_BLUR_PX, ENLARGED_ITERATIONS = (2.5, 2.5), 5
"""Gaussian (sigma) that deconvolution takes off an enlarged image, in the truth's pixels: nominal,
the simulator's lenses differ."""
AXIAL_BLUR_PX, AXIAL_ITERATIONS = (3.0, 1.0, 1.0), 10
"""Gaussian (sigma in pixels along z, y and x) for stacks that are interpolated along z."""
DARK_PERCENT = 1.0
"""Percentile that is taken for the camera's offset, as deconvolution needs light alone."""

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


def denoised(scene: SimulatedPair) -> Results:
    """The image, smoothed ones, and non-local means."""
    return {**smoothed(scene), NON_LOCAL_MEANS: non_local_means(scene.image)}


def enlarged(scene: SimulatedPair) -> Results:
    """The denoised images enlarged to the truth's sampling, bicubic; and some deconvolved."""
    shape = scene.target.shape
    large = {
        name: resize(image, shape, order=3, anti_aliasing=False)
        for name, image in denoised(scene).items()
    }
    sharp = _deconvolved(large, ENLARGED_BLUR_PX, ENLARGED_ITERATIONS)
    return {**{f"{name}, bicubic": image for name, image in large.items()}, **sharp}


def sharpened(scene: SimulatedPair) -> Results:
    """The denoised images, and some deconvolved with a blur that is longer along z."""
    found = denoised(scene)
    return {**found, **_deconvolved(found, AXIAL_BLUR_PX, AXIAL_ITERATIONS)}


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


def non_local_means(image: Float[np.ndarray, "*axes"]) -> Float32[np.ndarray, "*axes"]:
    """Non-local means of each plane, where a square root has made its shot noise even.

    Any range and unit, kept. The strength is that of the plane's own noise (Buades, Coll & Morel,
    CVPR 2005; Anscombe, Biometrika 1948).
    """
    dark = float(image.min())
    stable = 2 * np.sqrt(image.astype(np.float64) - dark + 3 / 8)
    planes = stable.reshape(-1, *stable.shape[-2:])
    even = np.stack([_non_local_means(plane) for plane in planes]).reshape(image.shape)
    restored: np.ndarray = ((even / 2) ** 2 - 3 / 8 + dark).astype(np.float32)
    return restored


def _non_local_means(plane: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    noise = noise_of(plane)
    if noise <= 0:
        return plane
    found: np.ndarray = denoise_nl_means(
        plane,
        h=STRENGTH * noise,
        sigma=noise,
        patch_size=PATCH_PX,
        patch_distance=REACH_PX,
        fast_mode=True,
    )
    return found


def noise_of(plane: Float[np.ndarray, "y x"]) -> float:
    """Standard deviation of a plane's noise in its unit, from the diagonals of each 2 x 2 pixels.

    Their difference has little structure, and its median little of what there is (Donoho &
    Johnstone, Biometrika 1994, with Haar's wavelet).
    """
    even = plane[: len(plane) // 2 * 2, : plane.shape[1] // 2 * 2]
    diagonal = (even[::2, ::2] + even[1::2, 1::2] - even[::2, 1::2] - even[1::2, ::2]) / 2
    return float(np.median(np.abs(diagonal)) / 0.6745) if diagonal.size else 0.0


def _deconvolved(images: Results, sigmas: tuple[float, ...], iterations: int) -> Results:
    """Richardson-Lucy of the recorded image and of that after non-local means."""
    return {
        name: deconvolve(images[of], sigmas, iterations)
        for name, of in (
            (RICHARDSON_LUCY, "input"),
            (f"{NON_LOCAL_MEANS}, {RICHARDSON_LUCY}", NON_LOCAL_MEANS),
        )
    }


def deconvolve(
    image: Float[np.ndarray, "*axes"], sigmas: tuple[float, ...], iterations: int
) -> Float32[np.ndarray, "*axes"]:
    """Richardson-Lucy deconvolution with a Gaussian, edges mirrored.

    Parameters
    ----------
    image : array, (y, x) or (z, y, x)
        Photons and an even offset.
    sigmas : tuple of float
        Of the Gaussian along each axis. Pixels.
    iterations : int
    """
    dark = float(np.percentile(image, DARK_PERCENT))
    span = float(image.max()) - dark
    if span <= 0:
        return image.astype(np.float32)
    kernel = gaussian_kernel(sigmas)
    reach = [(side // 2, side // 2) for side in kernel.shape]
    light = np.maximum((image.astype(np.float32) - dark) / span, 1e-5)
    found = richardson_lucy(
        np.pad(light, reach, mode="symmetric"),
        kernel,
        num_iter=iterations,
        clip=False,
        filter_epsilon=1e-6,
    )
    inside = found[tuple(slice(edge, -edge) for edge, _ in reach)]
    restored: np.ndarray = (inside * span + dark).astype(np.float32)
    return restored

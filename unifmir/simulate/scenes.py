"""One simulated pair for each task: what a microscope records, and what it should have shown."""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32, Float64

from unifmir.networks.interface import BRIGHTEST_FRACTION
from unifmir.registry import resolve
from unifmir.simulate import lightfield, structures
from unifmir.simulate.optics import Camera, Optics, blur, gaussian_kernel, psf
from unifmir.tasks import TASKS
from unifmir.tasks.base import TruthScaling
from unifmir.tasks.projection import PROJECTION
from unifmir.tasks.volume import VOLUME

Image = Float[np.ndarray, "..."]

SR_SCALE = 2
AXIAL_STEP = 4
"""Restored planes for each recorded one, for isotropic reconstruction."""
SURFACE_PLANES = PROJECTION.simulation.planes
VOLUME_PLANES = VOLUME.simulation.result_planes
DARK = Camera(read_noise=0.5, offset=0.0)
"""Light fields are divided by their maximum, so their dark frame is taken off first."""


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
        # Every structure of a small scene may lie outside it: an empty one teaches nothing.
        if scene.target.max() > scene.target.min():
            return scene


def super_resolution(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Widefield at 62 nm pixels, and a truth of twice its resolution at 31 nm."""
    pixel = 0.031
    margin = 16
    fine = SR_SCALE * size + 2 * margin
    shape = (fine, fine)
    area = (fine / 200) ** 2
    kind = rng.integers(5)
    if kind == 0:
        density = structures.filaments(
            rng, shape, count=max(3, round(rng.uniform(8, 30) * area)), length=1.5 * fine
        )
    elif kind == 1:
        density = structures.rings(
            rng, shape, count=max(4, round(rng.uniform(30, 120) * area)), radius=5.0
        )
    elif kind == 2:
        density = structures.membranes(rng, shape, cell=rng.uniform(18, 40), width=0.8)
    elif kind == 3:
        density = structures.filaments(
            rng, shape, count=round(120 * area), length=fine / 3, bending=0.08
        )
    else:
        density = structures.filaments(rng, shape, count=round(12 * area), length=fine)
        density += 3 * structures.beads(rng, shape, count=max(4, round(80 * area)))
    optics = Optics(
        numerical_aperture=rng.uniform(1.15, 1.4),
        refractive_index=1.515,
        pixel_um=pixel,
        z_step_um=0.4,
    )
    sharp_sigma = optics.lateral_fwhm_um / 2 / 2.355 / pixel
    target = blur(density, gaussian_kernel((sharp_sigma, sharp_sigma)))
    focus = blur(density, psf(optics, planes=1, size=61)[0])
    haze = scipy.ndimage.gaussian_filter(density, rng.uniform(12, 25)) * rng.uniform(0.1, 0.5)
    widefield = focus + haze
    cut = slice(margin, fine - margin)
    widefield, target = widefield[cut, cut], target[cut, cut]
    recorded = widefield.reshape(size, SR_SCALE, size, SR_SCALE).mean(axis=(1, 3))
    peak = np.exp(rng.uniform(np.log(150), np.log(2000))) / (float(recorded.max()) or 1.0)
    camera = Camera()
    image = camera.expose(recorded * peak, rng)
    truth = target * peak + camera.offset
    return SimulatedPair("sr", image, truth, truth)


def _tissue(
    rng: np.random.Generator, shape: tuple[int, int, int], feature: float
) -> structures.Density:
    """A mixture of structures in 3D, `feature` pixels the radius of a nucleus."""
    voxels = float(np.prod(shape))
    kind = rng.integers(4)
    if kind == 0:
        count = max(4, round(0.25 * voxels / (4.2 * feature**3)))
        density = structures.nuclei(rng, shape, count=count, radius=feature)
    elif kind == 1:
        density = structures.membranes(rng, shape, cell=2.5 * feature, width=1.0)
    elif kind == 2:
        count = max(4, round(voxels / 20000))
        density = structures.filaments(
            rng, shape, count=count, length=1.2 * max(shape), bending=0.04
        )
        density = scipy.ndimage.gaussian_filter(density, 0.7)
    else:
        count = max(3, round(0.12 * voxels / (4.2 * feature**3)))
        density = structures.nuclei(rng, shape, count=count, radius=feature, shell=1.2)
        density += 2 * structures.beads(rng, shape, count=max(4, round(voxels / 8000)))
    present = density[density > 1e-3]
    if not present.size:
        # Everything fell outside, which happens in small fields: draw again.
        return _tissue(rng, shape, feature)
    density = density / np.float32(np.percentile(present, 95))
    # Real stacks hold dim and bright parts side by side, some far brighter than the rest, and
    # diffuse light: without them a network learns to take faint structure for noise.
    density = density * np.exp(rng.uniform(0, 1.3) * structures.smooth_noise(rng, shape, 12.0))
    diffuse = np.clip(structures.smooth_noise(rng, shape, 10.0) + rng.uniform(-1, 1), 0, None)
    density = density + rng.choice([0.0, 0.03, 0.1]) * diffuse
    if rng.random() < 0.3:
        bright = structures.beads(rng, shape, count=max(2, round(voxels / 40000)))
        density = density + rng.uniform(2, 8) * scipy.ndimage.gaussian_filter(bright, 1.5)
    density = density / max(float(np.percentile(density, 99.5)), 1e-3)
    result: np.ndarray = (np.minimum(density, 4) + rng.uniform(0, 0.03)).astype(np.float32)
    return result


@lru_cache(maxsize=8)
def _stack_psf(optics: Optics, planes: int, size: int) -> Float32[np.ndarray, "z y x"]:
    return psf(optics, planes=planes, size=size)


def noisy_stack(rng: np.random.Generator, size: int) -> SimulatedPair:
    """A confocal stack at few photons, and its expectation."""
    optics = Optics(numerical_aperture=1.1, pixel_um=0.15, z_step_um=0.5, confocal=True)
    planes = 10
    density = _tissue(rng, (planes, size, size), feature=rng.uniform(8, 16))
    clean = blur(density, _stack_psf(optics, 9, 25))
    clean *= np.exp(rng.uniform(np.log(4), np.log(40))) / np.percentile(clean, 99.8)
    clean += rng.uniform(0.2, 1.0)
    camera = Camera(read_noise=rng.uniform(0.5, 2.0))
    image = camera.expose(clean, rng)
    truth = clean + np.float32(camera.offset)
    return SimulatedPair("denoise", image, truth, truth)


def coarse_planes(rng: np.random.Generator, size: int) -> SimulatedPair:
    """A light-sheet stack of coarse planes, interpolated, and the same sharp along z too."""
    optics = Optics(numerical_aperture=0.8, pixel_um=0.2, z_step_um=0.2)
    density = _tissue(rng, (size, size, size), feature=rng.uniform(7, 13))
    kernel = _stack_psf(optics, 31, 25)
    # The sheet lights 2.5 um FWHM around the focal plane.
    depth = (np.arange(31) - 15) * optics.z_step_um
    kernel = kernel * np.exp(-0.5 * (depth / (2.5 / 2.355)) ** 2)[:, None, None]
    sigma = optics.lateral_fwhm_um / 2.355 / optics.pixel_um
    target = blur(density, gaussian_kernel((sigma, sigma, sigma)))
    recorded = blur(density, (kernel / kernel.sum()).astype(np.float32))
    peak = np.exp(rng.uniform(np.log(80), np.log(800))) / np.percentile(recorded, 99.8)
    camera = Camera()
    first = AXIAL_STEP // 2
    coarse = camera.expose(recorded[first::AXIAL_STEP] * np.float32(peak), rng)
    where = (np.arange(size) - first) / AXIAL_STEP
    image = _linear_planes(coarse, where)
    truth = target * np.float32(peak) + np.float32(camera.offset)
    return SimulatedPair("isotropic", image, truth, truth)


def _linear_planes(
    stack: Float32[np.ndarray, "z y x"], where: Float64[np.ndarray, " planes"]
) -> Float32[np.ndarray, "planes y x"]:
    """Planes of a stack at fractional positions, linearly interpolated, held at the ends."""
    where = np.clip(where, 0, len(stack) - 1)
    low = np.minimum(where.astype(int), len(stack) - 2)
    part = (where - low).astype(np.float32)[:, None, None]
    result: np.ndarray = stack[low] * (1 - part) + stack[low + 1] * part
    return result


def surface(rng: np.random.Generator, size: int) -> SimulatedPair:
    """An epithelium on a curved surface, with tissue under it, and the surface laid flat."""
    optics = Optics(numerical_aperture=0.9, pixel_um=0.2, z_step_um=0.8, confocal=True)
    shape = (SURFACE_PLANES, size, size)
    height = structures.height_map(rng, (size, size), low=6, high=SURFACE_PLANES - 7)
    pattern = structures.membranes(rng, (size, size), cell=rng.uniform(10, 22), width=0.9)
    if rng.random() < 0.5:
        pattern += 0.7 * structures.nuclei(rng, (size, size), count=size // 10, radius=3.0)
    rows, columns = np.mgrid[:size, :size]
    points = np.stack((height, rows, columns), axis=-1).reshape(-1, 3).astype(np.float64)
    density = structures.deposit(points, pattern.ravel().astype(np.float64), shape)
    # Below the surface: nuclei and yolk, brighter than it in places, and nothing of interest.
    below = np.arange(SURFACE_PLANES)[:, None, None] - height
    side = rng.choice([-1.0, 1.0])
    inside = np.clip(below * side - rng.uniform(4, 6), 0, 1)
    body = structures.nuclei(
        rng, shape, count=round(rng.uniform(0.15, 0.5) * size), radius=rng.uniform(4, 9)
    )
    body += rng.uniform(0.0, 0.15) * np.clip(1 + structures.smooth_noise(rng, shape, 8.0), 0, None)
    spots = structures.beads(rng, shape, count=size // 2) * rng.uniform(0, 4)
    density = density + (rng.uniform(0.1, 0.5) * body + spots) * inside
    kernel = _stack_psf(optics, 9, 25)
    clean = blur(density.astype(np.float32), kernel)
    clean += scipy.ndimage.gaussian_filter(clean, (4, 8, 8)) * rng.uniform(0.05, 0.3)
    # The surface in focus everywhere, in the stack's units: the focal plane of the same function.
    surface = blur(pattern, kernel[kernel.shape[0] // 2])
    gain = np.exp(rng.uniform(np.log(10), np.log(80))) / np.percentile(surface, 99)
    camera = Camera(read_noise=rng.uniform(0.5, 2.0))
    clean = clean * np.float32(gain)
    image = camera.expose(clean, rng)
    offset = np.float32(camera.offset)
    truth = surface * np.float32(gain) + offset
    return SimulatedPair("projection", image, truth, clean + offset)


def light_field(rng: np.random.Generator, size: int) -> SimulatedPair:
    """A light field of a sparse volume."""
    lens = lightfield.VIEWS_PER_SIDE
    margin = 2
    side = (size + 2 * margin) * lens
    shape = (VOLUME_PLANES, side, side)
    area = side * side / 1e4
    kind = rng.integers(4)
    if kind == 0:
        density = structures.filaments(
            rng, shape, count=round(rng.uniform(10, 22) * area), length=90, bending=0.03
        )
        density = scipy.ndimage.gaussian_filter(density, 2.0)
    elif kind == 1:
        density = structures.beads(rng, shape, count=round(rng.uniform(30, 90) * area))
        density = scipy.ndimage.gaussian_filter(density, 2.4)
    elif kind == 2:
        count = round(rng.uniform(8, 20) * area)
        density = structures.nuclei(rng, shape, count=count, radius=7.0)
    else:
        count = round(rng.uniform(5, 12) * area)
        density = structures.nuclei(rng, shape, count=count, radius=9.0, shell=2.0)
    density = scipy.ndimage.gaussian_filter(density, (0.8, 1.2, 1.2))
    density = np.minimum(density / np.quantile(density, 0.9995), 1).astype(np.float32)
    views = lightfield.project_views(density)
    inner = slice(margin, size + margin)
    views = views[:, :, inner, inner]
    cut = slice(margin * lens, (size + margin) * lens)
    truth = np.ascontiguousarray(density[:, cut, cut])
    raw = lightfield.interleave(views)
    raw = raw + np.float32(rng.uniform(0.005, 0.03)) * raw.max()
    peak = np.exp(rng.uniform(np.log(200), np.log(2000)))
    image = DARK.expose(raw * np.float32(peak / (float(raw.max()) or 1.0)), rng)
    return SimulatedPair("volume", image, truth, truth)


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
        brightest = float(scene.image.max()) or 1.0
        return scene.image / np.float32(BRIGHTEST_FRACTION * brightest) - 1, scene.target * 2 - 1
    image = _rescaled(scene.image, scene.image, scene.task)
    if intensities == "shared":
        # Nothing is clipped: structure that is sharper is brighter than the image's brightest.
        return image, _rescaled(scene.target, scene.image, scene.task)
    target = _rescaled(scene.target, scene.reference, scene.task)
    return (np.clip(image, 0, 1), np.clip(target, 0, 1)) if rule.clip else (image, target)

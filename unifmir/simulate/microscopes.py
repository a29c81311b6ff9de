"""Simulated microscopes, one a task: what each records, and what a better one would have.

The truth is the light that a reference instrument expects, in the recorded image's photons per
pixel. Both see the same emission, uneven staining, illumination and bleaching included, the same
even background and the same camera's offset. The truth lacks noise, and the out-of-focus light
that the reference instrument rejects; it saturates where the recorded image does. So the recorded
image without its noise and haze, averaged to the resolution of both, is the truth: a line of
slope 1.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64

from unifmir.simulate import lightfield
from unifmir.simulate.camera import drawn_camera
from unifmir.simulate.densities import Field, Grid, height_map, smoothed
from unifmir.simulate.optics import Optics, blur, blurs, gaussian_kernel, psf
from unifmir.simulate.scene_ranges import WAVELENGTHS_UM, draw, happens
from unifmir.simulate.scenes import SimulatedPair
from unifmir.simulate.specimen import drawn_specimen, haze
from unifmir.simulate.structures import density_of
from unifmir.tasks import TASKS
from unifmir.tasks.base import Lens
from unifmir.tasks.projection import PROJECTION
from unifmir.tasks.volume import VOLUME

SR_SCALE = 2
STACK_PLANES = 10
AXIAL_STEP = 4
"""Restored planes for each recorded one, for isotropic reconstruction."""
SURFACE_PLANES = PROJECTION.simulation.planes
VOLUME_PLANES = VOLUME.simulation.result_planes
OFFSET = 100.0
"""Offset of the cameras, photoelectrons."""


def _drawn_lens(rng: np.random.Generator, task: str) -> tuple[Lens, float]:
    """A lens of the task and a wavelength in um."""
    lenses = TASKS[task].simulation.lenses
    return lenses[int(rng.integers(len(lenses)))], float(rng.choice(WAVELENGTHS_UM))


@lru_cache(maxsize=128)
def _kernel(
    lens: Lens, wavelength_um: float, pixel_um: float, planes: int, size: int
) -> Float32[np.ndarray, "z y x"]:
    return psf(_optics(lens, wavelength_um, pixel_um), planes=planes, size=size)


def _optics(lens: Lens, wavelength_um: float, pixel_um: float) -> Optics:
    return Optics(
        numerical_aperture=lens.numerical_aperture,
        wavelength_um=wavelength_um,
        refractive_index=lens.refractive_index,
        pixel_um=pixel_um,
        z_step_um=lens.z_step_um or pixel_um,
        confocal=lens.confocal,
    )


def _peak(light: Field) -> float:
    """Light of the brightest structures, not of the single brightest pixel."""
    high, most = float(np.percentile(light, 99.8)), float(light.max())
    return max(high, 0.2 * most, 1e-9)


def _recorded(
    rng: np.random.Generator,
    kind: str,
    task: str,
    lens: Lens,
    light: Field,
    truth: Field,
    stray: Field | float = 0.0,
) -> SimulatedPair:
    """Photons of a scene, and one exposure of them.

    `light` and `truth` have one unit, before any background; `stray` is what the recorded image
    has besides, in that unit.
    """
    photons = draw(rng, f"photons, {task}")
    gain = np.float32(photons / _peak(truth))
    background = np.float32(draw(rng, "background") * photons)
    camera = drawn_camera(rng, photons, offset=OFFSET)
    well = np.float32(camera.full_well)
    expected = (light + stray) * gain + background
    image = camera.expose(expected, rng)
    offset = np.float32(camera.offset)
    target = np.minimum(truth * gain + background, well) + offset
    recorded = np.minimum(expected, well) + offset
    # Percentiles of a plane are not those of the stack that it comes from.
    reference = target if target.ndim == recorded.ndim else recorded
    return SimulatedPair(task, image, target, reference, recorded, kind, lens)


def widefield(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Record a plane in widefield; the truth has twice its resolution and sampling."""
    lens, wavelength = _drawn_lens(rng, "sr")
    margin = 16
    fine = SR_SCALE * size + 2 * margin
    grid = Grid((fine, fine))
    specimen = drawn_specimen(rng, "sr", grid)
    pixel = lens.pixel_um / SR_SCALE
    fwhm = _optics(lens, wavelength, pixel).lateral_fwhm_um
    sigma = fwhm / 2 / 2.355 / pixel
    kernel = _kernel(lens, wavelength, pixel, 1, 61)[0]
    light, truth = blurs(specimen.density, (kernel, gaussian_kernel((sigma, sigma))))
    cut = slice(margin, fine - margin)
    truth, light = truth[cut, cut], binned(light[cut, cut])
    stray: Field | float = 0.0
    if happens(rng, "haze"):
        stray = binned(haze(rng, specimen.density, grid)[cut, cut])
    return _recorded(rng, specimen.kind, "sr", lens, light, truth, stray)


def binned(image: Field) -> Field:
    """Mean of each pixel of the recorded image, which is `SR_SCALE` of the truth wide."""
    rows, columns = image.shape[0] // SR_SCALE, image.shape[1] // SR_SCALE
    result: np.ndarray = image.reshape(rows, SR_SCALE, columns, SR_SCALE).mean(axis=(1, 3))
    return result


def stack(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Record a stack at few photons; the truth is what the same microscope expects."""
    lens, wavelength = _drawn_lens(rng, "denoise")
    grid = Grid((STACK_PLANES, size, size), lens.z_step_um / lens.pixel_um)
    specimen = drawn_specimen(rng, "denoise", grid)
    clean = blur(specimen.density, _kernel(lens, wavelength, lens.pixel_um, 9, 25))
    if not lens.confocal and happens(rng, "haze"):
        # The same microscope records both, and rejects nothing.
        clean = clean + haze(rng, specimen.density, grid)
    return _recorded(rng, specimen.kind, "denoise", lens, clean, clean)


def light_sheet(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Record coarse planes, interpolated; the truth is as sharp along z as laterally."""
    lens, wavelength = _drawn_lens(rng, "isotropic")
    grid = Grid((size, size, size))
    specimen = drawn_specimen(rng, "isotropic", grid)
    planes = 31
    depth = np.arange(planes) - planes // 2
    sheet = np.exp(-0.5 * (depth / (draw(rng, "sheet width") / 2.355)) ** 2)[:, None, None]
    kernel = _kernel(lens, wavelength, lens.pixel_um, planes, 25) * sheet
    sigma = _optics(lens, wavelength, lens.pixel_um).lateral_fwhm_um / 2.355 / lens.pixel_um
    light, truth = blurs(
        specimen.density, (kernel / kernel.sum(), gaussian_kernel((sigma, sigma, sigma)))
    )
    first = AXIAL_STEP // 2
    coarse = slice(first, None, AXIAL_STEP)
    stray = haze(rng, specimen.density, grid)[coarse] if happens(rng, "haze") else 0.0
    scene = _recorded(rng, specimen.kind, "isotropic", lens, light[coarse], truth, stray)
    where = (np.arange(size) - first) / AXIAL_STEP
    image, expected = (interpolated(part, where) for part in (scene.image, scene.expected))
    return replace(scene, image=image, expected=expected)


def interpolated(
    coarse: Float32[np.ndarray, "z y x"], where: Float64[np.ndarray, " planes"]
) -> Float32[np.ndarray, "planes y x"]:
    """Planes of a stack at fractional positions, linearly interpolated, in the stack's units."""
    where = np.clip(where, 0, len(coarse) - 1)
    low = np.minimum(where.astype(int), len(coarse) - 2)
    part = (where - low).astype(np.float32)[:, None, None]
    result: np.ndarray = coarse[low] * (1 - part) + coarse[low + 1] * part
    return result


def surface(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Record a curved surface with tissue under it; the truth is the surface laid flat.

    It has the photons of a plane that is focused on the surface.
    """
    lens, wavelength = _drawn_lens(rng, "projection")
    shape = (SURFACE_PLANES, size, size)
    specimen = drawn_specimen(rng, "projection", Grid((size, size)))
    height = height_map(rng, (size, size), low=6, high=SURFACE_PLANES - 7)
    density = laid_on(height, specimen.density, SURFACE_PLANES)
    # Nuclei, spots and diffuse light below, brighter than the surface in places, of no interest.
    grid = Grid(shape, lens.z_step_um / lens.pixel_um)
    below = density_of(rng, str(rng.choice(BELOW_THE_SURFACE)), grid)
    planes = np.arange(SURFACE_PLANES, dtype=np.float32)[:, None, None]
    side = np.float32(rng.choice([-1.0, 1.0]))
    inside = np.clip((planes - height) * side - np.float32(rng.uniform(4, 6)), 0, 1)
    below = np.float32(draw(rng, "below the surface")) * np.minimum(below, 2) * inside
    kernel = _kernel(lens, wavelength, lens.pixel_um, 9, 25)
    # A body is many planes deep, and all of them are seen in each: in units of a single plane's.
    depth = float(kernel.sum() / kernel[kernel.shape[0] // 2].sum())
    clean = blur(density + below / np.float32(depth), kernel)
    truth = blur(specimen.density, kernel[kernel.shape[0] // 2])
    return _recorded(rng, specimen.kind, "projection", lens, clean, truth)


BELOW_THE_SURFACE = ("nuclei", "smooth nuclei", "spots", "diffuse", "walls")
"""Structures of the tissue under a surface."""


def laid_on(
    height: Float32[np.ndarray, "y x"], pattern: Float32[np.ndarray, "y x"], planes: int
) -> Field:
    """A plane bent onto a surface, each pixel shared by the two planes its height lies between.

    Heights are in planes; the light keeps its units.
    """
    distance = np.abs(np.arange(planes, dtype=np.float32)[:, None, None] - height)
    result: np.ndarray = np.clip(1 - distance, 0, None) * pattern
    return result


def light_field(rng: np.random.Generator, size: int) -> SimulatedPair:
    """Record a light field of a sparse volume; the truth is the emitted density, up to 1."""
    lens = lightfield.VIEWS_PER_SIDE
    margin = 2
    side = (size + 2 * margin) * lens
    specimen = drawn_specimen(rng, "volume", Grid((VOLUME_PLANES, side, side)), clear=True)
    density = smoothed(specimen.density, (0.8, 1.2, 1.2))
    density = np.minimum(density / max(float(np.quantile(density, 0.9995)), 1e-6), 1)
    views = lightfield.project_views(density, aperture_sigma=draw(rng, "view blur"))
    inner = slice(margin, size + margin)
    cut = slice(margin * lens, (size + margin) * lens)
    truth = np.ascontiguousarray(density[:, cut, cut])
    raw = lightfield.interleave(views[:, :, inner, inner])
    brightest = float(raw.max()) or 1.0
    photons = draw(rng, "photons, volume")
    gain = np.float32(photons / brightest)
    expected = (raw + np.float32(draw(rng, "background") / 10 * brightest)) * gain
    # A light field is divided by its brightest pixel, so its dark frame is taken off first, and
    # its hot pixels with it.
    camera = replace(drawn_camera(rng, photons, offset=0.0), hot_pixels=0, full_well=np.inf)
    image = camera.expose(expected, rng)
    return SimulatedPair("volume", image, truth, truth, expected, specimen.kind)

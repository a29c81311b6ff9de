"""Specimens before a lens: structures together, diffuse light, staining, illumination."""

from dataclasses import dataclass

import numpy as np

from unifmir.simulate.densities import Density, Field, Grid, smooth_noise, smoothed, texture
from unifmir.simulate.scene_ranges import draw, happens
from unifmir.simulate.structures import density_of, drawn_kind, kinds_of


@dataclass(frozen=True, slots=True)
class Specimen:
    """Light that a scene emits."""

    kind: str
    """Name of its first structure in `STRUCTURES`."""
    density: Density
    """Emission of each pixel, about 1 at the brightest of the structures."""


def drawn_specimen(
    rng: np.random.Generator, task: str, grid: Grid, *, clear: bool = False
) -> Specimen:
    """Draw a structure, maybe a second one, diffuse light, uneven staining and illumination.

    `clear`: nothing lies between the structures, and all of them are lit alike.
    """
    kind = drawn_kind(rng, task)
    density = density_of(rng, kind, grid)
    if happens(rng, "second structure"):
        second = density_of(rng, str(rng.choice(kinds_of(task))), grid)
        density = density + np.float32(draw(rng, "second structure")) * np.minimum(second, 2)
    if happens(rng, "staining"):
        scale = draw(rng, "smooth scale") + 10
        stained = smooth_noise(rng, grid.shape, tuple(scale / step for step in grid.steps))
        density = density * np.exp(np.float32(draw(rng, "staining")) * stained)
    if clear:
        return Specimen(kind, density.astype(np.float32))
    if happens(rng, "diffuse"):
        cloud = texture(rng, grid, draw(rng, "smooth scale"))
        cloud = np.clip(cloud + np.float32(rng.uniform(-1, 2.5)), 0, None)
        density = density + np.float32(draw(rng, "diffuse") / 2) * cloud
    if happens(rng, "illumination"):
        density = density * _illumination(rng, grid)
    if grid.axes == 3 and happens(rng, "bleaching"):
        lost = np.linspace(0, draw(rng, "bleaching"), grid.shape[0], dtype=np.float32)
        density = density * np.exp(-lost)[:: rng.choice([-1, 1]), None, None]
    return Specimen(kind, density.astype(np.float32))


def _illumination(rng: np.random.Generator, grid: Grid) -> Field:
    """Gaussian fall-off of the light that excites, from a centre near that of the image."""
    width = draw(rng, "illumination width") * max(grid.extent[-2:])
    lines = [
        np.exp(-0.5 * ((np.arange(n) - n * rng.uniform(0.2, 0.8)) / width) ** 2)
        for n in grid.shape[-2:]
    ]
    result: np.ndarray = (lines[0][:, None] * lines[1][None, :]).astype(np.float32)
    return result


def haze(rng: np.random.Generator, density: Density, grid: Grid) -> Field:
    """Light of other planes, far out of focus: no structure of this one, and of its brightness.

    That of an image of a thick specimen is the specimen mirrored and widely blurred; its mean is
    drawn against the mean of the light in focus.
    """
    sigma = draw(rng, "haze sigma")
    other = density[..., ::-1, :] if rng.random() < 0.5 else density
    spread = smoothed(other, tuple(sigma / step for step in grid.steps))
    result: np.ndarray = np.float32(draw(rng, "haze")) * spread
    return result

"""Bodies with an inside: nuclei, cells, vesicles, bacteria, shells; and points."""

import numpy as np
from jaxtyping import Float64

from unifmir.simulate.densities import (
    Density,
    Grid,
    bodies,
    deposit,
    edge,
    places,
    smooth_noise,
    smoothed,
    texture,
)
from unifmir.simulate.scene_ranges import draw


def spread_evenly(density: Density, grid: Grid, sigma: float) -> Density:
    """Gaussian blur, the same along all axes in space."""
    return smoothed(density, tuple(sigma / step for step in grid.steps))


def bright_points(rng: np.random.Generator, grid: Grid, per_area: float) -> Density:
    """Points of very different brightness, blurred to the size of a spot, the brightest about 1."""
    # Per area of a section that is as thick as its spots are long.
    area = float(np.prod(grid.extent[-2:])) * (grid.extent[0] / 10 if grid.axes == 3 else 1)
    count = int(np.clip(rng.poisson(per_area * area), 2, 4000))
    points = places(rng, grid, count) / grid.steps
    weights = np.exp(rng.uniform(np.log(0.05), 0, count))
    sigma = draw(rng, "spot sigma")
    spots = deposit(points, weights, grid.shape)
    return spread_evenly(spots, grid, sigma) if sigma > 0.4 else spots


MOST_RADIUS = 0.6
"""Largest radius of bodies against the shortest side: larger ones fill the image."""


def limited_radius(rng: np.random.Generator, grid: Grid, name: str) -> float:
    """A size from a range, no larger than the grid can show.

    Planes further apart than pixels are a section of something larger.
    """
    sides = grid.extent if grid.z_step == 1 else grid.extent[-2:]
    return min(draw(rng, name), MOST_RADIUS * float(min(sides)))


def brightnesses(rng: np.random.Generator, count: int, name: str) -> Float64[np.ndarray, " n"]:
    """Values of a range, one a body."""
    return np.array([draw(rng, name) for _ in range(count)])


def filled_bodies(
    rng: np.random.Generator, grid: Grid, radius: float, *, softness: float, dome: float
) -> Density:
    """Ellipsoids, each evenly bright, or brighter in the middle by `dome`; overlaps: the brighter.

    Brightnesses differ by up to ten times beside each other.
    """
    count = grid.count(draw(rng, "coverage"), radius)
    radii = radius * np.exp(0.25 * rng.standard_normal((count, grid.axes)))
    centres = places(rng, grid, count, margin=0.5 * radius)
    brightness = brightnesses(rng, count, "nucleus brightness")
    density = np.zeros(grid.shape, dtype=np.float32)
    for number, box, relative in bodies(rng, grid, centres=centres, radii=radii, spread=0.3):
        inside = edge(relative, radius, softness)
        if dome:
            inside = inside * (1 - dome + dome * np.sqrt(np.clip(1 - relative**2, 0, 1)))
        density[box] = np.maximum(density[box], np.float32(brightness[number]) * inside)
    return density


def nuclei(rng: np.random.Generator, grid: Grid) -> Density:
    """Nuclei with chromatin, of many sizes and brightnesses beside each other."""
    radius = limited_radius(rng, grid, "nucleus radius")
    density = filled_bodies(rng, grid, radius, softness=1.0, dome=rng.uniform(0, 0.6))
    chromatin = texture(rng, grid, max(0.7, radius * draw(rng, "chromatin scale")), octaves=2)
    return density * np.clip(1 + draw(rng, "chromatin") * chromatin, 0.05, None)


def smooth_nuclei(rng: np.random.Generator, grid: Grid) -> Density:
    """Nuclei without a texture, with soft borders."""
    radius = limited_radius(rng, grid, "nucleus radius")
    softness = min(draw(rng, "nucleus softness"), radius)
    density = filled_bodies(rng, grid, radius, softness=softness, dome=rng.uniform(0, 1))
    slow = smooth_noise(rng, grid.shape, tuple(max(2.0, radius) / step for step in grid.steps))
    return density * np.exp(np.float32(rng.uniform(0, 0.25)) * slow)


def nuclei_with_foci(rng: np.random.Generator, grid: Grid) -> Density:
    """Diffuse nucleoplasm with spots in it, some darker nucleoli, and spots outside."""
    radius = max(6.0, limited_radius(rng, grid, "nucleus radius"))
    density = filled_bodies(
        rng, grid, radius, softness=min(3.0, radius / 3), dome=rng.uniform(0, 0.5)
    )
    if rng.random() < 0.4:
        holes = filled_bodies(rng, grid, max(1.5, radius / 5), softness=2.0, dome=0.0)
        density = density * (1 - rng.uniform(0.2, 0.7) * np.minimum(holes / 0.5, 1))
    grain = texture(rng, grid, max(1.0, radius / 8), octaves=2)
    density = density * np.clip(1 + rng.uniform(0, 0.12) * grain, 0, None)
    foci = bright_points(rng, grid, draw(rng, "spot density") * 2)
    outside = rng.uniform(0, 0.3)
    foci = foci * np.clip(density * 2 + outside, 0, 1)
    scale = 1 / max(float(foci.max()), 1e-6)
    return rng.uniform(0.1, 0.8) * density + np.float32(scale) * foci


def cytoplasm(rng: np.random.Generator, grid: Grid) -> Density:
    """Cells with diffuse, grainy cytoplasm around a nucleus that is darker or brighter."""
    radius = limited_radius(rng, grid, "cell radius")
    count = grid.count(rng.uniform(0.2, 0.9), radius)
    centres = places(rng, grid, count, margin=0.3 * radius)
    radii = radius * np.exp(0.3 * rng.standard_normal((count, grid.axes)))
    brightness = brightnesses(rng, count, "nucleus brightness")
    bumps = smooth_noise(rng, grid.shape, tuple(max(1.5, radius / 3) / s for s in grid.steps))
    density = np.zeros(grid.shape, dtype=np.float32)
    ratio, dark = rng.uniform(0.25, 0.5), rng.choice([0.15, 0.5, 1.0, 1.6])
    softness = rng.uniform(1, radius / 2)
    for number, box, relative in bodies(rng, grid, centres=centres, radii=radii, spread=0.6):
        outline = relative + np.float32(0.15) * bumps[box]
        body = edge(outline, radius, softness)
        nucleus = edge(relative / np.float32(ratio), ratio * radius, 2.0)
        body = body * (1 + (np.float32(dark) - 1) * nucleus) * np.exp(-np.clip(relative, 0, 2))
        density[box] = np.maximum(density[box], np.float32(brightness[number]) * body)
    grain = texture(rng, grid, draw(rng, "smooth scale") / 4 + 1)
    return density * np.clip(1 + rng.uniform(0, 0.4) * grain, 0.05, None)


def vesicles(rng: np.random.Generator, grid: Grid) -> Density:
    """Rings and shells: vesicles, coated pits, endosomes, whole or collapsed to spots."""
    radius = draw(rng, "ring radius")
    count = grid.count(rng.uniform(0.02, 0.3), radius * 1.2, most=300)
    radii = np.repeat(radius * rng.uniform(0.5, 1.5, (count, 1)), grid.axes, axis=1)
    radii = radii * rng.uniform(0.85, 1.15, radii.shape)
    wall = max(0.8, radius * rng.uniform(0.1, 0.4))
    brightness = brightnesses(rng, count, "spot brightness")
    filled = rng.uniform(0, 0.5)
    density = np.zeros(grid.shape, dtype=np.float32)
    centres = places(rng, grid, count, margin=radius)
    for number, box, relative in bodies(rng, grid, centres=centres, radii=radii, spread=1.0):
        shell = np.exp(-(((relative - 1) * np.float32(radii[number].mean() / wall)) ** 2))
        shell = np.maximum(shell, filled * (relative < 1))
        density[box] += np.float32(brightness[number]) * shell
    return density


def bacteria(rng: np.random.Generator, grid: Grid) -> Density:
    """Rods, filled or outlined, alone or in heaps."""
    radius = draw(rng, "bacterium radius")
    ratio = rng.uniform(1.5, 5)
    count = grid.count(rng.uniform(0.05, 0.5), radius * float(np.sqrt(ratio)), most=250)
    radii = radius * rng.uniform(0.85, 1.15, (count, grid.axes))
    radii[:, -1] *= ratio * rng.uniform(0.6, 1.2, count)
    brightness = brightnesses(rng, count, "nucleus brightness")
    outlined = rng.random() < 0.35
    density = np.zeros(grid.shape, dtype=np.float32)
    centres = places(rng, grid, count, margin=radius)
    if rng.random() < 0.5:
        heaps = places(rng, grid, max(1, count // 20))
        near = heaps[rng.integers(len(heaps), size=count)]
        centres = near + (centres - near) * rng.uniform(0.1, 0.5)
    for number, box, relative in bodies(rng, grid, centres=centres, radii=radii, spread=0.4):
        # Raised to a power, an ellipse gets the blunt ends of a rod.
        blunt = relative ** np.float32(1.6)
        if outlined:
            rod = np.exp(-(((relative - 1) * np.float32(radius / 1.2)) ** 2))
        else:
            rod = edge(blunt, radius, 1.5)
        density[box] = np.maximum(density[box], np.float32(brightness[number]) * rod)
    return density


def regions(rng: np.random.Generator, grid: Grid) -> Density:
    """Opaque bodies of all sizes, the nearer over the farther: smooth areas with sharp borders."""
    least, most = 2.0, 0.5 * min(grid.shape[-2:])
    count = 220 if grid.axes == 2 else 120
    # Sizes with a density of r^-3: as many bodies at each scale as fill the same area.
    radii = 1 / np.sqrt(rng.uniform(1 / most**2, 1 / (2 * least) ** 2, count))
    axes = radii[:, None] * rng.uniform(0.6, 1.4, (count, grid.axes))
    brightness = brightnesses(rng, count, "nucleus brightness")
    brightness[rng.random(count) < 0.3] = 0
    density = np.full(grid.shape, rng.uniform(0, 0.3), dtype=np.float32)
    slow = smooth_noise(rng, grid.shape, tuple(most / 2 / grid.steps))
    centres = places(rng, grid, count, margin=0.2 * most)
    for number, box, relative in bodies(rng, grid, centres=centres, radii=axes, spread=0.2):
        inside = edge(relative, radii[number], 1.0)
        density[box] += inside * (np.float32(brightness[number]) - density[box])
    return density * np.exp(np.float32(rng.uniform(0, 0.4)) * slow)


def walls(rng: np.random.Generator, grid: Grid) -> Density:
    """Curved walls with spines and thin insides, as of pollen."""
    radius = limited_radius(rng, grid, "wall radius")
    count = grid.count(rng.uniform(0.1, 0.5), radius, most=40)
    radii = radius * rng.uniform(0.6, 1.3, (count, grid.axes))
    bumps = smooth_noise(rng, grid.shape, tuple(np.maximum(1.5, radius / 8) / grid.steps))
    thick = rng.uniform(0.8, max(1.5, radius / 8))
    inside, spines = rng.uniform(0, 0.3), rng.uniform(0, 0.12)
    brightness = brightnesses(rng, count, "nucleus brightness")
    density = np.zeros(grid.shape, dtype=np.float32)
    centres = places(rng, grid, count, margin=0.5 * radius)
    for number, box, relative in bodies(rng, grid, centres=centres, radii=radii, spread=0.5):
        bent = relative + np.float32(spines) * bumps[box]
        wall = np.exp(-(((bent - 1) * np.float32(radius / thick)) ** 2))
        wall = wall + inside * edge(bent, radius, 2.0)
        density[box] = np.maximum(density[box], np.float32(brightness[number]) * wall)
    return density

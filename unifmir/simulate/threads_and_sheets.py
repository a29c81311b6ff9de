"""Threads, tubes and sheets: filaments, reticulum, mitochondria, tissue; and diffuse light."""

import numpy as np

from unifmir.simulate.bodies_and_points import (
    bright_points,
    filled_bodies,
    limited_radius,
    spread_evenly,
)
from unifmir.simulate.densities import (
    LEAST_WALL_PX,
    Density,
    Grid,
    cells,
    curves,
    directions,
    places,
    smooth_noise,
    texture,
)
from unifmir.simulate.scene_ranges import draw


def filaments(
    rng: np.random.Generator, grid: Grid, *, length: float, bending: float, aligned: bool
) -> Density:
    """Filaments that start anywhere, or in one organising centre, or run alongside each other."""
    area = float(np.prod(grid.extent[-2:])) * (grid.extent[0] / 12 if grid.axes == 3 else 1)
    total = draw(rng, "filament density") * area
    count = int(np.clip(total / min(length, max(grid.extent)), 4, 300))
    headings = directions(rng, grid, count)
    starts = places(rng, grid, count, margin=0.2 * min(grid.extent[-2:]))
    if aligned:
        headings = directions(rng, grid, 1) + rng.uniform(0.05, 0.4) * headings
    elif rng.random() < 0.3:
        centre = places(rng, grid, 1, margin=0.1 * min(grid.extent[-2:]))
        starts = centre + headings * rng.uniform(2, 12)
    lengths = np.minimum(length * rng.uniform(0.4, 1.3, count), 2 * max(grid.extent))
    brightness = rng.uniform(0.4, 1.0, count)
    return curves(
        rng,
        grid,
        starts=starts,
        headings=headings,
        lengths=lengths,
        bending=bending,
        brightness=brightness,
    )


def microtubules(rng: np.random.Generator, grid: Grid) -> Density:
    """Long filaments, dense and crossing, in a cell with an edge or without, and loose spots."""
    length = rng.uniform(0.5, 2.0) * max(grid.extent)
    bending = draw(rng, "filament bending")
    density = filaments(rng, grid, length=length, bending=bending, aligned=rng.random() < 0.3)
    if rng.random() < 0.4:
        cell = smooth_noise(rng, grid.shape, tuple(min(grid.extent[-2:]) / 3 / grid.steps))
        inside = np.clip((cell + rng.uniform(0, 1.2)) * 8, 0, 1)
        loose = bright_points(rng, grid, draw(rng, "spot density"))
        density = density * inside + rng.uniform(0, 0.5) * loose * (1 - inside)
        # Tubulin that is in no filament, and filaments out of reach.
        density = density + rng.uniform(0, 0.08) * inside
    return density


def actin(rng: np.random.Generator, grid: Grid) -> Density:
    """A mesh of short filaments, and bundles across it."""
    mesh = filaments(
        rng, grid, length=rng.uniform(10, 60), bending=draw(rng, "filament bending"), aligned=False
    )
    bundles = filaments(
        rng, grid, length=1.5 * max(grid.extent), bending=0.004, aligned=rng.random() < 0.7
    )
    bundles = spread_evenly(bundles, grid, draw(rng, "bundle sigma"))
    share = rng.uniform(0, 1)
    bright = max(float(bundles.max()), 1e-6)
    return (1 - share) * mesh / max(float(mesh.max()), 1e-6) + share * bundles / bright


def wall_width(rng: np.random.Generator, grid: Grid) -> float:
    """Half thickness of the walls between cells."""
    width = draw(rng, "membrane width")
    return width if grid.axes == 2 else max(width, LEAST_WALL_PX)


def reticulum(rng: np.random.Generator, grid: Grid) -> Density:
    """Endoplasmic reticulum: tubules that meet in threes, and sheets between some of them."""
    distance, numbers = cells(rng, grid, draw(rng, "mesh size"))
    width = wall_width(rng, grid)
    tubules = np.exp(-((distance / width) ** 2))
    sheets = (numbers < rng.uniform(0, 0.5)).astype(np.float32) * rng.uniform(0.3, 0.9)
    grain = texture(rng, grid, rng.uniform(2, 8), octaves=2)
    density = np.maximum(tubules, sheets * np.clip(1 + 0.3 * grain, 0, None))
    varied = np.clip(1 + 0.4 * texture(rng, grid, 20.0), 0.1, None)
    result: np.ndarray = (density * varied).astype(np.float32)
    return result


def mitochondria(rng: np.random.Generator, grid: Grid) -> Density:
    """Short thick tubes, full or with dark insides, each of another brightness."""
    radius = draw(rng, "tube radius")
    length = radius * rng.uniform(3, 14)
    count = 2 + grid.count(rng.uniform(0.05, 0.4), float(np.sqrt(radius * length)), most=250)
    line = curves(
        rng,
        grid,
        starts=places(rng, grid, count, margin=radius),
        headings=directions(rng, grid, count),
        lengths=length * rng.uniform(0.3, 1.3, count),
        bending=rng.uniform(0.02, 0.15),
        brightness=rng.uniform(0.3, 1.0, count),
    )
    inner = spread_evenly(line, grid, radius * 0.6)
    # Clipped far below its crest, a blurred line is a tube with a flat top and steep sides.
    tube = np.minimum(inner / (0.3 / (radius if grid.axes == 2 else radius**2)), 1)
    if rng.random() < 0.35:
        core = np.minimum(spread_evenly(line, grid, radius * 0.3) * radius, 1)
        tube = np.clip(tube - rng.uniform(0.3, 0.8) * core, 0, None)
    cristae = texture(rng, grid, max(1.0, radius / 2), octaves=1)
    varied = smooth_noise(rng, grid.shape, tuple(length / step for step in grid.steps))
    contrast = rng.uniform(0, 0.3)
    return tube * np.clip(1 + contrast * cristae, 0.1, None) * np.exp(np.float32(0.4) * varied)


def fibres(rng: np.random.Generator, grid: Grid) -> Density:
    """Wide smooth fibres, striated or not: muscle, gut, stems of plants."""
    radius = min(limited_radius(rng, grid, "fibre radius"), 0.3 * min(grid.shape[-2:]))
    count = max(2, round(rng.uniform(0.2, 0.8) * min(grid.extent[-2:]) / radius / 2))
    line = curves(
        rng,
        grid,
        starts=places(rng, grid, count),
        headings=directions(rng, grid, count),
        lengths=np.full(count, 1.5 * max(grid.extent)),
        bending=rng.uniform(0.001, 0.01),
        brightness=rng.uniform(0.5, 1.0, count),
    )
    crest = spread_evenly(line, grid, radius * 0.5)
    density = np.minimum(crest / (0.35 * max(float(crest.max()), 1e-9)), 1)
    fine = smooth_noise(rng, grid.shape, tuple(rng.uniform(1, 6, grid.axes) / grid.steps))
    return density * np.clip(1 + rng.uniform(0, 0.35) * fine, 0.05, None)


def neurites(rng: np.random.Generator, grid: Grid) -> Density:
    """Thin, winding processes, some thicker, with cell bodies they may start from."""
    radius = min(draw(rng, "tube radius"), 3.0)
    thin = filaments(
        rng, grid, length=rng.uniform(40, 150), bending=draw(rng, "filament bending"), aligned=False
    )
    thin = spread_evenly(thin, grid, radius * 0.6)
    density = thin / max(float(thin.max()), 1e-9)
    if rng.random() < 0.5:
        somata = filled_bodies(rng, grid, rng.uniform(5, 12), softness=2.0, dome=0.5)
        density = np.maximum(density, somata * (somata > 0.3))
    return density


def spots(rng: np.random.Generator, grid: Grid) -> Density:
    """Spots on a hazy, structured background, as of in-situ hybridisation and telomeres."""
    found = bright_points(rng, grid, draw(rng, "spot density"))
    found = found / max(float(found.max()), 1e-6)
    background = np.clip(texture(rng, grid, draw(rng, "smooth scale")) + rng.uniform(0, 3), 0, None)
    return found + np.float32(draw(rng, "diffuse") * 0.5) * background


def tissue(rng: np.random.Generator, grid: Grid) -> Density:
    """Packed cells: membranes, cell bodies of differing brightness, nuclei."""
    size = draw(rng, "tissue cell")
    distance, numbers = cells(rng, grid, size)
    membranes = np.exp(-((distance / wall_width(rng, grid)) ** 2))
    varied = np.clip(1 + 0.3 * smooth_noise(rng, grid.shape, tuple(size / grid.steps)), 0.2, None)
    density = rng.uniform(0.1, 1) * membranes * varied
    density = density + rng.uniform(0, 0.4) * numbers.astype(np.float32) ** 2
    if rng.random() < 0.6:
        core = np.clip((distance - 0.2 * size) / 1.5, 0, 1)
        grain = np.clip(1 + 0.25 * texture(rng, grid, max(1.0, size / 10), octaves=2), 0, None)
        stained = (np.modf(numbers * 97)[0] < rng.uniform(0.2, 1)).astype(np.float32)
        density = density + rng.uniform(0.1, 1) * core * grain * stained
    result: np.ndarray = density.astype(np.float32)
    return result


def diffuse(rng: np.random.Generator, grid: Grid) -> Density:
    """Diffuse light of all scales, without a border anywhere."""
    slow = texture(rng, grid, draw(rng, "smooth scale"), octaves=int(rng.integers(1, 5)))
    return np.exp(np.float32(rng.uniform(0.2, 1.2)) * slow)


def empty(rng: np.random.Generator, grid: Grid) -> Density:
    """Background almost alone: a faint gradient, and a few faint spots."""
    slow = smooth_noise(rng, grid.shape, tuple(max(grid.extent) / 3 / grid.steps))
    few = bright_points(rng, grid, 1e-4)
    few = few / max(float(few.max()), 1e-6)
    return np.clip(1 + 0.1 * slow, 0, None) + np.float32(rng.uniform(0.2, 2)) * few

"""Fluorophores: densities of filaments, rings, nuclei, membranes and beads, in 2D and 3D.

Most functions take a generator and the shape of the density in pixels. Lengths are in pixels.
"""

from itertools import product

import numpy as np
import scipy.ndimage
from jaxtyping import Float32, Float64
from scipy.spatial import cKDTree

Density = Float32[np.ndarray, "..."]
"""Fluorophores per pixel of the shape that was asked for: >= 0, about 1 at the brightest."""


def deposit(
    points: Float64[np.ndarray, "n axes"],
    weights: Float64[np.ndarray, " n"],
    shape: tuple[int, ...],
) -> Density:
    """Spread weighted points, in pixels, linearly on the pixels around each; their units stay."""
    density = np.zeros(int(np.prod(shape)))
    low = np.floor(points).astype(np.int64)
    part = points - low
    for corner in product((0, 1), repeat=len(shape)):
        index = low + np.array(corner)
        share = np.where(np.array(corner) == 1, part, 1 - part).prod(axis=1)
        inside = ((index >= 0) & (index < np.array(shape))).all(axis=1)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        density += np.bincount(flat, (weights * share)[inside], minlength=density.size)
    return density.reshape(shape).astype(np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float
) -> Float32[np.ndarray, "..."]:
    """Random field, normalised to mean 0 and deviation 1, that varies over `sigma` pixels."""
    # Made coarse and enlarged: filtering at full size costs ten times more at large sigmas.
    step = max(1.0, sigma / 2)
    coarse = tuple(max(4, round(side / step) + 4) for side in shape)
    field = scipy.ndimage.gaussian_filter(rng.standard_normal(coarse), sigma / step)
    where = np.meshgrid(*(np.arange(n) / step + 1 for n in shape), indexing="ij", sparse=False)
    limits = [np.minimum(w, n - 1) for w, n in zip(where, coarse, strict=True)]
    out = scipy.ndimage.map_coordinates(field, limits, order=1)
    result: np.ndarray = ((out - out.mean()) / (out.std() + 1e-12)).astype(np.float32)
    return result


def filaments(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    count: int,
    length: float,
    bending: float = 0.02,
) -> Density:
    """Worm-like chains: microtubules, actin, neurites. `bending`: turn per pixel, radians."""
    step = 0.5
    steps = max(2, int(length / step))
    dimensions = len(shape)
    start = rng.uniform(-0.2, 1.2, (count, 1, dimensions)) * np.array(shape)
    first = rng.standard_normal((count, 1, dimensions))
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    turns = rng.standard_normal((count, steps, dimensions)) * bending * np.sqrt(step)
    heading = first + turns.cumsum(axis=1)
    heading /= np.linalg.norm(heading, axis=-1, keepdims=True)
    points = start + (heading * step).cumsum(axis=1)
    brightness = np.broadcast_to(rng.uniform(0.5, 1.0, (count, 1)) * step, (count, steps))
    return deposit(points.reshape(-1, dimensions), brightness.reshape(-1), shape)


def rings(
    rng: np.random.Generator, shape: tuple[int, int], *, count: int, radius: float
) -> Density:
    """Circles: coated pits and vesicles seen in projection."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack((np.sin(angles), np.cos(angles)), axis=-1)
    radii = radius * rng.uniform(0.6, 1.4, (count, 1, 1))
    centre = rng.uniform(0, 1, (count, 1, 2)) * np.array(shape)
    points = centre + radii * circle * rng.uniform(0.8, 1.2, (count, 1, 2))
    weights = np.broadcast_to(rng.uniform(0.4, 1, (count, 1)) * radii[..., 0] / 10, (count, 64))
    return deposit(points.reshape(-1, 2), weights.reshape(-1), shape)


def beads(rng: np.random.Generator, shape: tuple[int, ...], *, count: int) -> Density:
    """Points of differing brightness: beads, single molecules, puncta."""
    points = rng.uniform(0, 1, (count, len(shape))) * (np.array(shape) - 1)
    return deposit(points, rng.uniform(0.3, 1.0, count), shape)


def nuclei(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    count: int,
    radius: float,
    shell: float = 0.0,
) -> Density:
    """Ellipsoids with a chromatin-like texture, or only their envelopes of width `shell`."""
    density = np.zeros(shape, dtype=np.float32)
    texture = 1 + 0.35 * smooth_noise(rng, shape, max(1.0, radius / 4))
    for _ in range(count):
        centre = rng.uniform(-0.05, 1.05, len(shape)) * np.array(shape)
        axes = radius * rng.uniform(0.65, 1.35, len(shape))
        brightness = rng.uniform(0.4, 1.0)
        reach = np.ceil(axes + 2 + 2 * shell).astype(int)
        low = np.clip(np.floor(centre).astype(int) - reach, 0, shape)
        high = np.clip(np.floor(centre).astype(int) + reach + 1, 0, shape)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[box]
        squares = [((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True)]
        distance = (np.sqrt(sum(squares)) - 1) * axes.mean()
        if shell:
            profile = np.exp(-((distance / shell) ** 2))
        else:
            profile = np.clip(0.5 - distance, 0, 1)
        part = (brightness * profile).astype(np.float32)
        density[box] = np.maximum(density[box], part)
    return density * np.clip(texture, 0.1, None)


def membranes(
    rng: np.random.Generator, shape: tuple[int, ...], *, cell: float, width: float = 1.0
) -> Density:
    """Borders of a packed tissue: where the two nearest of random centres are equally far."""
    margin = cell
    volume = float(np.prod([side + 2 * margin for side in shape]))
    count = max(8, round(volume / cell ** len(shape)))
    centres = rng.uniform(-margin, np.array(shape) + margin, (count, len(shape)))
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    points = grid.reshape(-1, len(shape)).astype(np.float64)
    # Bent a little: the borders of cells are not straight.
    for axis in range(len(shape)):
        points[:, axis] += 0.08 * cell * smooth_noise(rng, shape, cell / 2).ravel()
    near = cKDTree(centres).query(points, k=2)[0]
    profile = np.exp(-(((near[:, 1] - near[:, 0]) / (2 * width)) ** 2)).reshape(shape)
    brightness = np.clip(1 + 0.3 * smooth_noise(rng, shape, cell), 0.2, None)
    result: np.ndarray = (profile * brightness).astype(np.float32)
    return result


def height_map(
    rng: np.random.Generator, shape: tuple[int, int], *, low: float, high: float
) -> Float32[np.ndarray, "y x"]:
    """Heights of a smooth surface, in planes, in the range from `low` to `high`."""
    bumps = smooth_noise(rng, shape, max(shape) / 4)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    tilt = rng.uniform(-1, 1, 2)
    dome = rng.uniform(-1.5, 1.5) * (x**2 + y**2)
    surface = bumps * 0.5 + tilt[0] * y + tilt[1] * x + dome
    surface = (surface - surface.min()) / (np.ptp(surface) + 1e-12)
    span = (high - low) * rng.uniform(0.3, 1.0)
    floor = rng.uniform(low, high - span)
    result: np.ndarray = (floor + span * surface).astype(np.float32)
    return result

"""Building blocks of densities in 2D and 3D: points, curves, random fields, bodies, cells.

Lengths are in lateral pixels. Planes of a stack may lie further apart than pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
import scipy.fft
import scipy.ndimage
from jaxtyping import Float, Float32, Float64
from scipy.spatial import cKDTree

Density = Float32[np.ndarray, "..."]
"""Fluorophores per pixel: >= 0, about 1 at the brightest, unless a function says otherwise."""
Field = Float32[np.ndarray, "..."]
Points = Float64[np.ndarray, "n axes"]

CURVE_STEP = 0.7
"""Distance of the points that a curve is drawn with: below a pixel, so that it has no gaps."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixels that a density is drawn on."""

    shape: tuple[int, ...]
    """(y, x), or (z, y, x)."""
    z_step: float = 1.0
    """Distance of planes in lateral pixels."""

    @property
    def axes(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def steps(self) -> Float64[np.ndarray, " axes"]:
        """Distance of neighbours along each axis, in units of lateral pixels."""
        return np.array((self.z_step, 1.0, 1.0)[-self.axes :])

    @property
    def extent(self) -> Float64[np.ndarray, " axes"]:
        """Sides, in units of lateral pixels."""
        sides: np.ndarray = np.array(self.shape) * self.steps
        return sides

    def count(self, coverage: float, radius: float, *, most: int = 400) -> int:
        """Bodies of a radius whose sections cover a part of the area (2D) or volume (3D)."""
        body = np.pi * radius**2 if self.axes == 2 else 4 / 3 * np.pi * radius**3
        # Centres lie up to a radius outside, so the space to be filled is larger than the grid.
        space = float(np.prod(self.extent + 2 * radius * (self.extent < 4 * radius)))
        return int(np.clip(round(coverage * space / body), 1, most))


def deposit(points: Points, weights: Float64[np.ndarray, " n"], shape: tuple[int, ...]) -> Density:
    """Spread weighted points, in pixels, linearly on the pixels around each; their units stay."""
    low = np.floor(points).astype(np.int64)
    part = points - low
    limits = np.array(shape)
    strides = np.array([int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))])
    places, shares = [], []
    for corner in product((0, 1), repeat=len(shape)):
        index = low + np.array(corner)
        inside = ((index >= 0) & (index < limits)).all(axis=1)
        share = np.where(np.array(corner) == 1, part, 1 - part).prod(axis=1)
        places.append(index[inside] @ strides)
        shares.append((weights * share)[inside])
    density = np.bincount(
        np.concatenate(places), np.concatenate(shares), minlength=int(np.prod(shape))
    )
    return density.reshape(shape).astype(np.float32)


def _along(field: Field, matrix: Float32[np.ndarray, "new old"], axis: int) -> Field:
    """A linear map of one axis."""
    turned = np.moveaxis(field, axis, -1) @ matrix.T
    return np.moveaxis(turned, -1, axis)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float | tuple[float, ...]
) -> Field:
    """Random field, normalised to mean 0 and deviation 1, that varies over `sigma` pixels.

    White noise on a grid of half a sigma, mapped by Gaussian weights one axis after the other:
    the cost hardly grows with sigma.
    """
    sigmas = (sigma,) * len(shape) if isinstance(sigma, float | int) else sigma
    steps = [max(1.0, one / 1.5) for one in sigmas]
    reach = [ceil(3 * one / step) for one, step in zip(sigmas, steps, strict=True)]
    sizes = [
        ceil((n - 1) / step) + 1 + 2 * r for n, step, r in zip(shape, steps, reach, strict=True)
    ]
    field = rng.standard_normal(sizes, dtype=np.float32)
    for axis, (n, one) in enumerate(zip(shape, sigmas, strict=True)):
        knots = (np.arange(sizes[axis]) - reach[axis]) * steps[axis]
        distance = (np.arange(n)[:, None] - knots) / max(one, 0.3)
        field = _along(field, np.exp(-0.5 * distance**2).astype(np.float32), axis)
    # In float64: a field that hardly varies over the grid would lose its mean in float32.
    field = field.astype(np.float64)
    result: np.ndarray = ((field - field.mean()) / (field.std() + 1e-12)).astype(np.float32)
    return result


def texture(rng: np.random.Generator, grid: Grid, sigma: float, *, octaves: int = 3) -> Field:
    """Random field, mean 0 and deviation 1, of scales sigma, sigma / 3 and so on, each fainter."""
    total = np.zeros(grid.shape, dtype=np.float32)
    for octave in range(octaves):
        scale = sigma / 3**octave
        if octave and scale < 0.7:
            break
        sigmas = tuple(max(0.3, scale / step) for step in grid.steps)
        total += smooth_noise(rng, grid.shape, sigmas) * np.float32(0.5**octave)
    result: np.ndarray = total / (float(total.std()) + 1e-6)
    return result


def smoothed(image: Float[np.ndarray, "..."], sigmas: tuple[float, ...]) -> Field:
    """Gaussian blur with mirrored edges, by cosine transforms: no dearer for large sigmas.

    Light is kept. Sigmas of a pixel and less go through sampled weights, so that they stay >= 0.
    """
    values = image.astype(np.float32)
    if max(sigmas) <= 4:
        found: np.ndarray = scipy.ndimage.gaussian_filter(values, sigmas, truncate=3.5)
        return found
    spectrum = scipy.fft.dctn(values)
    for axis, (sigma, n) in enumerate(zip(sigmas, values.shape, strict=True)):
        damping = np.exp(-0.5 * (np.pi * np.arange(n) / n * sigma) ** 2).astype(np.float32)
        spectrum *= damping.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    result: np.ndarray = np.maximum(scipy.fft.idctn(spectrum), 0).astype(np.float32)
    return result


def curves(
    rng: np.random.Generator,
    grid: Grid,
    *,
    starts: Points,
    headings: Points,
    lengths: Float64[np.ndarray, " n"],
    bending: float,
    brightness: Float64[np.ndarray, " n"],
) -> Density:
    """Worm-like chains from given starts and directions: `brightness` per pixel of length.

    Parameters
    ----------
    starts : ndarray, shape (n, axes)
        Lateral pixels.
    headings : ndarray, shape (n, axes)
        Directions; they need no unit length.
    lengths : ndarray, shape (n,)
        Lateral pixels.
    bending : float
        Turn per pixel of length, radians.
    brightness : ndarray, shape (n,)
    """
    steps = max(2, int(float(lengths.max()) / CURVE_STEP))
    first = headings / (np.linalg.norm(headings, axis=-1, keepdims=True) + 1e-9)
    turns = rng.standard_normal((len(starts), steps, grid.axes), dtype=np.float32)
    turned = first[:, None] + (turns * np.float32(bending * np.sqrt(CURVE_STEP))).cumsum(axis=1)
    turned /= np.linalg.norm(turned, axis=-1, keepdims=True) + 1e-9
    points = starts[:, None] + (turned * CURVE_STEP).cumsum(axis=1)
    alive = np.arange(steps) * CURVE_STEP < lengths[:, None]
    weights = np.broadcast_to(brightness[:, None] * CURVE_STEP, alive.shape)[alive]
    return deposit(points[alive] / grid.steps, weights, grid.shape)


def directions(rng: np.random.Generator, grid: Grid, count: int, *, flat: float = 0.3) -> Points:
    """Random directions, those of stacks flattened: cells lie on their support."""
    found = rng.standard_normal((count, grid.axes))
    if grid.axes == 3:
        found[:, 0] *= flat
    units: np.ndarray = found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-9)
    return units


def places(rng: np.random.Generator, grid: Grid, count: int, *, margin: float = 0.0) -> Points:
    """Random points, some up to `margin` pixels outside."""
    return rng.uniform(-margin, grid.extent + margin, (count, grid.axes))


LEAST_WALL_PX = 1.4
"""Half thickness of the thinnest walls of cells in stacks."""

Box = tuple[slice, ...]


def bodies(
    rng: np.random.Generator,
    grid: Grid,
    *,
    centres: Points,
    radii: Points,
    spread: float = 0.0,
) -> Iterator[tuple[int, Box, Field]]:
    """Ellipsoids, turned laterally: for each its number, a box, and relative radii in it.

    Relative radii are 0 in the centre and 1 on the surface; the box reaches to 1 + `spread`.
    Bodies that lie outside of the grid are left out.
    """
    angles = rng.uniform(0, np.pi, len(centres))
    limits = np.array(grid.shape)
    for number, (centre, axes, angle) in enumerate(zip(centres, radii, angles, strict=True)):
        # Plain numbers: NumPy's own would make the fields double.
        depth, height, width = (float(axes[0]), float(axes[-2]), float(axes[-1]))
        half = np.full(grid.axes, max(height, width))
        half[: grid.axes - 2] = axes[: grid.axes - 2]
        half = half * (1 + spread) + 1
        low = np.clip(np.floor((centre - half) / grid.steps).astype(int), 0, limits)
        high = np.clip(np.ceil((centre + half) / grid.steps).astype(int) + 1, 0, limits)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        lines = [
            (np.arange(a, b) * step - c).astype(np.float32)
            for a, b, step, c in zip(low, high, grid.steps, centre, strict=True)
        ]
        y, x = lines[-2][:, None], lines[-1][None, :]
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = (y * cosine + x * sine) / height, (x * cosine - y * sine) / width
        squared = along**2 + across**2
        if grid.axes == 3:
            squared = squared[None] + ((lines[0] / depth) ** 2)[:, None, None]
        yield number, box, np.sqrt(squared)


def edge(relative: Field, radius: float, softness: float) -> Field:
    """Inside of a body: 1 within, 0 outside, a ramp of `softness` pixels (one at least) between."""
    ramp = np.clip((1 - relative) * np.float32(radius / max(softness, 1.0)) + 0.5, 0, 1)
    result: np.ndarray = ramp * ramp * (3 - 2 * ramp)
    return result


def cells(
    rng: np.random.Generator, grid: Grid, size: float
) -> tuple[Field, Float64[np.ndarray, "..."]]:
    """Packed cells of a size in pixels: distance to the nearest border, a random number in each.

    Borders lie where the two nearest of random centres are equally far, and are bent a little.
    In stacks, large cells are computed on every other pixel, and the distance interpolated: walls
    thinner than `LEAST_WALL_PX` would break up into dots there.

    Returns
    -------
    distance : ndarray, shape of the grid, float32
        Pixels, >= 0.
    numbers : ndarray, shape of the grid
        In [0, 1), one a cell.
    """
    margin = size
    count = max(4, round(float(np.prod((grid.extent + 2 * margin) / size))))
    centres = rng.uniform(-margin, grid.extent + margin, (count, grid.axes))
    every = 2 if size >= 10 and grid.axes == 3 else 1
    coarse = tuple(
        ceil((n - 1) / every) + 1 if step < 2 else n
        for n, step in zip(grid.shape, grid.steps, strict=True)
    )
    strides = [every if step < 2 else 1 for step in grid.steps]
    lines = [np.arange(n) * s * d for n, s, d in zip(coarse, strides, grid.steps, strict=True)]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, grid.axes)
    bends = [size / 2 / (s * d) for s, d in zip(strides, grid.steps, strict=True)]
    for axis in range(grid.axes):
        points[:, axis] += 0.08 * size * smooth_noise(rng, coarse, tuple(bends)).ravel()
    near, which = cKDTree(centres).query(points, k=2)
    distance = ((near[:, 1] - near[:, 0]) / 2).astype(np.float32).reshape(coarse)
    numbers = rng.random(count)[which[:, 0]].reshape(coarse)
    for axis, (n, stride) in enumerate(zip(grid.shape, strides, strict=True)):
        if stride > 1:
            distance = _along(distance, _interpolation(n, coarse[axis], stride), axis)
            numbers = np.repeat(numbers, stride, axis=axis).take(range(n), axis=axis)
    return distance, numbers


def _interpolation(new: int, old: int, stride: int) -> Float32[np.ndarray, "new old"]:
    """Weights of linear interpolation between every `stride`-th pixel."""
    distance = np.abs(np.arange(new)[:, None] / stride - np.arange(old))
    weights: np.ndarray = np.clip(1 - distance, 0, None).astype(np.float32)
    return weights


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

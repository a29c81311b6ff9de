"""Halo of a package: how far the network looks, measured on the network itself.

Two things happen at a tile's edge: the image beyond it is missing, and the network's own padding
stands in its place. Both are done to a real image, and the change of the output is recorded
against the distance from the edge. Theory only bounds it: 18 shifted windows of 8 pixels reach
about 112 pixels, of which trained networks use a small part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.export.cases import real_input
from unifmir.export.formats.bioimageio.package_axes import TileRule, tile_rule
from unifmir.export.formats.bioimageio.tensors import RawImage
from unifmir.interfaces import interface_of, shape_of
from unifmir.json_values import JsonOutput

THRESHOLD = 1e-3
"""Fraction of the output's range: the tolerance of the zoo's own test."""
GLOBAL_FACTOR = 2.0
"""Multiple of its floor to which the response must fall: whole-image statistics, where a network
has some, are removed by no halo."""
DEPTH = 16
"""Planes of the stack on which a network with a depth of its own is measured."""
_EDGES = ((-2, True), (-1, False))
"""Axis that is cut, and whether its far half is kept."""
_SEED = 11


@dataclass(frozen=True, slots=True)
class HaloMeasurement(JsonOutput):
    """Response of a network to a cut, and the halo that follows."""

    halo_px: int
    """Image pixels of the input, a multiple of the tile step."""
    measured_px: int
    """Image pixels: the distance beyond which the response stays under the limit."""
    capped: bool
    """Whether the network reaches further than the largest halo allowed."""
    largest_halo_px: int
    threshold: float
    limit: float
    """`threshold`, or twice the floor where that is more."""
    floor: float
    """Least response: whole-image statistics, which no halo removes."""
    curve: tuple[float, ...]
    """Largest change of the output at each distance, as a fraction of the output's range."""
    pixels_per_point: int
    """Image pixels between two points of the curve."""


def measure_halo(network: nn.Module, config: SingleConfig, image: RawImage) -> HaloMeasurement:
    """Measure the halo of a single-task network on a real image.

    Parameters
    ----------
    network : module
        The plain network, (N, C, H, W) or (N, C, Z, Y, X).
    image : array
        Raw intensities in the task's input axes.
    """
    rule = tile_rule(config)
    half = rule.largest // rule.unit // 2
    row = interface_of(config)
    # Light fields get no halo, whatever is measured, and take longest: one edge of an image that is
    # half as wide tells enough.
    edges, width = (_EDGES[:1], half) if row.lenses else (_EDGES, 2 * half)
    shape = shape_of(config, "network", batch=2, size=(DEPTH, 2 * half, width))
    rng = np.random.default_rng(_SEED)
    pair = torch.from_numpy(real_input(config, "network", image, shape, rng))
    scale = row.scale(config.signature, "network")
    with torch.inference_mode():
        curve = np.max(list(_responses(network, pair, half, scale, edges)), axis=0)
    return _halo_of(curve, rule, _is_global(config))


def _responses(
    network: nn.Module, pair: Tensor, half: int, scale: int, edges: Sequence[tuple[int, bool]]
) -> Iterator[np.ndarray]:
    """Response against distance, for each axis and both kinds of edge."""
    image, other = pair[:1], pair[1:].flip(-1, -2)
    whole = network(image)
    extent = float(whole.max() - whole.min()) or 1.0
    for axis, keep_far in edges:
        kept, gone = (half, 0) if keep_far else (0, half)
        replaced = image.clone()
        replaced.narrow(axis, gone, half).copy_(other.narrow(axis, gone, half))
        expected = whole.narrow(axis, kept * scale, half * scale)
        beyond_replaced = network(replaced).narrow(axis, kept * scale, half * scale)
        cut = network(image.narrow(axis, kept, half).contiguous())
        for actual in (beyond_replaced, cut):
            change = (actual - expected).abs().movedim(axis, 0).flatten(1).amax(dim=1)
            change = change if keep_far else change.flip(0)
            yield (change.reshape(half, scale).amax(dim=1) / extent).numpy()


def _is_global(config: SingleConfig) -> bool:
    """Whether whole-image statistics can reach everywhere.

    Several reference models have some; in the others the response falls to nothing.
    """
    return isinstance(config, ReferenceConfig) or interface_of(config).global_statistics


def _halo_of(curve: np.ndarray, rule: TileRule, is_global: bool) -> HaloMeasurement:
    floor = float(curve.min())
    limit = max(THRESHOLD, GLOBAL_FACTOR * floor) if is_global else THRESHOLD
    above = np.flatnonzero(curve > limit)
    measured = (int(above[-1]) + 1) * rule.unit if above.size else 0
    steps = max(1, -(-measured // rule.step))
    return HaloMeasurement(
        halo_px=min(steps * rule.step, rule.largest_halo),
        measured_px=measured,
        capped=steps * rule.step > rule.largest_halo,
        largest_halo_px=rule.largest_halo,
        threshold=THRESHOLD,
        limit=limit,
        floor=floor,
        curve=tuple(float(f"{value:.3g}") for value in curve),
        pixels_per_point=rule.unit,
    )

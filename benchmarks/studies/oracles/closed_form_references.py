"""Closed forms of the reference models, from their papers' and their software's descriptions."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from math import prod
from typing import Any

from unifmir.benchmarks.studies.oracles.closed_form_items import Item, conv, padded, product
from unifmir.config import ReferenceConfig

Options = Mapping[str, Any]
"""Constructor arguments."""


def reference_items(config: ReferenceConfig, shape: tuple[int, ...]) -> Iterator[Item]:
    """The parts of a reference model for an input shape; KeyError if it has no closed form."""
    yield from _FORMS[config.model](config.network_kwargs(), shape)


def exported_items(config: ReferenceConfig, shape: tuple[int, ...]) -> Iterator[Item]:
    """Items that an exported graph has besides: DFCAN's Fourier transforms, by matrices.

    Rows to real and imaginary part, then columns of both to both.
    """
    if config.model == "dfcan":
        options = config.network_kwargs()
        batch, _, height, width = shape
        maps = batch * options["features"] * options["groups"] * options["blocks"]
        macs = maps * height * width * (2 * width + 4 * height)
        yield product("Fourier transforms", macs)


def _care(options: Options, shape: tuple[int, ...]) -> Iterator[Item]:
    """Weigert et al. 2018; csbdeep halves every axis at each level."""
    multiple = 2 ** options["depth"]
    space = [padded(size, multiple) for size in shape[2:]]
    yield from _care_unet(options, options["ndim"], shape[0] * prod(space))


def _care_unet(options: Options, ndim: int, points: int) -> Iterator[Item]:
    depth, kernel, first = options["depth"], options["kernel"] ** ndim, options["features"]
    inputs = 1
    for level in range(depth):
        width = first * 2**level
        here = points // 2 ** (ndim * level)
        yield conv(f"down {level}", here, kernel, inputs, width, width)
        # The way up reads the skip and as many channels from below, and ends as wide as above.
        above = first if level == 0 else width // 2
        yield conv(f"up {level}", here, kernel, 2 * width, width, above)
        inputs = width
    lowest = points // 2 ** (ndim * depth)
    yield conv("middle", lowest, kernel, inputs, 2 * inputs, inputs)
    yield conv("last", points, 1, first, 1)


def _care_projection(options: Options, shape: tuple[int, ...]) -> Iterator[Item]:
    """Weigert et al. 2018: every plane weighted by a small 3-D network, then the 2-D U-Net."""
    levels, width = options["projection_depth"], options["projection_features"]
    kernel = options["projection_kernel"] ** 3
    multiple = 2 ** max(levels, options["depth"])
    plane = shape[0] * padded(shape[3], multiple) * padded(shape[4], multiple)
    inputs = 1
    for level in range(levels):
        here = plane * shape[2] // 4**level
        yield conv("projection down", here, kernel, inputs, width)
        yield conv("projection up", here, kernel, width, width)
        inputs = width
    yield conv("projection middle", plane * shape[2] // 4**levels, kernel, inputs, width)
    yield conv("projection weights", plane * shape[2], kernel, width, 1)
    yield from _care_unet(options, 2, plane)


def _dfcan(options: Options, shape: tuple[int, ...]) -> Iterator[Item]:
    """Qiao et al. 2021. Its Fourier transforms are no multiply-accumulates of this count."""
    width, hidden, enlarged = options["features"], options["hidden"], options["scale"] ** 2
    blocks, batch = options["groups"] * options["blocks"], shape[0]
    pixels = batch * shape[2] * shape[3]
    yield conv("head", pixels, 9, shape[1], width)
    yield conv("blocks", pixels * blocks, 9, width, width, width)
    yield conv("spectral convolutions", pixels * blocks, 9, width, width)
    yield conv("channel weights", batch * blocks, 1, width, hidden, width)
    yield conv("upsampling", pixels, 9, width, width * enlarged)
    yield conv("tail", pixels * enlarged, 9, width, 1)


def _gvtnets(options: Options, shape: tuple[int, ...]) -> Iterator[Item]:
    """Wang, Xie and Ji 2021: halved along every axis; attention costs what its voxels cost."""
    ndim, levels, port = options["ndim"], options["levels"], options["paper_port"]
    strides = [1 if port and ndim == 3 and axis == 0 else 2 for axis in range(ndim)]
    space = [
        padded(size, stride ** (levels - 1))
        for size, stride in zip(shape[2:], strides, strict=True)
    ]
    step, kernel, points = prod(strides), 3**ndim, shape[0] * prod(space)
    width, heads = options["features"], options["heads"]
    yield conv("head", points, kernel, 1, width)
    for _ in range(levels - 1):
        yield conv("encoder", points, kernel, width, width, width)
        # The variant of the cost tables projects every residual, and adds a convolution.
        yield conv("encoder", points * port, 1, width, width)
        yield conv("decoder", points, kernel, 2 * width, width, width)
        yield conv("decoder", points, 1, 2 * width, width)
        yield conv("upsampling extra", points * port, kernel, width, width)
        lower = points // step
        yield conv("downsampling", lower, kernel, width, 2 * width)
        # A transposed convolution spreads each voxel of its input.
        yield conv("upsampling queries", lower, kernel, 2 * width, width)
        yield from _voxel_attention("upsampling", points, lower, 2 * width, width, heads)
        points, width = lower, 2 * width
    yield conv("bottom queries", points, 1, width, width)
    yield from _voxel_attention("bottom", points, points, width, width, heads)
    yield conv("tail", shape[0] * prod(space), 1, options["features"], 1)


def _voxel_attention(
    part: str, queries: int, keys: int, inputs: int, width: int, heads: int
) -> Iterator[Item]:
    """Keys and values of `keys` voxels, read by `queries` voxels without a softmax between."""
    yield conv(f"{part} keys and values", 2 * keys, 1, inputs, width)
    yield product(f"{part} products", (keys + queries) * width * width // heads)
    yield conv(f"{part} output", queries, 1, width, width)


def _gvtnets_projection(options: Options, shape: tuple[int, ...]) -> Iterator[Item]:
    """Wang, Xie and Ji 2021: 3 x 5 x 5 kernels, quartered in the plane, 5^3 at the end."""
    batch, _, depth, height, width = shape
    levels = options["projection_levels"] - 1
    features, heads, multiple = (
        options["projection_features"],
        options["projection_heads"],
        4**levels,
    )
    full = batch * depth * padded(height, multiple) * padded(width, multiple)
    inputs, points = 1, full
    for _ in range(levels):
        lower = points // 16
        yield conv("projection down", points, 75, inputs, features)
        yield from _voxel_attention("projection up", points, lower, features, features, heads)
        yield conv("projection up", points, 75, features, features)
        inputs, points = features, lower
    yield conv("projection bottom", points, 1, features, features)
    yield from _voxel_attention("projection bottom", points, points, features, features, heads)
    yield conv("projection bottom", points, 75, features, features)
    yield conv("projection weights", full, 125, features, 1)
    plane = {**options, "ndim": 2, "paper_port": 0}
    yield from _gvtnets(plane, (batch, 1, height, width))


def _unet(options: Options, shape: tuple[int, ...]) -> Iterator[Item]:
    """CAREamics' default: CARE's widths, with free channels at both ends."""
    depth, first = options["depth"], options["features"]
    points = shape[0] * padded(shape[2], 2**depth) * padded(shape[3], 2**depth)
    widths = [options["in_channels"], *(first * 2**level for level in range(depth))]
    for level, (before, width) in enumerate(pairwise(widths)):
        here = points // 4**level
        above = before if level else first
        yield conv(f"encoder {level}", here, 9, before, width, width)
        yield conv(f"decoder {level}", here, 9, 2 * width, width, above)
    yield conv("bottom", points // 4**depth, 9, widths[-1], 2 * widths[-1], widths[-1])
    yield conv("last", points, 1, first, options["out_channels"])


_FORMS: dict[str, Callable[[Options, tuple[int, ...]], Iterator[Item]]] = {
    "care": _care,
    "care-2d": _care,
    "care-projection": _care_projection,
    "dfcan": _dfcan,
    "gvtnets": _gvtnets,
    "gvtnets-projection": _gvtnets_projection,
    "unet": _unet,
}

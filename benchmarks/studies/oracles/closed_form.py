"""Multiply-accumulates in closed form, from a configuration and an input size.

Written from the description of the networks (Ma et al., Nature Methods 2024, Methods; Liu et al.,
ICCV 2021, equation 2 for window attention), not from their modules: it is what the counts by
running them are held against.
"""

from collections.abc import Iterator, Sequence
from math import isqrt, prod

from unifmir.benchmarks.studies.oracles.closed_form_items import (
    AnalyticCount,
    Item,
    conv,
    linear,
    merged,
    padded,
    product,
)
from unifmir.benchmarks.studies.oracles.closed_form_references import (
    exported_items,
    reference_items,
)
from unifmir.config import (
    BodyConfig,
    ProjectorConfig,
    ReferenceConfig,
    SingleConfig,
    SingleTaskConfig,
    ViewUNetConfig,
)
from unifmir.interfaces import InputKind, interface_of


def count_analytic(
    config: SingleConfig,
    shape: Sequence[int],
    *,
    interface: InputKind = "network",
    exported: bool = False,
) -> AnalyticCount:
    """Multiply-accumulates of a single-task network.

    Parameters
    ----------
    config : SingleTaskConfig or ReferenceConfig
        For a multi-task network, `MultiTaskConfig.single` gives the one of a task.
    shape : sequence of int
        Of the input, batch included: of the plain network, or of a user's image.
    interface : {"network", "image"}
    exported : bool
        Of the graph that an exported file holds, where that computes something differently.
    """
    shapes: Sequence[tuple[int, ...]] = [tuple(shape)]
    if interface == "image":
        shapes = _network_inputs(config, tuple(shape))
    items = [item for one in shapes for item in _network(config, one)]
    if exported and isinstance(config, ReferenceConfig):
        items += [item for one in shapes for item in exported_items(config, one)]
    return merged(items)


def _network_inputs(config: SingleConfig, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes that the plain network is given for an image of a shape: one input, or two."""
    row, signature = interface_of(config), config.signature
    batch, _, *depth, height, width = shape
    if row.axial:
        # A slice for each x, rows y, and one for each y, rows x; columns z.
        (planes,) = depth
        return [(batch * width, 1, height, planes), (batch * height, 1, width, planes)]
    if row.neighbours:
        return [(batch * depth[0], signature.channels, height, width)]
    if row.lenses:
        side = isqrt(signature.channels)
        return [(batch, signature.channels, height // side, width // side)]
    if depth and not signature.volumetric:
        return [(batch, *depth, height, width)]
    return [(batch, 1, *depth, height * signature.enlarge, width * signature.enlarge)]


def _network(config: SingleConfig, shape: tuple[int, ...]) -> Iterator[Item]:
    if isinstance(config, ReferenceConfig):
        if config.model == "enlcn":
            yield from _enlcn(config, shape)
        elif config.model == "vcd-net":
            yield from _vcd_net(config, shape)
        else:
            yield from reference_items(config, shape)
        return
    batch, _, height, width = shape
    window = config.body.window_size
    rows, columns = padded(height, window), padded(width, window)
    if config.projector is not None:
        # Projected at its own size; only the restoration pads.
        yield from projector_items(config.projector, batch * height * width)
    if config.view_unet is not None:
        yield from view_unet_items(config.view_unet, batch, rows, columns)
        side = isqrt(config.view_unet.views)
        rows, columns = rows * side, columns * side
    yield from swin_items(config, batch * rows * columns)


def swin_items(config: SingleTaskConfig, pixels: int) -> Iterator[Item]:
    """Head, body and tail on so many pixels, padding included."""
    width, tail, enlarged = config.body.embed_dim, config.tail_features, config.scale**2
    yield conv("head", pixels, 9, config.in_channels, width)
    yield from body_items(config.body, pixels)
    yield conv("tail", pixels, 9, width, tail)
    if enlarged > 1:
        yield conv("upsampling", pixels, 9, tail, tail * enlarged)
    yield conv("tail", pixels * enlarged, 9, tail, config.out_channels)


def body_items(body: BodyConfig, pixels: int) -> Iterator[Item]:
    """The Swin body; 1.55 M multiply-accumulates a pixel at the paper's size."""
    width, blocks = body.embed_dim, sum(body.depths)
    yield linear("attention qkv", pixels * blocks, width, 3 * width)
    # Each pixel meets all of its window, once for the scores and once for the values.
    yield product("attention products", pixels * blocks * 2 * body.window_size**2 * width)
    yield linear("attention output", pixels * blocks, width, width)
    yield linear("mlp", pixels * blocks, width, body.mlp_hidden)
    yield linear("mlp", pixels * blocks, body.mlp_hidden, width)
    yield conv("group convolutions", pixels * len(body.depths), 9, width, width)
    yield conv("body convolution", pixels, 9, width, width)


def projector_items(config: ProjectorConfig, pixels: int, scale: int = 1) -> Iterator[Item]:
    """The projecting network, or ENLCN; linear in the pixels (Xia et al., AAAI 2022)."""
    width, match, randoms = config.features, config.match_features, config.random_features
    attentions = pixels * (1 + config.blocks // 8)
    yield conv("projector head", pixels, 9, config.planes, width)
    yield conv("projector blocks", pixels * config.blocks, 9, width, width, width)
    yield conv("projector attention maps", attentions, 1, width, match)
    yield conv("projector attention maps", attentions, 1, width, match)
    yield conv("projector attention maps", attentions, 1, width, width)
    # Query and key through the random matrix; then key^T value, and query with that and with the
    # sum of the keys.
    yield linear("projector random features", 2 * attentions, match, randoms)
    yield product("projector attention products", attentions * randoms * (2 * width + 1))
    yield conv("projector body convolution", pixels, 9, width, width)
    if scale > 1:
        yield conv("projector upsampling", pixels, 9, width, width * scale**2)
    yield conv("projector tail", pixels * scale**2, 9, width, 1)


def view_unet_items(config: ViewUNetConfig, batch: int, height: int, width: int) -> Iterator[Item]:
    """The network from light-field views to a volume, for views of so many pixels."""
    features, area = config.stem_features, batch * height * width
    yield conv("view stem", area, 49, config.views, features)
    for _ in range(4):
        yield conv("view upsampling", area, 9, features, features)
        area *= 4
        yield conv("view upsampling", area, 9, features // 4, features // 2)
        features //= 2
    yield conv("view entry", area, 9, features, features, config.entry_features)
    sides = [(16 * height, 16 * width)]
    for _ in config.encoder[1:]:
        # 3-wide pooling by 2 without padding.
        sides.append(((sides[-1][0] - 3) // 2 + 1, (sides[-1][1] - 3) // 2 + 1))
    areas = [batch * prod(side) for side in sides]
    inputs = [config.entry_features, *config.encoder[:-1]]
    for level, here in enumerate(areas):
        yield conv("view encoder", here, 9, inputs[level], config.encoder[level])
    outputs = [config.planes, *config.encoder[:-1]]
    below = [*config.encoder[:-1], config.encoder[-1]]
    for level, here in enumerate(areas):
        # A decoder level reads the skip of its size and what comes from below.
        yield conv("view decoder", here, 9, inputs[level] + below[level], outputs[level])


def _enlcn(config: ReferenceConfig, shape: tuple[int, ...]) -> Iterator[Item]:
    options = config.network_kwargs()
    scale = options.pop("scale")
    projector = ProjectorConfig(planes=options.pop("in_channels"), **options)
    yield from projector_items(projector, shape[0] * shape[2] * shape[3], scale)


def _vcd_net(config: ReferenceConfig, shape: tuple[int, ...]) -> Iterator[Item]:
    batch, _, height, width = shape
    options = ViewUNetConfig(**config.network_kwargs())
    # The poolings need 2^(levels + 1) - 1 pixels, of 16 for each of a view; fewer are padded.
    least = -(-(2 ** (len(options.encoder) + 1) - 1) // 16)
    yield from view_unet_items(options, batch, max(height, least), max(width, least))

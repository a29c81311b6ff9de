"""Axes of a package: which sizes it takes, in which steps, and how tiles overlap.

Decided from the configuration and the measured halo alone; nothing here imports bioimageio.
"""

from dataclasses import dataclass, replace

from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.interfaces import FIXED, interface_of

_NAMES = {"depth": "z", "height": "y", "width": "x"}


@dataclass(frozen=True, slots=True)
class TileRule:
    """Tiles that a network is offered, and the halo they leave room for."""

    step: int
    """Image pixels of the grid of attention windows (or of lenses). Halos and least tiles are
    multiples of it: consumers whose tiles are too keep the whole image's grid."""
    smallest: int
    """Image pixels of the least minimal tile, for the sake of speed."""
    largest: int
    """Image pixels of the largest minimal tile: consumers must be able to run it anywhere."""
    unit: int = 1
    """Image pixels per pixel of the network's input: the pixels behind a lens."""

    @property
    def largest_halo(self) -> int:
        """Image pixels of the largest halo: a step must remain of the largest minimal tile."""
        return (self.largest - self.step) // (2 * self.step) * self.step

    def minimum(self, halo: int) -> int:
        """Smallest tile, in image pixels, that leaves one step beside its two halos."""
        return max(self.smallest, 2 * halo + self.step)


@dataclass(frozen=True, slots=True)
class SpaceAxis:
    """A spatial axis of the input or the output."""

    id: str
    fixed: int = 0
    """Pixels; 0 for an axis of free size."""
    minimum: int = 1
    step: int = 1
    scale: float = 1.0
    halo: int = 0
    """Output pixels that tiles lose at each end; 0 for an input axis."""

    @property
    def test_size(self) -> int:
        """Pixels of the test tensor: the least the axis allows."""
        return self.fixed or self.minimum


@dataclass(frozen=True, slots=True)
class PackageAxes:
    """Spatial axes in order; batch and one channel come before them."""

    inputs: tuple[SpaceAxis, ...]
    outputs: tuple[SpaceAxis, ...]

    @property
    def test_sizes(self) -> tuple[int, ...]:
        """Spatial shape of the test input."""
        return tuple(axis.test_size for axis in self.inputs)


def tile_rule(config: SingleConfig) -> TileRule:
    """Tile rule of a network.

    Light fields: 8 lenses are the least that the network does not pad. Three free axes
    (isotropic, volumetric networks) and the wide projecting network cost so much per pixel that
    their minimal tiles are half as large.
    """
    row = interface_of(config)
    step = row.grid_px(config)
    if row.lenses:
        lens = row.lens_px(config.signature)
        return TileRule(step=lens, smallest=step, largest=2 * step, unit=lens)
    if isinstance(config, ReferenceConfig):
        # Its grid is twice as wide, and a convolution costs less than attention.
        steps = 2 if row.whole_depth else 4
    else:
        steps = 4 if row.whole_depth or row.cuts_depth else 8
    return TileRule(step, smallest=steps * step, largest=2 * steps * step)


def axes_of(config: SingleConfig, halo: int) -> PackageAxes:
    """Axes for a halo, given in image pixels of the input.

    Notes
    -----
    Light fields get no halo, whatever was measured: their network works on the whole image's
    maximum and resizes by the image's extent, and bioimageio.core would also pad whole images by
    a halo, mirroring the views behind each lens.

    An input scale of f**2 and an output scale of f: with that both readings of `scale` among the
    consumers give an output f times as large (core: reference * in / out; JDLL: reference * out).
    """
    rule = tile_rule(config)
    row, signature = interface_of(config), config.signature
    if row.lenses:
        halo = 0
    factor = row.scale(signature, "image")
    names_in, names_out = row.axes(signature, "image")
    slices = row.slices(signature)
    inputs = tuple(_input_axis(n, slices, rule, halo, factor) for n in names_in[2:])
    by_id = {axis.id: axis for axis in inputs}
    outputs = []
    for name in names_out[2:]:
        base, _, size = name.partition(FIXED)
        identifier = _NAMES[base.partition("_")[0]]
        if size:
            outputs.append(SpaceAxis(identifier, fixed=int(size)))
            continue
        reference = by_id[identifier]
        # The reach of a network that reads a window of slices is exact.
        reach = slices // 2 if identifier == "z" and slices > 1 else halo * factor
        outputs.append(
            SpaceAxis(
                identifier,
                minimum=reference.minimum * factor,
                step=reference.step * factor,
                scale=reference.scale / factor,
                halo=reach,
            )
        )
    return PackageAxes(inputs, tuple(outputs))


def trial_axes(config: SingleConfig, axes: PackageAxes) -> PackageAxes:
    """Axes without halos that begin just below one window (8 lenses): for the library's test.

    The library runs each weight format at a description's three smallest sizes, and with batches of
    two. With these axes that takes seconds, where the smallest tiles of three free axes take tens
    of minutes; the test tensors keep their sizes.
    """
    unit = tile_rule(config).unit
    least = max(unit, interface_of(config).grid_px(config) - unit)
    inputs = tuple(
        axis if axis.fixed else replace(axis, minimum=min(axis.minimum, least))
        for axis in axes.inputs
    )
    return PackageAxes(inputs, tuple(replace(axis, halo=0) for axis in axes.outputs))


def _input_axis(name: str, slices: int, rule: TileRule, halo: int, factor: int) -> SpaceAxis:
    base, _, size = name.partition(FIXED)
    identifier = _NAMES[base]
    if size:
        return SpaceAxis(identifier, fixed=int(size))
    if identifier == "z" and slices > 1:
        return SpaceAxis(identifier, minimum=slices)
    # Networks pad inside, so every size is taken; a light field's in whole lenses.
    return SpaceAxis(identifier, minimum=rule.minimum(halo), step=rule.unit, scale=float(factor**2))

"""Axes of a package: which sizes it takes, in which steps, and how tiles overlap.

Decided from the configuration and the measured halo alone; nothing here imports bioimageio.
"""

from dataclasses import dataclass

from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.interfaces import FIXED, interface_of

REFERENCE_STEP = 16
"""Image pixels: a multiple of what every reference model halves its images by."""
_NAMES = {"depth": "z", "height": "y", "width": "x"}


@dataclass(frozen=True, slots=True)
class TileRule:
    """Which tiles a network is offered, and how large a halo they leave room for."""

    step: int
    """Image pixels. Tiles grow by it and halos are multiples of it, so that every tile keeps the
    whole image's grid of attention windows (or of lenses)."""
    smallest: int
    """Image pixels. The least minimal tile, for the sake of speed."""
    largest: int
    """Image pixels. The largest minimal tile: consumers must be able to run it anywhere."""
    unit: int = 1
    """Image pixels per pixel of the network's input: the pixels behind a lens."""

    @property
    def largest_halo(self) -> int:
        """Image pixels: one step at least must remain of the largest minimal tile."""
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
    """Of an output axis, in output pixels."""

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
    """The rule of a network.

    Light fields: 8 lenses are the least that the network does not pad. Three free axes
    (isotropic, volumetric networks) and the wide projecting network cost so much per pixel that
    their minimal tiles are half as large.
    """
    if config.task == "volume":
        n = interface_of(config).lens_px(config.signature)
        return TileRule(step=n, smallest=8 * n, largest=16 * n, unit=n)
    if isinstance(config, ReferenceConfig):
        deep = config.signature.volumetric
        return TileRule(REFERENCE_STEP, smallest=32 if deep else 64, largest=64 if deep else 128)
    window = config.body.window_size
    if config.task in ("projection", "isotropic"):
        return TileRule(step=window, smallest=4 * window, largest=8 * window)
    return TileRule(step=window, smallest=8 * window, largest=16 * window)


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
    if config.task == "volume":
        halo = 0
    factor = interface_of(config).scale(config.signature, "image")
    names_in, names_out = interface_of(config).axes(config.signature, "image")
    inputs = tuple(_input_axis(n, config, rule, halo, factor) for n in names_in[2:])
    by_id = {axis.id: axis for axis in inputs}
    outputs = []
    for name in names_out[2:]:
        base, _, size = name.partition(FIXED)
        identifier = _NAMES[base.partition("_")[0]]
        if size:
            outputs.append(SpaceAxis(identifier, fixed=int(size)))
            continue
        reference = by_id[identifier]
        window = config.signature.channels if _is_window_axis(identifier, config) else 0
        reach = window // 2 if window else halo * factor
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


def _input_axis(
    name: str, config: SingleConfig, rule: TileRule, halo: int, factor: int
) -> SpaceAxis:
    base, _, size = name.partition(FIXED)
    identifier = _NAMES[base]
    if size:
        return SpaceAxis(identifier, fixed=int(size))
    if _is_window_axis(identifier, config):
        return SpaceAxis(identifier, minimum=config.signature.channels)
    return SpaceAxis(identifier, minimum=rule.minimum(halo), step=rule.step, scale=float(factor**2))


def _is_window_axis(identifier: str, config: SingleConfig) -> bool:
    """Whether the axis is z of a network that reads a window of slices: its reach is exact."""
    return identifier == "z" and config.task == "denoise" and not config.signature.volumetric

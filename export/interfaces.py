"""Axes, examples and lineage of an exported interface: one place for all formats."""

from dataclasses import asdict
from math import isqrt
from typing import TYPE_CHECKING

from unifmir.config import SingleConfig
from unifmir.errors import ExportError
from unifmir.export.base import Lineage, Variant, library_versions
from unifmir.tasks import TASKS
from unifmir.tasks.base import SizeRule

if TYPE_CHECKING:
    from unifmir.model import Provenance

FIXED = "="
"""Marks an axis of one size in the names below: `channel=1`."""


def axes(config: SingleConfig, interface: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Axis names of the input and the output; `name=size` where the size is fixed."""
    scale = lateral_scale(config, interface)
    lateral = ("height", "width")
    magnified = lateral if scale == 1 else tuple(f"{name}_x{scale}" for name in lateral)
    signature = config.signature
    channels, planes = signature.channels, signature.out_channels
    if interface == "network":
        deep, deep_out = (
            ("depth",) if free else ()
            for free in (signature.volumetric, signature.volumetric_output)
        )
        return (
            ("batch", f"channel={channels}", *deep, *lateral),
            ("batch", f"channel={planes}", *deep_out, *magnified),
        )
    start = ("batch", "channel=1")
    if config.task == "projection":
        depth = "depth" if signature.volumetric else f"depth={channels}"
        return (*start, depth, *lateral), (*start, *lateral)
    if config.task == "volume":
        return (*start, *lateral), (*start, f"depth={planes}", *lateral)
    if reads_stacks(config):
        return (*start, "depth", *lateral), (*start, "depth", *lateral)
    return (*start, *lateral), (*start, *magnified)


def reads_stacks(config: SingleConfig) -> bool:
    """Whether the image interface takes stacks and gives stacks."""
    if config.task == "denoise":
        return config.signature.volumetric or config.signature.channels > 1
    return config.task == "isotropic"


def views_per_side(config: SingleConfig) -> int:
    """Pixels behind a lens along y and x; 1 for tasks without lenses."""
    return isqrt(config.signature.channels) if config.task == "volume" else 1


def lateral_scale(config: SingleConfig, interface: str) -> int:
    """Output pixels per input pixel along y and x."""
    scale, enlarge = config.signature.scale, config.signature.enlarge
    if config.task == "volume":
        return scale if interface == "network" else 1
    return scale if interface == "network" else scale * enlarge


def size_rule(config: SingleConfig, interface: str) -> SizeRule:
    """Which heights and widths the interface takes, in pixels."""
    n = views_per_side(config) if interface == "image" else 1
    return SizeRule(minimum=n, multiple_of=n)


def shape_of(
    config: SingleConfig, interface: str, *, batch: int, size: tuple[int, int, int]
) -> tuple[int, ...]:
    """Input shape for `size` = (depth, height, width); fixed axes keep their own size.

    Heights and widths are given in network pixels: a raw light field is n times larger.
    """
    depth, height, width = size
    if interface == "image":
        n = views_per_side(config)
        height, width = height * n, width * n
    free = {"batch": batch, "depth": depth, "height": height, "width": width}
    return tuple(
        int(name.split(FIXED)[1]) if FIXED in name else free[name]
        for name in axes(config, interface)[0]
    )


def dynamic_axes(names: tuple[str, ...]) -> dict[int, str]:
    """Position -> name of the axes whose size is free."""
    return {index: name for index, name in enumerate(names) if FIXED not in name}


def lineage_of(
    config: SingleConfig, interface: str, precision: str, variant: Variant, parent: "Provenance"
) -> Lineage:
    """What an artifact of this network will say of itself."""
    task = TASKS[config.task]
    input_axes, output_axes = axes(config, interface)
    if not parent.sha256:
        raise ExportError("the parent has no sha256: save it before exporting from it")
    return Lineage(
        task=config.task,
        interface=interface,
        precision=precision,
        variant=variant,
        config=config.to_dict(),
        scale=lateral_scale(config, interface),
        input_axes=input_axes,
        output_axes=output_axes,
        normalization=asdict(task.normalization),
        size_rule=asdict(size_rule(config, interface)),
        parent={"name": parent.name, "sha256": parent.sha256},
        versions=library_versions(),
    )

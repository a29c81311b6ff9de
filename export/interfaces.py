"""Axes, examples and lineage of an exported interface: one place for all formats."""

from dataclasses import asdict
from math import isqrt
from typing import TYPE_CHECKING

from unifmir.config import SingleTaskConfig
from unifmir.errors import ExportError
from unifmir.export.base import Lineage, Variant, library_versions
from unifmir.tasks import TASKS, SizeRule

if TYPE_CHECKING:
    from unifmir.model import Source

FIXED = "="
"""Marks an axis of one size in the names below: `channel=1`."""


def axes(config: SingleTaskConfig, interface: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Axis names of the input and the output; `name=size` where the size is fixed."""
    scale = lateral_scale(config, interface)
    lateral = ("height", "width")
    magnified = lateral if scale == 1 else tuple(f"{name}_x{scale}" for name in lateral)
    if interface == "network":
        channels, out = network_channels(config), output_planes(config)
        return (
            ("batch", f"channel={channels}", *lateral),
            ("batch", f"channel={out}", *magnified),
        )
    start = ("batch", "channel=1")
    if config.projector is not None:
        return (*start, f"depth={config.projector.planes}", *lateral), (*start, *lateral)
    if config.view_unet is not None:
        return (*start, *lateral), (*start, f"depth={config.view_unet.planes}", *lateral)
    if config.task == "isotropic" or (config.task == "denoise" and config.in_channels > 1):
        return (*start, "depth", *lateral), (*start, "depth", *lateral)
    return (*start, *lateral), (*start, *magnified)


def network_channels(config: SingleTaskConfig) -> int:
    """Channels of the plain network's input."""
    if config.projector is not None:
        return config.projector.planes
    if config.view_unet is not None:
        return config.view_unet.views
    return config.in_channels


def output_planes(config: SingleTaskConfig) -> int:
    """Channels of the plain network's output."""
    return config.out_channels if config.projector is None else 1


def lateral_scale(config: SingleTaskConfig, interface: str) -> int:
    """Output pixels per input pixel along y and x."""
    if config.view_unet is None:
        return config.scale
    return isqrt(config.view_unet.views) if interface == "network" else 1


def size_rule(config: SingleTaskConfig, interface: str) -> SizeRule:
    """Which heights and widths the interface takes, in pixels."""
    if config.view_unet is not None and interface == "image":
        n = isqrt(config.view_unet.views)
        return SizeRule(minimum=n, multiple_of=n)
    return SizeRule(minimum=1)


def shape_of(
    config: SingleTaskConfig, interface: str, *, batch: int, size: tuple[int, int, int]
) -> tuple[int, ...]:
    """Input shape for `size` = (depth, height, width); fixed axes keep their own size.

    Heights and widths are given in network pixels: a raw light field is n times larger.
    """
    depth, height, width = size
    if config.view_unet is not None and interface == "image":
        n = isqrt(config.view_unet.views)
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
    config: SingleTaskConfig, interface: str, precision: str, variant: Variant, parent: "Source"
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

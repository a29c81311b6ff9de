"""Values that a network can have: checks of a configuration before anything is built from it."""

from dataclasses import asdict
from itertools import pairwise
from math import isqrt

from unifmir.config import (
    BodyConfig,
    ModelConfig,
    MultiTaskConfig,
    ReferenceConfig,
    SingleTaskConfig,
    UniFMIRConfig,
    ViewUNetConfig,
)
from unifmir.errors import CheckpointError
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import FirstStage

MAX_WIDTH = 65_536
"""Channels; the official networks have at most 512."""
MAX_WINDOW = 32
"""Pixels; the official networks have 8. A window's index grows with the fourth power: 8 MB here."""
MAX_DEPTH = 1_024
"""Layers of a kind; the official networks have at most 64."""

_STAGES: dict[FirstStage | None, str] = {
    None: "a Swin network alone",
    "projector": "a projector",
    "view_unet": "a view U-Net",
}


def check_values(config: ModelConfig) -> None:
    """Refuse values that no network can have, before anything is built from them."""
    if isinstance(config, ReferenceConfig):
        return
    body, projector, unet = config.body, config.projector, config.view_unet
    depths = [len(body.depths), *body.depths]
    if projector is not None:
        depths.append(projector.blocks + 1)
    if unet is not None:
        depths.append(len(unet.encoder))
    widths = _numbers(asdict(config))
    if not all(1 <= depth <= MAX_DEPTH for depth in depths) or sum(body.depths) > MAX_DEPTH:
        raise CheckpointError(
            f"the shapes imply {depths} layers of a kind; expected 1 to {MAX_DEPTH} of each"
        )
    if not all(0 <= width <= MAX_WIDTH for width in widths) or _has_zero(config):
        raise CheckpointError(
            f"the shapes imply sizes that no network has ({summary_of(config)}); expected 1 to "
            f"{MAX_WIDTH} each: the file is damaged or holds something else"
        )
    if isinstance(config, SingleTaskConfig):
        _check_task(config)
    _check_windows(body)
    if unet is not None:
        _check_unet(unet)
    _check_channels(config)


def _check_task(config: SingleTaskConfig) -> None:
    """Refuse an unknown task, and one that has another first network."""
    if config.task not in TASKS:
        raise CheckpointError(
            f"the configuration's task is {config.task!r}; known: {', '.join(TASKS)}"
        )
    shape = TASKS[config.task].shape
    if (wanted := shape.stage) is None and shape.magnifies != (config.scale > 1):
        raise CheckpointError(
            f"the configuration's task is {config.task!r} at scale {config.scale}; {config.task} "
            f"{'magnifies' if shape.magnifies else 'does not magnify'}"
        )
    found = [_STAGES[stage] for stage in ("projector", "view_unet") if getattr(config, stage)]
    if found != ([_STAGES[wanted]] if wanted else []):
        raise CheckpointError(
            f"{config.task} needs {_STAGES[wanted]}; this configuration has "
            f"{' and '.join(found) or _STAGES[None]}"
        )


def _check_windows(body: BodyConfig) -> None:
    if body.window_size > MAX_WINDOW:
        raise CheckpointError(
            f"the bias tables imply windows of {body.window_size} pixels; "
            f"expected 1 to {MAX_WINDOW}"
        )
    wrong = [heads for heads in body.num_heads if body.embed_dim % heads]
    if wrong or len(body.num_heads) != len(body.depths):
        raise CheckpointError(
            f"attention heads {list(body.num_heads)} do not divide an embedding of "
            f"{body.embed_dim} channels in {len(body.depths)} groups"
        )


def _check_unet(unet: ViewUNetConfig) -> None:
    if isqrt(unet.views) ** 2 != unet.views:
        raise CheckpointError(
            f"the light-field head reads {unet.views} views; expected a square number (11 x 11)"
        )
    # Four steps halve the channels, each after a pixel shuffle that needs a multiple of 4.
    if unet.stem_features % 32:
        raise CheckpointError(
            f"the light-field head starts with {unet.stem_features} channels; expected a "
            "multiple of 32"
        )
    widths = [unet.entry_features, *unet.encoder]
    if any(b < a for a, b in pairwise(widths)):
        raise CheckpointError(
            f"the light-field encoder has widths {widths}; expected none narrower than before"
        )


def _check_channels(config: UniFMIRConfig) -> None:
    """Refuse channels that no image of the task gives."""
    if isinstance(config, MultiTaskConfig):
        singles = [config.single(task) for task in multitask_parts()]
    else:
        singles = [config]
    for single in (single for single in singles if single.stage is None):
        is_odd = TASKS[single.task].shape.slices == "odd"
        if single.in_channels == single.out_channels == 3:
            raise CheckpointError(
                "this looks like a SwinIR network for natural images (3 colour channels in and "
                f"out, embedding {single.body.embed_dim}), not like UniFMIR for microscopy"
            )
        fits = single.in_channels % 2 == 1 if is_odd else single.in_channels == 1
        if single.out_channels != 1 or not fits:
            wanted = "an odd number of slices" if is_odd else "1 plane"
            raise CheckpointError(
                f"a network for {single.task} reads {wanted} and gives 1; this one reads "
                f"{single.in_channels} and gives {single.out_channels}"
            )


def _numbers(value: object) -> list[int]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


def _has_zero(config: UniFMIRConfig) -> bool:
    numbers = _numbers(asdict(config))
    # A projecting network without residual blocks still has its attention.
    blockless = config.projector is not None and config.projector.blocks == 0
    return numbers.count(0) > int(blockless)


def summary_of(config: ModelConfig) -> str:
    """A network's sizes in a few words, for messages."""
    if isinstance(config, ReferenceConfig):
        return f"the reference model {config.model}"
    body = config.body
    if isinstance(config, MultiTaskConfig):
        return (
            f"multi-task, {config.sharing} shared, embedding {body.embed_dim}, "
            f"{len(body.depths)} groups"
        )
    return (
        f"{config.in_channels} plane(s) in, {config.out_channels} out, scale {config.scale}, "
        f"embedding {body.embed_dim}"
    )

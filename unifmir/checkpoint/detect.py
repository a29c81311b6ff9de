"""Detecting a network: its kind and every hyper-parameter, read off the shapes of its weights.

The official files of any size and small networks are one code: nothing here knows "90 channels"
except as the guess for a key that is missing, which is then reported.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from itertools import pairwise
from math import isqrt

import torch

from unifmir import model
from unifmir.checkpoint.misfit import RESTORATION, Shape, describe_misfit, describe_stranger
from unifmir.checkpoint.official import is_derivable, is_optional, is_unused
from unifmir.config import (
    BodyConfig,
    KeyLayout,
    ModelConfig,
    MultiTaskConfig,
    ProjectorConfig,
    ReferenceConfig,
    SingleTaskConfig,
    UniFMIRConfig,
    ViewUNetConfig,
)
from unifmir.errors import CheckpointError
from unifmir.reference import REFERENCES
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


def detect(shapes: Mapping[str, tuple[int, ...]], *, task: str | None = None) -> ModelConfig:
    """The configuration of a checkpoint.

    Parameters
    ----------
    shapes : mapping
        Shape of each entry of the state dict, without prefixes such as `module.`. Derivable and
        unused entries are left out of account.
    task : str, optional
        Decides where the shapes fit more than one task: restoration of single planes at the same
        scale is "denoise" unless "isotropic" is asked for. A multi-task network has every task.

    Returns
    -------
    SingleTaskConfig or MultiTaskConfig
        `body_residual` is that of the official files: false for volume, true otherwise.

    Raises
    ------
    CheckpointError
        With a diagnosis key by key if the shapes fit no network, or not the task.
    """
    if task is not None:
        TASKS.require(task)
    weights = {k: tuple(s) for k, s in shapes.items() if not is_derivable(k) and not is_unused(k)}
    layout = _layout(weights)
    if layout is None:
        raise CheckpointError(describe_stranger(weights))
    config = _read(weights, layout)
    check_fit(config, weights)
    return chosen_task(config, task)


def check_fit(config: ModelConfig, weights: Mapping[str, Shape]) -> None:
    """Refuse weights that are not those of `config`, or a configuration no network can have."""
    check_values(config)
    expected = expected_shapes(config)
    required = {k for k in expected if not is_optional(k)}
    if not required <= set(weights) or any(weights[k] != expected.get(k) for k in weights):
        raise CheckpointError(describe_misfit(config, expected, weights))


@lru_cache(maxsize=8)
def expected_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Keys and shapes of the state dict of a configuration's network, without allocating it."""
    try:
        with torch.device("meta"):
            network = model.build(config)
    except (RuntimeError, ValueError, ArithmeticError, LookupError) as error:
        if not isinstance(config, ReferenceConfig):
            raise
        # The options of a reference model are checked by building it.
        raise CheckpointError(f"no {config.model} has options {config.options}: {error}") from error
    return {key: tuple(entry.shape) for key, entry in network.state_dict().items()}


def candidate_tasks(config: ModelConfig) -> tuple[str, ...]:
    """Tasks a network of these shapes can have been trained for, the default one first."""
    if isinstance(config, MultiTaskConfig):
        return tuple(multitask_parts())
    if isinstance(config, ReferenceConfig):
        others = REFERENCES[config.model].tasks
        return (config.task, *(task for task in others if task != config.task))
    own = TASKS[config.task]
    fitting = [
        task
        for task, spec in TASKS.items()
        if (spec.network, spec.shape.magnifies) == (own.network, own.shape.magnifies)
        and (spec.shape.slices == "odd" or config.in_channels == 1 or config.stage is not None)
    ]
    return tuple(sorted(fitting, key=lambda task: task != config.task))


def chosen_task(config: ModelConfig, task: str | None) -> ModelConfig:
    """`config` for one of its candidate tasks; CheckpointError if `task` is none of them."""
    candidates = candidate_tasks(config)
    if task is None or isinstance(config, MultiTaskConfig):
        return config
    if task not in candidates:
        options = " or ".join(f"`--task {name}`" for name in candidates)
        raise CheckpointError(
            f"this is not a network for task {task!r}: it looks like "
            f"{' or '.join(map(repr, candidates))} ({_summary(config)}); use {options}"
        )
    return replace(config, task=task)


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
            f"the shapes imply sizes that no network has ({_summary(config)}); expected 1 to "
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


def layout_starts() -> tuple[str, ...]:
    """Starts of keys that only networks of UniFMIR have, whatever the task."""
    return tuple(start for _, starts in _layouts() for start in starts)


def _layouts() -> tuple[tuple[KeyLayout, tuple[str, ...]], ...]:
    """Layouts, the first that fits is it, and starts of keys of which each has one."""
    multitask = tuple(start for part in multitask_parts().values() for start in part.renamed)
    return (
        ("multitask", multitask),
        ("projector", (RESTORATION, "project.")),
        ("view_unet", ("conv_first0.",)),
        ("swin", ("conv_first.", "layers.0.residual_group.")),
    )


def _layout(weights: Mapping[str, Shape]) -> KeyLayout | None:
    found = (layout for layout, starts in _layouts() if any(k.startswith(starts) for k in weights))
    return next(found, None)


def _default_task(layout: KeyLayout, scale: int = 1) -> str:
    """First task whose network has such keys and scale."""
    stage = None if layout == "swin" else layout
    shapes = ((task, TASKS[task].shape) for task in TASKS)
    return next(t for t, s in shapes if s.stage == stage and s.magnifies == (scale > 1))


def _read(weights: Mapping[str, Shape], layout: KeyLayout) -> UniFMIRConfig:
    """The configuration that the present keys imply; official values stand in for missing ones."""
    body = _read_body(weights, RESTORATION if layout == "projector" else "")
    if layout == "multitask":
        tail = "conv_before_upsample0.0.weight"
        return MultiTaskConfig(
            body=body,
            projector=_read_projector(weights),
            view_unet=_read_unet(weights),
            tail_features=_size(weights, tail, 0, 32),
            volume_tail_features=_size(weights, "conv_before_upsamplev.0.weight", 0, 90),
            sr_channels=_size(weights, "conv_firstsr.weight", 1, 1),
            sr_scale=_scale(weights, "upsamplesr.0.weight"),
            denoise_channels=_size(weights, "conv_firstdT.weight", 1, 5),
            isotropic_channels=_size(weights, "conv_firstiso.weight", 1, 1),
        )
    tail = "conv_before_upsample.0.weight"
    if layout == "projector":
        return SingleTaskConfig(
            _default_task(layout),
            body,
            tail_features=_size(weights, RESTORATION + tail, 0, 32),
            projector=_read_projector(weights),
        )
    if layout == "view_unet":
        unet = _read_unet(weights)
        return SingleTaskConfig(
            _default_task(layout),
            body,
            in_channels=unet.planes,
            out_channels=unet.planes,
            tail_features=_size(weights, tail, 0, 90),
            body_residual=False,
            view_unet=unet,
        )
    scale = _scale(weights, "upsample.0.weight")
    return SingleTaskConfig(
        _default_task(layout, scale),
        body,
        in_channels=_size(weights, "conv_first.weight", 1, 1),
        out_channels=_size(weights, "conv_last.weight", 0, 1),
        tail_features=_size(weights, tail, 0, 32),
        scale=scale,
    )


def _read_body(weights: Mapping[str, Shape], prefix: str) -> BodyConfig:
    number = r"\.(\d{1,4})\."
    group = re.escape(prefix) + "layers" + number
    pattern = re.compile(f"{group}(?:residual_group\\.blocks{number})?")
    groups: dict[int, set[int]] = {}
    for key in weights:
        if found := pattern.match(key):
            blocks = groups.setdefault(int(found[1]), set())
            if found[2] is not None:
                blocks.add(int(found[2]))
    # Counted, not the highest number: a gap shows as missing and unexpected keys.
    depths = tuple(max(1, len(groups.get(g, ()))) for g in range(max(1, len(groups))))
    block = prefix + "layers.{}.residual_group.blocks.0."
    tables = [block.format(g) + "attn.relative_position_bias_table" for g in range(len(depths))]
    return BodyConfig(
        embed_dim=_size(weights, f"{prefix}norm.weight", 0, 90),
        depths=depths,
        num_heads=tuple(_size(weights, table, 1, 6) for table in tables),
        # A table has a row for each of (2 w - 1)^2 relative positions.
        window_size=(isqrt(_size(weights, tables[0], 0, 225)) + 1) // 2,
        mlp_hidden=_size(weights, block.format(0) + "mlp.fc1.weight", 0, 180),
    )


def _read_projector(weights: Mapping[str, Shape]) -> ProjectorConfig:
    block = re.compile(r"project\.body\.\d+\.body\.0\.weight")
    blocks = sum(1 for key in weights if block.fullmatch(key))
    present = any(key.startswith("project.") for key in weights)
    return ProjectorConfig(
        planes=_size(weights, "project.head.0.weight", 1, 50),
        features=_size(weights, "project.head.0.weight", 0, 256),
        blocks=blocks if present else 64,
        match_features=_size(weights, "project.body.0.conv_match1.0.weight", 0, 64),
        random_features=_size(weights, "project.body.0.attn_fn.projection_matrix", 0, 128),
    )


def _read_unet(weights: Mapping[str, Shape]) -> ViewUNetConfig:
    unet = "conv_first0."
    level = re.compile(r"conv_first0\.encoder_layers\.\d+\.0\.weight")
    count = sum(1 for key in weights if level.fullmatch(key)) or len(ViewUNetConfig().encoder)
    encoder = tuple(
        _size(weights, f"{unet}encoder_layers.{i}.0.weight", 0, 512) for i in range(count)
    )
    return ViewUNetConfig(
        views=_size(weights, f"{unet}conv2d.weight", 1, 121),
        planes=_size(weights, f"{unet}decoder_layers.{count - 1}.0.weight", 0, 61),
        stem_features=_size(weights, f"{unet}conv2d.weight", 0, 128),
        entry_features=_size(weights, f"{unet}conv2d2.0.weight", 0, 64),
        encoder=encoder,
    )


def _size(weights: Mapping[str, Shape], key: str, axis: int, otherwise: int) -> int:
    shape = weights.get(key, ())
    return shape[axis] if axis < len(shape) else otherwise


def _scale(weights: Mapping[str, Shape], key: str) -> int:
    """Scale of a pixel shuffle: the convolution before it has scale squared times its channels."""
    shape = weights.get(key, ())
    return isqrt(shape[0] // shape[1]) if len(shape) > 1 and shape[1] else 1


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


def _summary(config: ModelConfig) -> str:
    if isinstance(config, ReferenceConfig):
        return f"the reference model {config.model}"
    body = config.body
    if isinstance(config, MultiTaskConfig):
        return f"multi-task, embedding {body.embed_dim}, {len(body.depths)} groups"
    return (
        f"{config.in_channels} plane(s) in, {config.out_channels} out, scale {config.scale}, "
        f"embedding {body.embed_dim}"
    )

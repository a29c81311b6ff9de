"""Detecting a network: its kind and every hyper-parameter, read off the shapes of its weights.

The official files of any size and small networks are one code: nothing here knows "90 channels"
except as the guess for a key that is missing, which is then reported.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import isqrt

import torch

from unifmir import model
from unifmir.checkpoint.config_checks import check_values, summary_of
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
    own = TASKS[config.task]
    if isinstance(config, ReferenceConfig):
        # The same weights in a network that magnifies and in one that does not mean something else.
        others = (
            task
            for task in REFERENCES[config.model].tasks
            if task != config.task and TASKS[task].shape.magnifies == own.shape.magnifies
        )
        return (config.task, *others)
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
            f"{' or '.join(map(repr, candidates))} ({summary_of(config)}); use {options}"
        )
    return replace(config, task=task)


def layout_starts() -> tuple[str, ...]:
    """Starts of keys that only networks of UniFMIR have, whatever the task."""
    return tuple(start for _, starts in _layouts() for start in starts)


def _layouts() -> tuple[tuple[KeyLayout, tuple[str, ...]], ...]:
    """Layouts, the first that fits is it, and starts of keys of which each has one."""
    multitask = tuple(start for part in multitask_parts().values() for start in part.renamed)
    return (
        # The Swin network of projection's own file is called like the task of denoising.
        ("separate", tuple(f"{t}." for t in multitask_parts() if f"{t}." != RESTORATION)),
        ("multitask", multitask),
        ("projector", (RESTORATION, "project.")),
        ("view_unet", ("conv_first0.",)),
        ("swin", ("conv_first.", "layers.0.residual_group.")),
    )


def _layout(weights: Mapping[str, Shape]) -> KeyLayout | None:
    found = (layout for layout, starts in _layouts() if any(k.startswith(starts) for k in weights))
    return next(found, None)


def _read_separate(weights: Mapping[str, Shape]) -> MultiTaskConfig:
    """The configuration of a network for each task; its sizes are those of the tasks together."""

    def of(task: str) -> SingleTaskConfig:
        start = f"{task}."
        own = {key.removeprefix(start): s for key, s in weights.items() if key.startswith(start)}
        stage = TASKS[task].shape.stage
        found = _read(own, stage or "swin")
        assert isinstance(found, SingleTaskConfig)  # noqa: S101 - of the layout of one task
        return found

    sr, denoise, volume = of("sr"), of("denoise"), of("volume")
    projector, unet = of("projection").projector, volume.view_unet
    assert projector is not None and unet is not None  # noqa: S101 - their layouts have one
    return MultiTaskConfig(
        body=sr.body,
        projector=projector,
        view_unet=unet,
        tail_features=sr.tail_features,
        volume_tail_features=volume.tail_features,
        sr_channels=sr.in_channels,
        sr_scale=sr.scale,
        denoise_channels=denoise.in_channels,
        isotropic_channels=of("isotropic").in_channels,
        sharing="nothing",
    )


def _default_task(layout: KeyLayout, scale: int = 1) -> str:
    """First task whose network has such keys and scale."""
    stage = None if layout == "swin" else layout
    shapes = ((task, TASKS[task].shape) for task in TASKS)
    return next(t for t, s in shapes if s.stage == stage and s.magnifies == (scale > 1))


def _read(weights: Mapping[str, Shape], layout: KeyLayout) -> UniFMIRConfig:
    """The configuration that the present keys imply; official values stand in for missing ones."""
    if layout == "separate":
        return _read_separate(weights)
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

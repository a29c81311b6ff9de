"""What to tell someone whose file does not fit: which keys differ, and what it looks like."""

import re
from collections.abc import Iterable, Mapping

from unifmir.checkpoint.official import is_optional
from unifmir.config import ModelConfig, MultiTaskConfig, ReferenceConfig, UniFMIRConfig

Shape = tuple[int, ...]

SHOWN = 12
"""Keys listed of each kind."""

_BODY = ("patch_embed.", "layers.", "norm.", "conv_after_body.")
_PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "multi-task": {
        "sr head": ("conv_firstsr.",),
        "denoise head": ("conv_firstdT.",),
        "isotropic head": ("conv_firstiso.",),
        "projection head": ("project.", "conv_firstproj."),
        "volume head": ("conv_first0.", "conv_firstv."),
        "body": _BODY,
        "shared tail of sr, denoise, isotropic and projection": (
            "conv_before_upsample0.",
            "conv_last0.",
        ),
        "volume tail": ("conv_before_upsamplev.", "conv_lastv."),
    },
    "projection": {"projecting network": ("project.",), "restoration": ("denoise.",)},
    "volume": {
        "light-field head": ("conv_first0.",),
        "restoration head": ("conv_first.",),
        "body": _BODY,
        "tail": ("conv_before_upsample.", "conv_last."),
    },
    "restoration": {
        "head": ("conv_first.",),
        "body": _BODY,
        "tail": ("conv_before_upsample.", "conv_last."),
    },
}

_STRANGERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("^body.0.conv_match1.0.weight", "^head.0.weight"),
        (
            "the projecting network alone, the first stage of projection, whose checkpoint "
            "holds it under `project.` and the restoration under `denoise.`"
        ),
    ),
    (
        ("^encoder_layers.0.0.weight", "^conv2d.weight"),
        (
            "the light-field U-Net alone, the first stage of volume; a checkpoint for volume holds "
            "it under `conv_first0.` and the restoration beside it"
        ),
    ),
    (("^patch_embed.proj.weight", "^layers.0.blocks.0."), "a Swin classifier for natural images"),
    (("^features.0.0.weight", "^features.1.0."), "a torchvision classifier"),
    (("FCAB",), "DFCAN"),
    (("RCAB",), "RCAN or DFCAN"),
    (("^body.0.body.0.body.0.weight",), "RCAN"),
    (("^body.0.body.0.weight", "^head.0.weight"), "EDSR"),
    (("downsample.down.res_down_0",), "Cellpose"),
    (("double_conv",), "a U-Net"),
    (("param_groups",), "the state of an optimizer"),
)
"""Fragments that all occur in a foreign network's keys (^: at the start of one), and its name."""

_KINDS: dict[str, str] = {
    "multi-task": "conv_firstsr conv_firstdT conv_firstiso conv_firstproj conv_firstv upsamplesr "
    "conv_before_upsample0 conv_last0 conv_before_upsamplev conv_lastv project conv_first0 "
    "patch_embed layers norm conv_after_body",
    "projection": "project denoise",
    "volume": "conv_first0 conv_first patch_embed layers norm conv_after_body "
    "conv_before_upsample conv_last",
    "restoration (sr, denoise, isotropic)": "conv_first patch_embed layers norm conv_after_body "
    "conv_before_upsample upsample conv_last",
}
"""First parts of the keys of each known layout."""


def describe_misfit(
    config: ModelConfig, expected: Mapping[str, Shape], found: Mapping[str, Shape]
) -> str:
    """Key by key why weights are not those of the network they resemble most."""
    missing = [k for k in expected if k not in found and not is_optional(k)]
    unexpected = [k for k in found if k not in expected]
    wrong = [k for k in expected if k in found and found[k] != expected[k]]
    lines = [f"the weights do not fit: {_likeness(config, missing, unexpected, expected, found)}"]
    lines += _listed("missing", [f"{k} {list(expected[k])}" for k in missing])
    lines += _listed("unexpected", [f"{k} {list(found[k])}" for k in unexpected])
    lines += _listed(
        "wrong shape",
        [f"{k}: expected {list(expected[k])}, found {list(found[k])}" for k in wrong],
    )
    return "\n".join(lines)


def describe_stranger(found: Mapping[str, Shape]) -> str:
    """What weights without any of the known heads look like."""
    if not found:
        return "there are no weights in it: expected the state dict of a UniFMIR network"
    starts = {key.partition(".")[0] for key in found}
    likeness = {
        layout: len(starts & set(kinds.split())) / len(starts | set(kinds.split()))
        for layout, kinds in _KINDS.items()
    }
    nearest = max(likeness, key=lambda layout: likeness[layout])
    if name := _stranger(found):
        looks = f"it looks like {name}"
    elif likeness[nearest]:
        looks = (
            f"the nearest known layout is {nearest}, with "
            f"{100 * likeness[nearest]:.0f} % of its parts in common"
        )
    else:
        looks = "it has nothing in common with any known layout"
    some = [f"{key} {list(shape)}" for key, shape in found.items()]
    lines = [f"this is not a UniFMIR checkpoint: {looks}", *_listed("found", some)]
    return "\n".join(lines)


def _likeness(
    config: ModelConfig,
    missing: list[str],
    unexpected: list[str],
    expected: Mapping[str, Shape],
    found: Mapping[str, Shape],
) -> str:
    if isinstance(config, ReferenceConfig):
        return f"it says it is {config.model} for {config.task}, but not all of it fits"
    layout = _layout_name(config)
    if any(key.startswith(("upsample.2.", "conv_up1.", "upsample.up")) for key in unexpected):
        return (
            "it looks like a SwinIR network for natural images, embedding "
            f"{config.body.embed_dim}, not like UniFMIR"
        )
    if name := _stranger(found):
        return f"it looks like {name}"
    absent = [
        part
        for part, starts in _PARTS[layout].items()
        if all(
            key in missing for key in expected if key.startswith(starts) and not is_optional(key)
        )
    ]
    what = {
        "multi-task": "a multi-task checkpoint",
        "restoration": f"a single-task network for {getattr(config, 'task', '')}",
    }.get(layout, f"a single-task network for {layout}")
    if absent:
        return f"it looks like {what} without its {', '.join(absent)}"
    touched = [
        part
        for part, starts in _PARTS[layout].items()
        if any(key.startswith(starts) for key in missing)
    ]
    if touched:
        return f"it looks like {what} with an incomplete {', '.join(touched)}"
    return f"it looks most like {what}, but not all of it fits"


def _stranger(found: Iterable[str]) -> str:
    keys = "^" + "\n^".join(found)
    return next((name for marks, name in _STRANGERS if all(m in keys for m in marks)), "")


def _layout_name(config: UniFMIRConfig) -> str:
    if isinstance(config, MultiTaskConfig):
        return "multi-task"
    if config.projector is not None:
        return "projection"
    return "restoration" if config.view_unet is None else "volume"


def _listed(what: str, items: list[str]) -> list[str]:
    if not items:
        return []
    # Keys come from the file: control characters in one must not reach a terminal.
    shown = [f"    {re.sub(r'[^ -~]', '?', item)[:200]}" for item in items[:SHOWN]]
    more = [f"    ... and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [f"  {what} ({len(items)}):", *shown, *more]

"""Diagnosis of a file that does not fit: which keys differ, and what it looks like."""

import re
from collections.abc import Iterable, Mapping

from unifmir.checkpoint.official import is_optional
from unifmir.config import KeyLayout, ModelConfig, MultiTaskConfig, ReferenceConfig, layout_of
from unifmir.networks.swin import BODY_PARTS
from unifmir.tasks import TASKS, multitask_parts
from unifmir.tasks.base import SHARED_TAIL

Shape = tuple[int, ...]

SHOWN = 12
"""Keys listed of each kind."""

BODY = tuple(f"{part}." for part in BODY_PARTS)
"""Starts of the keys of a Swin body."""
RESTORATION = "denoise."
"""Start of the keys of the Swin restoration behind a projector."""
_SINGLE_PARTS: dict[KeyLayout, dict[str, tuple[str, ...]]] = {
    "projector": {"projecting network": ("project.",), "restoration": (RESTORATION,)},
    "view_unet": {
        "light-field head": ("conv_first0.",),
        "restoration head": ("conv_first.",),
        "body": BODY,
        "tail": ("conv_before_upsample.", "conv_last."),
    },
    "swin": {
        "head": ("conv_first.",),
        "body": BODY,
        "tail": ("conv_before_upsample.", "upsample.", "conv_last."),
    },
}
"""Parts of the single-task networks by name, as starts of keys."""

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
    if unexpected and not missing and not wrong:
        lines.append("the network itself is whole: save it alone, with network.state_dict()")
    return "\n".join(lines)


def describe_stranger(found: Mapping[str, Shape]) -> str:
    """Likeness of weights without any of the known heads, and some of their keys."""
    if not found:
        return "there are no weights in it: expected the state dict of a UniFMIR network"
    starts = {key.partition(".")[0] for key in found}
    likeness = {}
    for layout in ("multitask", "separate", *_SINGLE_PARTS):
        known = {key.removesuffix(".") for keys in _parts(layout).values() for key in keys}
        likeness[_layout_name(layout)] = len(starts & known) / len(starts | known)
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
    if any(key.startswith(("upsample.2.", "conv_up1.", "upsample.up")) for key in unexpected):
        return (
            "it looks like a SwinIR network for natural images, embedding "
            f"{config.body.embed_dim}, not like UniFMIR"
        )
    if name := _stranger(found):
        return f"it looks like {name}"
    parts = _parts(layout_of(config)).items()
    absent = [
        part
        for part, starts in parts
        if all(
            key in missing for key in expected if key.startswith(starts) and not is_optional(key)
        )
    ]
    what = "a multi-task checkpoint"
    if not isinstance(config, MultiTaskConfig):
        what = f"a single-task network for {config.task}"
    if absent:
        return f"it looks like {what} without its {', '.join(absent)}"
    touched = [part for part, starts in parts if any(key.startswith(starts) for key in missing)]
    if touched:
        return f"it looks like {what} with an incomplete {', '.join(touched)}"
    return f"it looks most like {what}, but not all of it fits"


def _stranger(found: Iterable[str]) -> str:
    keys = "^" + "\n^".join(found)
    return next((name for marks, name in _STRANGERS if all(m in keys for m in marks)), "")


def _parts(layout: KeyLayout) -> dict[str, tuple[str, ...]]:
    """Parts of a network by name, as starts of keys."""
    parts = multitask_parts()
    if layout == "separate":
        return {f"network for {task}": (f"{task}.",) for task in parts}
    if layout != "multitask":
        return _SINGLE_PARTS[layout]
    sharing = [task for task, part in parts.items() if part.shares_tail]
    tails = {
        f"{task} tail": tuple(start for start in part.own_layers if start not in part.head)
        for task, part in parts.items()
        if not part.shares_tail
    }
    return {
        **{f"{task} head": part.head for task, part in parts.items()},
        "body": BODY,
        f"shared tail of {', '.join(sharing[:-1])} and {sharing[-1]}": tuple(SHARED_TAIL),
        **tails,
    }


def _layout_name(layout: KeyLayout) -> str:
    """Name of a layout in a message: the tasks that have it."""
    if layout in ("multitask", "separate"):
        return "multi-task" if layout == "multitask" else "multi-task with nothing shared"
    tasks = [task for task in TASKS if (TASKS[task].shape.stage or "swin") == layout]
    return f"restoration ({', '.join(tasks)})" if layout == "swin" else " or ".join(tasks)


def _listed(what: str, items: list[str]) -> list[str]:
    if not items:
        return []
    # Keys come from the file: control characters in one must not reach a terminal.
    shown = [f"    {re.sub(r'[^ -~]', '?', item)[:200]}" for item in items[:SHOWN]]
    more = [f"    ... and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [f"  {what} ({len(items)}):", *shown, *more]

"""Sets of weights in a file: under which names they lie, behind which prefix, raw or averaged.

Training code puts the state dict beside other things (`{"state_dict": ..., "epoch": 3}`), in
wrappers that prefix every key (`module.`, `model.`, `net.model.`), and beside a running average of
itself. A prefix is what stands before the keys of a known network, whatever it is called.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from unifmir.checkpoint.detect import layout_starts
from unifmir.errors import CheckpointError

WeightKind = Literal["raw", "ema"]
"""Weights as trained, or their running average."""

NESTS = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "params",
    "net",
    "network",
    "netG",
    "net_g",
    "weights",
)
"""Names under which training code puts the weights beside other things."""
PREFIXES = ("module.", "network.", "_orig_mod.")
"""Prefixes of DataParallel, of unifmir's own image interface, and of torch.compile."""
COUNTERS = ("n_averaged", "num_updates", "total_ops", "total_params")
"""Last part of keys that count: of torch's AveragedModel, of averages, and of thop."""
_OBJECTIVE = re.compile(r"(\w+_)?(criterion|loss(es)?|metrics?|lpips|discriminator)(_\w+)?\.")
"""Start of keys of what a network is trained by: no network has a layer of such a name."""
_AVERAGE = re.compile(r"(^|[._])(ema|averaged?|avg|swa)([._]|$)")
_BODY = "layers.0.residual_group."
"""Part of the keys of every network of UniFMIR."""
_CURRENT = "current_model_state"
"""Name of the raw weights where Lightning's WeightAveraging keeps the average in `state_dict`."""
_MAX_NESTING = 3


@dataclass(frozen=True, slots=True)
class WeightSet:
    """One network's entries in a file."""

    kind: WeightKind
    nest: str
    """Names that led to them, as in `"state_dict"`; empty if the file is the state dict."""
    prefix: str
    """Taken off every key."""
    entries: dict[str, Tensor]
    beside: tuple[str, ...] = ()
    """Keys of the same state dict that belong to no network: of losses, metrics, counters."""

    @property
    def place(self) -> str:
        """Place in the file, for a message."""
        places = [self.nest and f"under {self.nest!r}", self.prefix and f"behind {self.prefix!r}"]
        return " ".join(filter(None, places)) or "at the top"


def chosen_set(content: Any, kind: WeightKind | None) -> WeightSet:
    """The weights in a file's content.

    Parameters
    ----------
    content : any
        Of a file that was read; expected is a dictionary.
    kind : {"raw", "ema"}, optional
        Which ones, where the file has both.

    Raises
    ------
    CheckpointError
        There are none, or several that `kind` does not tell apart.
    """
    found = [one for state in _states(content) for one in _sets(state)]
    fitting = [one for one in found if kind in (None, one.kind)]
    if len(fitting) == 1:
        return fitting[0]
    told = "; ".join(f"{one.kind} {one.place}" for one in found)
    if not fitting:
        raise CheckpointError(f"it has no {kind} weights, only {told}: leave --weights out")
    kinds = {one.kind for one in found}
    if kind is None and len(kinds) == len(found):
        raise CheckpointError(
            f"it has two sets of weights ({told}): choose with --weights raw or --weights ema"
        )
    raise CheckpointError(
        f"it is not clear which weights are meant: two networks in one file ({told}); save the one "
        "wanted alone, with torch.save(its state dict, ...)"
    )


@dataclass(frozen=True, slots=True)
class _State:
    """A state dict inside a file."""

    kind: WeightKind
    nest: str
    entries: dict[Any, Any]


def _states(content: Any, trail: tuple[str, ...] = ()) -> Iterator[_State]:
    """The state dicts in a file's content."""
    nest = ".".join(trail)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"expected a state dict (names and tensors), found {_type_of(content)}"
            + (f" under {nest!r}" if trail else "")
            + "; save it again with torch.save(network.state_dict(), ...)"
        )
    nests = [name for name, value in content.items() if _is_nest(name) and isinstance(value, dict)]
    # A nest without a tensor holds settings, unless there is nothing else.
    if _has_tensor(content):
        nests = [name for name in nests if _has_tensor(content[name])]
    if not nests:
        yield _State(_kind_of(nest), nest, content)
        return
    beside = [key for key, value in content.items() if isinstance(value, Tensor) and _dotted(key)]
    if beside:
        raise CheckpointError(
            f"it is not clear which weights are meant: found {', '.join(map(repr, nests))} beside "
            f"other tensors ({str(beside[0])[:80]!r}); save the one wanted alone, with "
            "torch.save(found['name'], ...)"
        )
    if len(trail) == _MAX_NESTING:
        raise CheckpointError(f"state dicts nested deeper than {nest!r}")
    for name in nests:
        for state in _states(content[name], (*trail, name)):
            averaged = _CURRENT in nests and name == "state_dict"
            yield replace(state, kind="ema") if averaged else state


def _is_nest(name: Any) -> bool:
    return isinstance(name, str) and (name in (*NESTS, _CURRENT) or _kind_of(name) == "ema")


def _kind_of(name: str) -> WeightKind:
    return "ema" if _AVERAGE.search(name) else "raw"


def _dotted(key: Any) -> bool:
    """Whether a key is that of a network's entry: theirs all have a dot."""
    return not isinstance(key, str) or "." in key


def _has_tensor(value: Mapping[Any, Any], depth: int = 0) -> bool:
    return any(
        isinstance(item, Tensor)
        or (isinstance(item, dict) and depth < _MAX_NESTING and _has_tensor(item, depth + 1))
        for item in value.values()
    )


def _sets(state: _State) -> list[WeightSet]:
    """The networks in a state dict."""
    entries = _tensors(state.entries)
    groups = _groups(entries)
    if not groups:
        entries, prefix = _unwrapped(entries)
        groups = {prefix: entries}
    averages = _flat_averages(groups, entries)
    used = {f"{prefix}{key}" for prefix, group in groups.items() for key in group}
    outside = [str(key) for key in state.entries if key not in used]
    beside = tuple(key for key in outside if not key.startswith(tuple(averages)))
    return [
        WeightSet(
            "ema" if prefix in averages else _kind_of(f"{state.kind}.{prefix}"),
            state.nest,
            prefix,
            group,
            beside,
        )
        for prefix, group in {**groups, **averages}.items()
    ]


def _tensors(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The entries of a state dict without what training code leaves between them.

    Left out are counters, and values under a key without a dot that are no tensors: an epoch.
    """
    strange = [
        f"{str(key)[:80]!r} ({_type_of(value)})"
        for key, value in state.items()
        if not isinstance(key, str) or not (_is_plain(value) or _is_extra(key, value))
    ]
    tensors = {key: value for key, value in state.items() if _is_plain(value)}
    if not state:
        raise CheckpointError("the state dict is empty: save the network's state_dict() again")
    if strange or not tensors:
        told = strange or [f"{key[:80]!r} ({_type_of(value)})" for key, value in state.items()]
        shown = ", ".join(told[:6]) + (", ..." if len(told) > 6 else "")
        raise CheckpointError(
            f"{len(told)} of {len(state)} entries are not plain tensors under a name: "
            f"{shown}; save only network.state_dict()"
        )
    return {
        key: tensor
        for key, tensor in tensors.items()
        if tensor.numel() != 1 or key.rpartition(".")[2] not in COUNTERS
    }


def _is_extra(key: str, value: Any) -> bool:
    return not isinstance(value, Tensor) and not _dotted(key)


def _groups(entries: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Entries of each known network under their own keys, by the prefix before them."""
    starts = layout_starts()
    found = (_prefix_of(key, starts) for key in entries)
    prefixes = [prefix for prefix in dict.fromkeys(found) if prefix is not None]
    groups: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in prefixes}
    for key, tensor in entries.items():
        owners = [
            prefix
            for prefix in prefixes
            if key.startswith(prefix) and not _OBJECTIVE.match(key, len(prefix))
        ]
        if owners:
            # The longest: the network at the top has what is in no other.
            owner = max(owners, key=len)
            groups[owner][key.removeprefix(owner)] = tensor
    # Part of a loss may have a convolution of the same name, but not the body.
    whole = {p: group for p, group in groups.items() if any(_BODY in key for key in group)}
    return whole or groups


def _prefix_of(key: str, starts: tuple[str, ...]) -> str | None:
    """The part before the key of a known network; None if it is none."""
    at = 0
    while not key.startswith(starts, at):
        at = key.find(".", at) + 1
        if not at:
            return None
    return key[:at]


def _unwrapped(entries: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Entries of a network of another kind, without the prefixes of wrappers."""
    taken = ""
    while found := [p for p in PREFIXES if all(key.startswith(p) for key in entries)]:
        entries = {key.removeprefix(found[0]): tensor for key, tensor in entries.items()}
        taken += found[0]
    return entries, taken


def _flat_averages(
    groups: Mapping[str, dict[str, Tensor]], entries: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """Averages whose keys have lost their dots, as latent diffusion's `LitEma` keeps them.

    It holds the trained parameters alone; the other entries are those of the raw weights.
    """
    found: dict[str, dict[str, Tensor]] = {}
    heads = {key.rpartition(".")[0] for key in entries}
    for prefix, group in groups.items():
        parts = prefix.split(".")[:-1]
        names = {
            "".join(parts[i:]) + key.replace(".", ""): key
            for key in group
            for i in range(len(parts) + 1)
        }
        for head in heads:
            if _kind_of(head) == "raw":
                continue
            average = {
                names[leaf]: tensor
                for key, tensor in entries.items()
                if key.startswith(f"{head}.") and (leaf := key[len(head) + 1 :]) in names
            }
            if 2 * len(average) > len(group):
                found[f"{head}."] = {**group, **average}
    return found


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and type(value) in (Tensor, torch.nn.Parameter)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _type_of(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{type(value).__name__}, {value.layout}, on {value.device.type}"
    return type(value).__name__

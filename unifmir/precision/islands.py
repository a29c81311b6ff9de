"""The rules that keep modules in fp32, and the parts in which islands grow."""

from collections.abc import Iterable

from torch import nn

from unifmir.interfaces import INTERFACES
from unifmir.networks.base import Network
from unifmir.networks.projection import (
    NonLocalAttention,
    Projector,
    RandomFeatureAttention,
    ResidualBlock,
)
from unifmir.networks.swin import Mlp, ResidualGroup, SwinBlock, SwinBody, WindowAttention
from unifmir.networks.volume import ViewUNet
from unifmir.precision.ranges import FP16_MAX, ModuleRange, RangeReport
from unifmir.precision.recipe import INTERFACE_REASON

SAFETY = 8.0
"""Headroom a module needs in fp16: calibration images are few, and a brighter one must not
overflow."""
MAX_WEIGHT_ERROR = 1e-3
"""Rounding error of a module's weights in fp16 over their norm. 2e-4 is what rounding to 11 bits
gives; five times that means that the weights lie where fp16 has fewer bits."""
NORMS = (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)


def island_rules(module: nn.Module, ranges: RangeReport, precision: str) -> dict[str, str]:
    """Module name -> reason, for each module that stays in fp32."""
    modules = dict(module.named_modules())
    islands = {}
    for row in ranges.rows:
        reason = _by_kind(modules[row.name], row)
        if reason is None and precision == "fp16":
            reason = _by_range(row)
        if reason is not None:
            islands[row.name] = reason
    for body, members in streams(module).items():
        lacking = [row for row in ranges.rows if row.name in members and row.name in islands]
        if lacking:
            reason = (
                f"residual stream of {_shown(body)}: {_shown(lacking[0].name)} stays in fp32 "
                f"({islands[lacking[0].name]}), and the stream has one precision"
            )
            islands |= {name: reason for name in members if name not in islands}
    # In the order of the network, so that plans read from the input to the output.
    return {name: islands[name] for name in modules if name in islands}


def _by_kind(module: nn.Module, row: ModuleRange) -> str | None:
    if _is_interface(module):
        return INTERFACE_REASON
    if isinstance(module, NORMS):
        return f"norm: variances and squares of values up to {row.max_abs:.4g}"
    if isinstance(module, RandomFeatureAttention):
        return (
            f"sums over all pixels: {row.max_abs:.4g} here, up to "
            f"{row.max_abs * row.large_image_factor:.4g} at 4096 x 4096 pixels, and its "
            "exponential amplifies rounding"
        )
    return None


def _is_interface(module: nn.Module) -> bool:
    """Whether a module is the wrapper of a row of `INTERFACES`."""
    kind = f"{type(module).__module__}:{type(module).__qualname__}"
    return any(row.wrapper == kind for row in INTERFACES.values())


def _by_range(row: ModuleRange) -> str | None:
    if row.headroom < SAFETY:
        return (
            f"largest magnitude {row.max_abs:.4g} (in {row.source}) leaves {row.headroom:.3g} "
            f"times to fp16's {FP16_MAX:.0f}, needed {SAFETY:g}"
        )
    if row.max_weight > FP16_MAX:
        return f"largest weight {row.max_weight:.4g} is over fp16's {FP16_MAX:.0f}"
    if row.fp16_weight_error > MAX_WEIGHT_ERROR:
        return (
            f"rounding the weights to fp16 loses {row.fp16_weight_error:.2g} of their norm, "
            f"allowed {MAX_WEIGHT_ERROR:g}; {row.fp16_subnormal_share:.1%} are subnormal"
        )
    return None


def streams(module: nn.Module) -> dict[str, set[str]]:
    """Residual streams: name of the body -> names of the modules that add to its stream."""
    found: dict[str, set[str]] = {}
    for name, child in module.named_modules():
        kinds: tuple[type[nn.Module], ...] = ()
        own = {name}
        if isinstance(child, SwinBody):
            kinds = (SwinBlock, ResidualGroup)
        elif isinstance(child, Projector):
            kinds = (ResidualBlock, NonLocalAttention)
            own.add(f"{name}.body" if name else "body")
        if kinds:
            inner = (n for n, c in child.named_modules() if isinstance(c, kinds))
            found[name] = own | {f"{name}.{n}" if name else n for n in inner}
    return found


def _shown(name: str) -> str:
    return repr(name) if name else "the network"


def kept_parts(module: nn.Module, islands: Iterable[str]) -> dict[str, int]:
    """Number of modules in fp32 by part of the network, as people name them; norms are a part."""
    modules = dict(module.named_modules())
    names = list(islands)
    norms = [name for name in names if isinstance(modules[name], NORMS)]
    others = [name for name in names if name not in set(norms)]
    grouped = {part: len(found) for part, found in parts(module, others).items()}
    return {"norms": len(norms), **grouped} if norms else grouped


def parts(module: nn.Module, names: Iterable[str]) -> dict[str, list[str]]:
    """Modules grouped into the parts a person would name: a stream, a head, a group's attention."""
    modules = dict(module.named_modules())
    stream_of = {name: body for body, members in streams(module).items() for name in members}
    grouped: dict[str, list[str]] = {}
    for name in names:
        if name in stream_of:
            part = f"the residual stream of {_shown(stream_of[name])}"
        else:
            part = _part(name, modules)
        grouped.setdefault(part, []).append(name)
    return grouped


def _part(name: str, modules: dict[str, nn.Module]) -> str:
    if not name:
        return "the network's own operations"
    pieces = name.split(".")
    start, suffix = 0, ""
    for end in range(len(pieces)):
        outer = modules[".".join(pieces[:end])]
        if isinstance(outer, (Network, Projector, ViewUNet)) or _is_interface(outer):
            start = end
        if isinstance(outer, WindowAttention):
            suffix = " attention"
        elif isinstance(outer, Mlp):
            suffix = " mlp"
    inner = modules[name]
    suffix = " attention" if isinstance(inner, WindowAttention) else suffix
    suffix = " mlp" if isinstance(inner, Mlp) else suffix
    length = start + 1
    if isinstance(modules[".".join(pieces[:length])], nn.ModuleList):
        length += 1
    return repr(".".join(pieces[:length])) + suffix

"""Replacement of an eager network's slow parts by native ones."""

import copy
from typing import TypeVar, cast

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from unifmir.errors import ExportError
from unifmir.native.compilation import require
from unifmir.native.convolutions import NativeResidual, kernel_of
from unifmir.native.packing import WINDOW
from unifmir.native.rounding import Moments, measure_moments, moments_inside
from unifmir.native.swin_body import NativeBody
from unifmir.native.view_unet import NativeViewUNet
from unifmir.networks.base import Network
from unifmir.networks.projection import ResidualBlock
from unifmir.networks.swin import BODY_PARTS, SwinBody, SwinRestoration
from unifmir.networks.volume import ViewUNet, VolumeRestoration

PRECISIONS = ("fp32", "bf16")
Images = Float32[Tensor, "n c h w"]
_Module = TypeVar("_Module", bound=nn.Module)


class _NativeBody:
    """Takes the place of `SwinBody.enhance`."""

    native_body: NativeBody

    def enhance(self, features: Images, residual: bool) -> Images:
        """Enhance features of any real value in C; `residual`: add them to the result."""
        enhanced: Tensor = self.native_body(features, residual)
        return enhanced


class NativeSwinRestoration(_NativeBody, SwinRestoration):
    """`SwinRestoration` with a native body."""


class NativeVolumeRestoration(_NativeBody, VolumeRestoration):
    """`VolumeRestoration` with a native body."""


_CONVOLVING = {ResidualBlock: NativeResidual, ViewUNet: NativeViewUNet}
_NATIVE = {SwinRestoration: NativeSwinRestoration, VolumeRestoration: NativeVolumeRestoration}


@torch.no_grad()
def accelerate(
    module: _Module,
    *,
    precision: str = "fp32",
    convolutions: str | None = None,
    example: Float32[Tensor, "..."] | None = None,
) -> _Module:
    """A copy of a network for inference on the CPU, with the slow parts in C.

    Parameters
    ----------
    module : module
        A single-task network, with or without its image interface, fp32, on the CPU. It is not
        changed.
    precision : {"fp32", "bf16"}
        bf16: products of Swin blocks, of the projector's residual blocks and of the levels of a
        light field's U-Net, with sums and everything else in fp32. Whether that is the same picture
        is for the caller to check.
    convolutions : {"fp32", "bf16"}, optional
        Precision of residual blocks and levels, where it is not that of Swin blocks.
    example : Tensor, optional
        A real input of `module`, in the range it takes, which weights are rounded for in bf16; see
        `unifmir.native.rounding`.

    Returns
    -------
    module
        Takes and gives what `module` does. It has no state dict of its own, and no gradients.

    Raises
    ------
    ExportError
        The network is one of several tasks, its windows are not 8 pixels, its weights are not fp32
        on the CPU, or nothing of it would be computed in bf16.
    MissingExtraError
        There is no C compiler, or the processor does not multiply in bf16.
    """
    _check(module, precision)
    bf16 = precision == "bf16"
    moments = measure_moments(module, example) if bf16 and example is not None else {}
    native = copy.deepcopy(module)
    narrow = (convolutions or precision) == "bf16"
    # Largest parts first: what they consist of is not looked at again.
    for name, body in list(native.named_modules()):
        if isinstance(body, SwinBody):
            _replace_body(body, bf16, moments_inside(moments, name))
    used_in_parts = getattr(module, "USED_IN_PARTS", ())
    for name, part in list(native.named_modules()):
        for kind, native_kind in _CONVOLVING.items():
            if isinstance(part, kind) and not isinstance(part, used_in_parts):
                parent, _, last = name.rpartition(".")
                replaced = native_kind(part, narrow, moments_inside(moments, name))
                setattr(native.get_submodule(parent), last, replaced)
    for parent in list(native.modules()):
        _replace_convolutions(parent)
    return native.eval().requires_grad_(False)


def _check(module: nn.Module, precision: str) -> None:
    if precision not in PRECISIONS:
        raise ExportError(
            f"native kernels compute in {' or '.join(PRECISIONS)}, not in {precision}"
        )
    for body in module.modules():
        if isinstance(body, Network) and body.kind == "multitask":
            raise ExportError("native kernels are for networks of one task: prune it first")
        if isinstance(body, SwinBody) and body.window_size != WINDOW:
            raise ExportError(
                f"native kernels have windows of {WINDOW} pixels, this network "
                f"{body.window_size}: use the eager runtime"
            )
    if precision == "bf16" and not any(isinstance(m, SwinBody) for m in module.modules()):
        raise ExportError(
            "native kernels compute Swin blocks in bf16 and this network has none: use native in "
            "fp32, which is what it would be"
        )
    kinds = {(p.dtype, p.device.type) for p in module.parameters()}
    if kinds != {(torch.float32, "cpu")}:
        found = ", ".join(sorted(f"{kind} on {device}" for kind, device in kinds))
        raise ExportError(f"native kernels start from fp32 weights on the CPU, found {found}")
    require(precision)


def _replace_body(body: SwinBody, bf16: bool, moments: Moments) -> None:
    native = NativeBody(body, bf16, moments)
    for name in BODY_PARTS:
        delattr(body, name)
    body.__class__ = _NATIVE[type(body)]
    cast(NativeSwinRestoration, body).native_body = native


def _replace_convolutions(parent: nn.Module) -> None:
    """Every 3 x 3 convolution that is faster here, with the activation that follows it."""
    children = list(parent.named_children())
    following = dict(
        zip([name for name, _ in children], [m for _, m in children[1:]], strict=False)
    )
    for name, child in children:
        if not isinstance(child, nn.Conv2d):
            continue
        kind = kernel_of(child)
        if kind is None:
            continue
        slope, after = None, following.get(name)
        if isinstance(parent, nn.Sequential) and isinstance(after, nn.LeakyReLU | nn.ReLU):
            slope = after.negative_slope if isinstance(after, nn.LeakyReLU) else 0.0
            setattr(parent, str(int(name) + 1), nn.Identity())
        setattr(parent, name, kind(child, slope=slope))

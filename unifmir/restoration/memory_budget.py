"""How much memory a network needs, and how much there is."""

from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.devices import device_named
from unifmir.interfaces import interface_of
from unifmir.machine import available_bytes
from unifmir.networks.volume import ViewUNet
from unifmir.restoration.base import EAGER_BODY_MAPS, Predictor

SHARE = 0.5
"""Fraction of the free memory that is used: other programs need some, allocators round up."""
HOST_BYTES = 2 * 2**30
"""Taken on the CPU at most: larger tiles gain little, and the machine is not ours."""
# Maps alive at once. Peaks of the eager network, measured, in kB a pixel, and by the formula in
# brackets: denoise 2.6 (3.5) and sr 2.6 (4.3) at the paper's size, 1.1 (1.4) small; projection
# 2.5 (3.5) small; volume 5.5 (8.4) and 2.4 (2.9) small. As a graph, denoise 10.5 (10.6).
_ATTENTION_MAPS = 3
"""Maps of heads * window^2 weights a pixel, which graphs hold; modules go through the windows in
parts."""
_TAIL_MAPS = 2
_PROJECTOR_MAPS = 16
_UNET_MAPS = 3
_REFERENCE_BYTES = 4096
"""Memory of a reference model for a pixel or voxel. Measured: 1.0 kB (care) to 3.3 kB (dfcan)."""
_FLOAT = 4


def run_bytes_per_pixel(predictor: Predictor) -> float:
    """Memory that a run needs for each pixel of the image; voxel, for networks with a depth."""
    if predictor.bytes_per_pixel is not None:
        return predictor.bytes_per_pixel
    return estimated_bytes_per_pixel(
        predictor.config, predictor.body_maps, holds_attention=predictor.holds_attention
    )


def estimated_bytes_per_pixel(
    config: SingleConfig, body_maps: int = EAGER_BODY_MAPS, *, holds_attention: bool = False
) -> float:
    """Memory a pixel of the image from the widths of the layers, in fp32.

    Parameters
    ----------
    body_maps, holds_attention
        As of `Predictor`.
    """
    lens = interface_of(config).lens_px(config.signature) ** 2
    if isinstance(config, ReferenceConfig):
        # Light fields: their network works at 256 pixels a lens, and there are 121 behind it.
        return _REFERENCE_BYTES * config.signature.enlarge**2 * (2 if lens > 1 else 1)
    body = config.body
    floats: float = body_maps * body.embed_dim
    if holds_attention:
        floats += _ATTENTION_MAPS * max(body.num_heads) * body.window_size**2
    floats += _TAIL_MAPS * config.tail_features * config.scale**2
    if config.projector is not None:
        floats += _PROJECTOR_MAPS * config.projector.features
    if config.view_unet is not None:
        unet = config.view_unet
        widths = unet.entry_features + unet.encoder[0]
        floats += _UNET_MAPS * widths * 4**ViewUNet.STEPS / lens
    return _FLOAT * floats


def usable_bytes(device: str) -> int:
    """Bytes that a run may take of the memory that is free now."""
    there = device_named(device)
    if there.kind.free_bytes is not None:
        return int(there.kind.free_bytes(there.index) * SHARE)
    return int(min(available_bytes() * SHARE, HOST_BYTES))

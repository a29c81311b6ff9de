"""Training patches cut from a normalised pair, as the image interfaces' rows name them.

Each function takes the image and the target of a pair, (y, x) or (z, y, x), float32, normalised,
and gives them as the plain network takes and gives them, without the batch, cut laterally and
turned. Random numbers are drawn in an order that decides which weights a training gives: they must
not be drawn in another.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32

from unifmir.errors import ImageError
from unifmir.signature import Signature
from unifmir.simulate import lightfield

SLAB_PLANES = 16
"""Depth of a training patch of a network that has a depth of its own (Ma et al. 2024, Extended
Data Table 1: CARE and GVTNets)."""

Array = Float32[np.ndarray, "..."]
Patch = Float32[np.ndarray, "_ ..."]
"""Normalised planes or a stack; views of a light field and its volume lie in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """How a patch is cut: its side, and how it is turned."""

    side: int
    """Pixels of the network's input; lenses for light fields."""
    turns: int
    """Quarter turns."""
    flip: bool
    rng: np.random.Generator


def plane_patch(
    image: Array, target: Array, _signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """A plane of normalised intensities; of a stack a random one."""
    if image.ndim == 2:
        return _cut(image[None], target[None], wanted)
    return _cut(*_window(image, target, 1, wanted.rng), wanted)


def enlarged_patch(
    image: Array, target: Array, signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """A plane of normalised intensities at the sampling of its target, enlarged bilinearly."""
    plane, target = plane_patch(image, target, signature, wanted)
    small = torch.from_numpy(np.ascontiguousarray(plane))[None]
    large = F.interpolate(small, scale_factor=signature.enlarge, mode="bilinear")
    return large[0].numpy(), target


def window_patch(
    image: Array, target: Array, signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """A random slice with its neighbours, normalised intensities, and the slice of the target."""
    return _cut(*_window(image, target, signature.channels, wanted.rng), wanted)


def axial_patch(
    image: Array, target: Array, _signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """A slice of normalised intensities with rows y and columns z, axes never exchanged."""
    plane = int(wanted.rng.integers(image.shape[2]))
    image, target = (stack[None, :, :, plane].transpose(0, 2, 1) for stack in (image, target))
    return _cut(image, target, wanted, turns=2 * (wanted.turns % 2))


def projection_patch(
    image: Array, target: Array, _signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """All planes of a stack, normalised intensities, and the one plane of the target."""
    return _cut(image, target[None], wanted)


def stack_projection_patch(
    image: Array, target: Array, signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """A whole stack of normalised intensities in one channel, and the plane of the target."""
    stack, target = projection_patch(image, target, signature, wanted)
    return stack[None], target


def slab_patch(
    image: Array, target: Array, _signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """Neighbouring planes of both stacks in one channel each, normalised intensities."""
    start = int(wanted.rng.integers(max(1, len(image) - SLAB_PLANES + 1)))
    slab = slice(start, start + SLAB_PLANES)
    image, target = _cut(image[slab], target[slab], wanted)
    return image[None], target[None]


def light_field_patch(
    image: Array, target: Array, signature: Signature, wanted: PatchRequest
) -> tuple[Patch, Patch]:
    """Views in [-1, 1] of whole lenses of a light field, and the volume below them."""
    unit = isqrt(signature.channels)
    image, target = _cut(image[None], target, wanted, unit=unit)
    views = lightfield.separate(image[0], unit)
    return views.reshape(unit**2, *views.shape[2:]), target


def _window(
    image: Array, target: Array, slices: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """A window around a random slice; beyond the ends that slice itself, as at inference."""
    centre, reach = int(rng.integers(len(image))), slices // 2
    wanted = range(centre - reach, centre + reach + 1)
    index = [z if 0 <= z < len(image) else centre for z in wanted]
    return image[index], target[centre : centre + 1]


def _cut(
    image: Array,
    target: Array,
    wanted: PatchRequest,
    *,
    unit: int = 1,
    turns: int | None = None,
) -> tuple[Array, Array]:
    """Cut one random square of both, at multiples of `unit` pixels, turned alike."""
    side = wanted.side * unit
    scale = target.shape[-1] // image.shape[-1]
    free = [(length - side) // unit for length in image.shape[-2:]]
    if min(free) < 0:
        raise ImageError(
            f"a patch of {side} pixels does not fit an image of {image.shape[-2:]}; "
            "simulate larger scenes, or lower `TrainingRecipe.patch`"
        )
    y, x = (unit * int(wanted.rng.integers(f + 1)) for f in free)
    rows, columns = slice(y * scale, (y + side) * scale), slice(x * scale, (x + side) * scale)
    cut = image[:, y : y + side, x : x + side], target[:, rows, columns]
    first, second = (
        _turned(planes, wanted.turns if turns is None else turns, wanted.flip) for planes in cut
    )
    return first, second


def _turned(planes: Array, turns: int, flip: bool) -> Array:
    """Rotate by quarter turns and mirror, laterally."""
    planes = np.rot90(planes, turns, axes=(-2, -1))
    return planes[..., ::-1] if flip else planes

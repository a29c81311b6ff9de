"""The five tasks: one row each. Nothing here imports torch.

Everything that depends on the task alone is read here by the eager path, ONNX, BioImage.IO, the
CLI and the web page: normalisation, axes, magnification, size rules.
Source: Ma et al., Nature Methods 2024, Methods, and the official inference as described there.
"""

from dataclasses import dataclass
from typing import Literal

from unifmir.errors import UnknownNameError
from unifmir.registry import nearest_name


@dataclass(frozen=True, slots=True)
class Normalization:
    """How an image becomes the network's input, and how the output goes back.

    `percentile`: (x - p_low) / (p_high - p_low), percentiles of the whole image or stack.
    `light_field`: x / (0.55 * max) - 1, computed inside the image interface.
    """

    method: Literal["percentile", "light_field"]
    low_percent: float = 0.0
    high_percent: float = 100.0
    clip: bool = False
    """Clip the normalised input to [0, 1]."""
    invertible: bool = True
    """Whether the output is mapped back with the input's own percentiles."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which image sizes a network takes. Pixels."""

    minimum: int
    multiple_of: int = 1
    """1: any size from the minimum on, padded inside the network."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One row of `TASKS`."""

    name: str
    title: str
    summary: str
    """One sentence for people."""
    input_axes: str
    """Axes of the image a user holds, one letter each of `z`, `y`, `x`."""
    output_axes: str
    normalization: Normalization
    size: SizeRule
    """Lateral sizes of the image interface."""
    network: str
    """`module:class` of the single-task network."""
    zoo_tags: tuple[str, ...]
    """Task tags of BioImage.IO."""


_CARE_PERCENTILES = Normalization(
    "percentile", 2.0, 99.8, source="Weigert et al. 2018 (CARE), as in the official inference"
)
_SWIN = "unifmir.networks.swin:SwinRestoration"

TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="sr",
            title="Super-resolution",
            summary="Doubles the sampling of a widefield image and restores detail.",
            input_axes="yx",
            output_axes="yx",
            normalization=Normalization(
                "percentile", 0.0, 100.0, clip=True, source="min-max, as in the official inference"
            ),
            size=SizeRule(minimum=1),
            network=_SWIN,
            zoo_tags=("super-resolution", "image-restoration"),
        ),
        TaskSpec(
            name="denoise",
            title="Denoising",
            summary="Removes noise from a stack, each slice with its neighbours in view.",
            input_axes="zyx",
            output_axes="zyx",
            normalization=_CARE_PERCENTILES,
            size=SizeRule(minimum=1),
            network=_SWIN,
            zoo_tags=("denoising", "image-restoration"),
        ),
        TaskSpec(
            name="isotropic",
            title="Isotropic reconstruction",
            summary="Restores the axial resolution of a stack interpolated to isotropic sampling.",
            input_axes="zyx",
            output_axes="zyx",
            normalization=_CARE_PERCENTILES,
            size=SizeRule(minimum=1),
            network=_SWIN,
            zoo_tags=("image-restoration", "image-reconstruction"),
        ),
        TaskSpec(
            name="projection",
            title="Surface projection",
            summary="Projects the surface inside a stack onto one denoised plane.",
            input_axes="zyx",
            output_axes="yx",
            normalization=Normalization(
                "percentile",
                2.0,
                99.8,
                source="training data of the paper; its test images are stored normalised",
            ),
            size=SizeRule(minimum=1),
            network="unifmir.networks.projection:ProjectionRestoration",
            zoo_tags=("image-reconstruction", "image-restoration"),
        ),
        TaskSpec(
            name="volume",
            title="Light-field volume reconstruction",
            summary="Reconstructs a volume from one raw light-field image.",
            input_axes="yx",
            output_axes="zyx",
            normalization=Normalization(
                "light_field", invertible=False, source="as in the official inference"
            ),
            size=SizeRule(minimum=11, multiple_of=11),
            network="unifmir.networks.volume:VolumeRestoration",
            zoo_tags=("image-reconstruction", "image-restoration"),
        ),
    )
}


def task_named(name: str) -> TaskSpec:
    """The row of `TASKS`, or UnknownNameError with the known names and the nearest."""
    if name not in TASKS:
        known = list(TASKS)
        raise UnknownNameError(
            f"unknown task {name!r}{nearest_name(name, known)} known: {', '.join(known)}"
        )
    return TASKS[name]

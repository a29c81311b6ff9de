"""Types of a task's row: `TaskSpec` and its parts, plain values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

Size = tuple[int, int, int]
"""Depth, height and width in pixels; for light fields, height and width in lenses."""


Intensity = Literal["local", "matched", "percentile"]
"""How a result gets the image's intensities back.

`percentile`: by the percentiles that the image was scaled by, as in the official inference.
`matched`: by a line as well, the regression of the raw image on the restored one. `local`: by the
line and the low frequencies of what it leaves."""


TruthScaling = Literal["own", "shared"]
"""How the truths were scaled that a network was trained on.

`own`: by their own percentiles, as in the paper: the network's output has no unit, and a line to
the raw image brings intensities back. `shared`: by the percentiles of the input they belong to, so
that the exact inverse of the input's scaling gives intensities."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """How an image becomes the network's input, and how the output goes back.

    `percentile`: (x - p_low) / (p_high - p_low), percentiles of the whole image or stack.
    `light_field`: x / (`BRIGHTEST_FRACTION` * max) - 1, computed inside the image interface.
    """

    method: Literal["percentile", "light_field"]
    low_percent: float = 0.0
    high_percent: float = 100.0
    clip: bool = False
    """Clip the normalised input to [0, 1]."""
    invertible: bool = True
    """Whether the output is mapped back with the input's own percentiles."""
    source: str = ""

    @property
    def inside(self) -> bool:
        """Whether the image interface computes it, from the whole image's brightest pixel."""
        return self.method == "light_field"


CARE_PERCENTILES = Normalization(
    "percentile", 2.0, 99.8, source="Weigert et al. 2018 (CARE), as in the official inference"
)


FirstStage = Literal["projector", "view_unet"]
"""Networks before a Swin restoration, as fields of `SingleTaskConfig` and `MultiTaskConfig`."""


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Shapes that tell a UniFMIR checkpoint of this task from those of others."""

    stage: FirstStage | None = None
    """Network before the Swin restoration; None: there is none."""
    magnifies: bool = False
    """Whether the result is sampled more finely than what the network is shown."""
    slices: Literal["one", "odd"] = "one"
    """Planes that the Swin head reads: one, or an odd number around the restored one."""


SHARED_TAIL: Mapping[str, str] = {
    "conv_before_upsample0.": "conv_before_upsample.",
    "conv_last0.": "conv_last.",
}
"""Layers of the multi-task network that several tasks end in."""


@dataclass(frozen=True, slots=True)
class MultiTaskPart:
    """A task inside the official multi-task network: what pruning keeps, and its own settings."""

    renamed: Mapping[str, str]
    """Start of a multi-task key -> start of the official single-task key, beside the body's."""
    first_stage: str = ""
    """Start of the keys of a first network, which keep their names; empty if there is none."""
    restoration: str = ""
    """Put before the single-task keys of the Swin network where it is a part of another."""
    channels: str = ""
    """Attribute of `MultiTaskConfig` with the planes that the Swin head reads; empty for 1."""
    out_channels: str = ""
    """Attribute of `MultiTaskConfig` with the planes of the result; empty for 1."""
    tail_features: str = "tail_features"
    """Attribute of `MultiTaskConfig` with the channels before the last convolution."""
    scale: str = ""
    """Attribute of `MultiTaskConfig` with the lateral magnification; empty for 1."""
    body_residual: bool = True
    """Whether the shallow features are added to the body's result."""

    @property
    def head(self) -> tuple[str, ...]:
        """Layers of the multi-task network before the body, as starts of keys."""
        starts = (key for key, new in self.renamed.items() if new == "conv_first.")
        return tuple(start for start in (self.first_stage, *starts) if start)

    @property
    def shares_tail(self) -> bool:
        """Whether the task ends in `SHARED_TAIL`."""
        return SHARED_TAIL.keys() <= self.renamed.keys()

    @property
    def own_layers(self) -> tuple[str, ...]:
        """Layers of the multi-task network that no other task uses, as starts of keys."""
        starts = (self.first_stage, *(key for key in self.renamed if key not in SHARED_TAIL))
        return tuple(start for start in starts if start)


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """A task's share of a training on simulated images.

    Sizes are those of an hour on one CPU core; the paper's assume a GPU.
    """

    scene_size: int
    """Side of a simulated image: pixels, or lenses for light fields."""
    scenes: int
    """Simulated images that a step draws from."""
    patch: int
    """Side of a training patch: pixels of the network's input, or lenses."""
    batch: int
    fresh_scenes: float = 0.0
    """New simulated images for a step of the task, in place of the oldest; 0: always the same."""
    l1_share: float = 0.5
    """Weight of L1 in the mixed loss, the rest is L2. The paper has 0.5."""
    equal_weight: bool = False
    """Whether the mixed loss of each patch is over the variance of its truth, so that sparse and
    dense patches count alike, as they do in a mean of decibels."""
    first_stage_weight: float = 0.0
    """Weight of the loss of a first network's output when fine-tuning; 0 if there is none."""
    pretraining_first_stage_weight: float = 0.0
    """Weight of the loss of a first network's output when training from random weights."""


@dataclass(frozen=True, slots=True)
class Lens:
    """An objective, and how finely its image is sampled."""

    numerical_aperture: float
    refractive_index: float
    pixel_um: float
    """Side of a pixel of the recorded image, in the sample."""
    z_step_um: float = 0.0
    """0: of planes as far apart as pixels, or of a single plane."""
    confocal: bool = False


@dataclass(frozen=True, slots=True)
class Simulation:
    """The simulated microscope of a task."""

    scene: str
    """`module:function` from a NumPy generator and a side in pixels (or lenses) to a scene."""
    planes: int = 0
    """Planes of a simulated stack, for networks that read a fixed number; 0: any."""
    views: int = 0
    """Views of a simulated light field; 0: it is none."""
    result_planes: int = 0
    """Planes of the truth, for networks that give a fixed number; 0: those of the image."""
    structures: Mapping[str, float] = field(default_factory=dict)
    """Name in `unifmir.simulate.structures.STRUCTURES` -> how likely it is the first of a scene."""
    lenses: tuple[Lens, ...] = ()
    """Objectives and samplings, each equally likely; none where the scene has its own optics."""


@dataclass(frozen=True, slots=True)
class EvaluationRecipe:
    """How good a model is: test images, and simple methods to beat."""

    size: int
    """Side of the test images: pixels, or lenses for light fields."""
    baselines: str
    """`module:function` from a scene to the results of simple methods by name."""


@dataclass(frozen=True, slots=True)
class Workloads:
    """Image sizes that a benchmark times."""

    quick: tuple[Size, ...]
    """Images that the embedded model takes well under a second, for a first answer."""
    patch: tuple[Size, ...]
    """Images that take the full-size UniFMIR seconds, not minutes, on one CPU core."""
    image: tuple[Size, ...]
    """Whole images, as small as users have them."""
    sweep: tuple[Size, ...]
    """Sizes that grow by about two, for the exponent."""
    paper: tuple[Size, ...]
    """Patches of the paper's prediction table (Ma et al. 2024, Extended Data Table 2)."""


BATCHED = "batch"
"""Workload of eight patches at once."""
WORKLOADS = (*(row.name for row in fields(Workloads)), BATCHED)
"""Names of what a benchmark times."""


@dataclass(frozen=True, slots=True)
class CardText:
    """Sentences of a model card that depend on the task alone."""

    intended_use: str
    limitations: str
    cites_care: bool = False
    """Whether the training data and method are those of CARE (Weigert et al. 2018)."""


@dataclass(frozen=True, slots=True)
class CoverPicture:
    """Crop of an image that the cover of a package shows, and its view of a stack."""

    side: int = 160
    """Largest side: pixels, or lenses for light fields."""
    planes: int | None = 16
    """Largest number of planes where the network takes any; None: all of the image."""
    view: Literal["middle", "section", "maximum"] = "middle"
    """Plane in the middle, section along z in the middle of a cube, or maximum along z."""


@dataclass(frozen=True, slots=True)
class SampleFile:
    """The real image that ships with the package for a task, and where it comes from."""

    file: str
    """File name in unifmir/data."""
    sha256: str
    shape: tuple[int, ...]
    """Pixels, in the task's input axes."""
    dtype: str
    name: str
    description: str
    """Sentences on what it shows, and what was done to it."""
    cut: str
    """Part of the source that was taken."""
    source: str
    """Package, version and file it was cut from."""
    licence: str
    """SPDX identifier."""
    authors: tuple[str, ...]
    url: str
    """Address of the project that publishes the source."""
    pixel_size_um: float | None = None
    """Lateral pixel size; None where the source does not say."""
    z_factor: float | None = None
    """Step along z over the pixel size, where the file does not say it and the task needs it."""

    @property
    def attribution(self) -> str:
        """Sentences on what the image shows, whose it is, under which licence, and its changes."""
        return (
            f"{self.name}. {self.description} From {self.source} ({self.url}), by "
            f"{' and '.join(self.authors)}, licence {self.licence}; taken: {self.cut}."
        )


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Everything that depends on a task alone. A row of `unifmir.tasks.TASKS`."""

    name: str
    title: str
    summary: str
    """One sentence for people."""
    input_axes: str
    """Axes of the image a user holds, one letter each of `z`, `y`, `x`."""
    output_axes: str
    """Axes of the result, as `input_axes`."""
    normalization: Normalization
    network: str
    """`module:class` of the single-task network."""
    interfaces: tuple[str, ...]
    """Names in `unifmir.interfaces.INTERFACES`: the first that a network's signature fits."""
    zoo_tags: tuple[str, ...]
    """Task tags of BioImage.IO."""
    training: TrainingRecipe
    simulation: Simulation
    evaluation: EvaluationRecipe
    workloads: Workloads
    card: CardText
    sample: SampleFile
    synonyms: tuple[str, ...] = ()
    """Other words for the task, lower case, that the command line takes too."""
    intensity: Intensity = "local"
    """How intensities come back where the user does not say; for an invertible normalisation."""
    low_frequency_px: float = 4.0
    """Standard deviation, in recorded pixels, of the Gaussian whose low frequencies `local` adds.
    White noise passes to 1 / (2 sqrt(pi) sigma): 7 % at 4 px, a tenth at the image's edges."""
    isotropic_sampling: bool = False
    """Whether stacks are first interpolated along z to the lateral pixel size."""
    shape: NetworkShape = field(default_factory=NetworkShape)
    cover: CoverPicture = CoverPicture()
    multitask: MultiTaskPart | None = None
    """Part of the official multi-task network; None for a task that it does not have."""


NORMALISED_OUTPUT = (
    "The output stays in normalised units: the file format cannot express the inverse of a "
    "percentile normalisation. Multiply by (p_high - p_low) and add p_low of the input to go "
    "back to intensities; unifmir does this by itself."
)
"""Limitation that packages of all tasks with an invertible normalisation state."""

SHARED_OUTPUT = (
    "Units of the result: the network learned truths in the scaling of their own input "
    "(`intensities: shared`). Times (p_high - p_low) of the input, plus its p_low, the result is "
    "in the input's intensities, photons where that counts them. Values below 0 and above 1 are "
    "meant: do not clip them."
)
"""Sentences that packages of networks with shared intensities state."""

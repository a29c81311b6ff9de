"""What a model card says: people, licence, citation, training, evaluations.

Plain values with defaults per task; nothing here imports torch or bioimageio.
Sources: Ma et al., Nature Methods 2024 (authors, affiliation, funding); ORCIDs are not stated
there, so none are given.
"""

from dataclasses import dataclass, field

from unifmir.tasks import task_named

FUDAN = (
    "School of Computer Science, Shanghai Key Laboratory of Intelligent Information Processing, "
    "Fudan University, Shanghai, China"
)
PAPER_DOI = "10.1038/s41592-024-02244-3"


@dataclass(frozen=True, slots=True)
class Person:
    """An author, packager or maintainer. Empty strings are left out of the package."""

    name: str
    affiliation: str = ""
    orcid: str = ""
    github_user: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """One entry of `cite`; `doi` without a host in front, or `url`."""

    text: str
    doi: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One quantitative evaluation: metrics are rows, factors are columns."""

    dataset_id: str
    dataset_source: str
    """Web address of the data."""
    dataset_role: str
    """train, validation, test, independent or unknown."""
    sample_count: int
    factors: tuple[str, ...]
    """At most 16 characters each."""
    factors_long: tuple[str, ...]
    metrics: tuple[str, ...]
    """At most 16 characters each."""
    metrics_long: tuple[str, ...]
    results: tuple[tuple[float, ...], ...]
    """One row per metric, one column per factor."""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Training:
    """How the weights were trained. `None`: not known, and left out of the package."""

    data: str = "Not recorded in the checkpoint this package was made from."
    """Which data, in words."""
    dataset_id: str = ""
    """Id of a dataset in the BioImage.IO collection, if the data are there."""
    preprocessing: str = "Not recorded in the checkpoint this package was made from."
    epochs: float | None = None
    batch_size: float | None = None
    initial_learning_rate: float | None = None
    learning_rate_schedule: str | None = None
    loss_function: str | None = None
    loss_function_kwargs: dict[str, float] | None = None
    optimizer: str | None = None
    optimizer_kwargs: dict[str, float | list[float]] | None = None
    regularization: str | None = None
    duration_hours: float | None = None
    memory: str | None = None
    """Memory needed for training."""
    hardware: str | None = None
    hours_used: float | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything in a package that is said rather than computed."""

    name: str
    """5 to 64 of: letters, digits, space, `_ + - ( )`."""
    description: str
    """50 to 512 characters."""
    authors: tuple[Person, ...]
    packaged_by: tuple[Person, ...]
    maintainers: tuple[Person, ...]
    """Each with a GitHub user name."""
    cite: tuple[Citation, ...]
    tags: tuple[str, ...]
    intended_use: str
    out_of_scope: str
    limitations: str
    git_repo: str
    """Web address of the repository; empty to leave out."""
    timestamp: str
    """ISO 8601 with time zone. Fixed by the caller, so that packages are reproducible."""
    unifmir_version: str
    licence: str = "CC-BY-4.0"
    """SPDX identifier of the weights; the architecture file carries its own licence."""
    version: str = "0.1.0"
    version_comment: str = "First packaged version."
    id_emoji: str = "🔬"
    funded_by: str = ""
    target_structure: tuple[str, ...] = ()
    training: Training = field(default_factory=Training)
    evaluations: tuple[Evaluation, ...] = ()
    inference_time: str = ""
    """Measured, with machine and image size."""
    memory: str = ""
    """Measured memory for inference, with machine and image size."""
    parent: str = ""
    """Where the weights came from, for people: file name and SHA-256."""
    certificate: str = ""
    """One paragraph on the pruning certificate."""


PAPER_AUTHORS = tuple(
    Person(name, FUDAN) for name in ("Chenxi Ma", "Weimin Tan", "Ruian He", "Bo Yan")
)
PAPER = Citation(
    "Ma, C., Tan, W., He, R. and Yan, B. Pretraining a foundation model for generalizable "
    "fluorescence microscopy-based image restoration. Nature Methods (2024).",
    PAPER_DOI,
)
_CARE = Citation(
    "Weigert, M. et al. Content-aware image restoration: pushing the limits of fluorescence "
    "microscopy. Nature Methods 15, 1090-1097 (2018).",
    "10.1038/s41592-018-0216-7",
)
PAPER_FUNDING = (
    "National Natural Science Foundation of China (U2001209, 62372117); Natural Science "
    "Foundation of Shanghai (21ZR1406600)"
)

_NORMALISED_OUTPUT = (
    "The output stays in normalised units: the file format cannot express the inverse of a "
    "percentile normalisation. Multiply by (p_high - p_low) and add p_low of the input to go "
    "back to intensities; unifmir does this by itself."
)
_TEXTS: dict[str, tuple[str, str]] = {
    "sr": (
        "Two-dimensional fluorescence images, one channel, of the kind the weights were trained "
        "on. Each image is scaled by its own minimum and maximum.",
        "A hot pixel sets the maximum and darkens the rest: remove it first. " + _NORMALISED_OUTPUT,
    ),
    "denoise": (
        "Noisy fluorescence stacks of any number of slices, one channel. Each slice is restored "
        "from itself and its neighbours.",
        _NORMALISED_OUTPUT + " Consumers that pad a stack by mirroring show the network mirrored "
        "neighbours at the first and last slices; the official inference repeats the slice.",
    ),
    "isotropic": (
        "Fluorescence stacks whose axial axis has already been interpolated to the lateral pixel "
        "size, one channel. Sections along both lateral axes are restored and combined.",
        _NORMALISED_OUTPUT + " Interpolate z first: the package does not know your voxel size.",
    ),
    "projection": (
        "Stacks of a surface, one channel, with exactly the number of planes the network was "
        "trained with.",
        "The attention of the projecting network is global: a tile gives another result than "
        "the whole image, within the amount stated under Validation. " + _NORMALISED_OUTPUT,
    ),
    "volume": (
        "Raw light-field images, one channel, with the number of pixels behind each lens the "
        "network was trained with, rectified so that a lens starts at the first pixel.",
        "The network divides by the brightest pixel of what it is given: run it on whole images, "
        "not on tiles.",
    ),
}
_OUT_OF_SCOPE = (
    "Do not measure intensities, sizes or counts on restored images without checking them against "
    "raw data, do not use the model on a modality or structure it was not trained on, and do not "
    "use it for diagnosis. Restoration networks can invent structure."
)


def default_card(
    task: str,
    *,
    name: str,
    github_user: str,
    git_repo: str,
    timestamp: str,
    unifmir_version: str,
    training: Training | None = None,
    target_structure: tuple[str, ...] = (),
) -> ModelCard:
    """The card of a task with everything that does not depend on the weights filled in.

    Parameters
    ----------
    task : str
        Name of a task.
    github_user : str
        Who answers for the package on GitHub.
    training : Training, optional
        What is known of the training.
    """
    spec = task_named(task)
    use, limitations = _TEXTS.get(task, (spec.summary, _NORMALISED_OUTPUT))
    packager = Person("unifmir developers", github_user=github_user)
    dims = "3d" if "z" in spec.input_axes + spec.output_axes else "2d"
    care = (_CARE,) if task in ("denoise", "isotropic") else ()
    return ModelCard(
        name=name,
        description=(
            f"{spec.title} of fluorescence microscopy images with UniFMIR, a Swin transformer. "
            f"{spec.summary} Single-task network pruned from a UniFMIR checkpoint."
        ),
        authors=PAPER_AUTHORS,
        packaged_by=(packager,),
        maintainers=(packager,),
        cite=(PAPER, *care),
        tags=(
            *spec.zoo_tags,
            dims,
            "fluorescence-light-microscopy",
            "pytorch",
            "transformer",
            "unifmir",
        ),
        intended_use=use,
        out_of_scope=_OUT_OF_SCOPE,
        limitations=limitations,
        git_repo=git_repo,
        timestamp=timestamp,
        unifmir_version=unifmir_version,
        funded_by=PAPER_FUNDING,
        target_structure=target_structure,
        training=training or Training(),
    )

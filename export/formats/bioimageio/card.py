"""Model card: people, licence, citation, evaluations.

Plain values with defaults per task; nothing here imports torch or bioimageio.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unifmir.export.credit import (
    Citation,
    Credit,
    ImageQuality,
    MeasuredCost,
    PackageRecipe,
    Person,
)
from unifmir.tasks import TASKS
from unifmir.training.training_record import TrainingRecord

if TYPE_CHECKING:
    from unifmir.reference.base import ReferenceModel

PAPER_DOI = "10.1038/s41592-024-02244-3"


@dataclass(frozen=True, slots=True)
class QuantitativeEvaluation:
    """One quantitative evaluation as the format names it: metrics are rows, factors are columns."""

    dataset_id: str
    dataset_source: str
    """Web address of the data."""
    dataset_role: str
    """One of train, validation, test, independent or unknown."""
    sample_count: int
    evaluation_factors: tuple[str, ...]
    """Short names of the columns, at most 16 characters each."""
    evaluation_factors_long: tuple[str, ...]
    metrics: tuple[str, ...]
    """Short names of the rows, at most 16 characters each."""
    metrics_long: tuple[str, ...]
    results: tuple[tuple[float, ...], ...]
    """One row per metric, one column per factor."""
    results_summary: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything in a package that is said rather than computed."""

    name: str
    """Name of 5 to 64 characters: letters, digits, space, `_ + - ( )`."""
    description: str
    """Text of 50 to 512 characters."""
    cite: tuple[Citation, ...]
    tags: tuple[str, ...]
    intended_use: str
    out_of_scope: str
    limitations: str
    timestamp: str
    """Date in ISO 8601 with time zone, fixed by the caller, so that packages are reproducible."""
    unifmir_version: str
    authors: tuple[Person, ...] = ()
    packaged_by: tuple[Person, ...] = ()
    maintainers: tuple[Person, ...] = ()
    """People with a GitHub user name."""
    licence: str = ""
    """SPDX identifier of the weights' licence, empty where none is known; the architecture file
    carries its own."""
    version: str = "0.1.0"
    emoji: str = "🔬"
    """Icon, until the zoo gives the package an animal."""
    git_repo: str = ""
    """Web address of the repository; empty to leave out."""
    funded_by: str = ""
    target_structure: tuple[str, ...] = ()
    training_data: str = ""
    """Data that the weights were trained on, in words; empty if nobody told."""
    training: TrainingRecord | None = None
    """Facts of the training; None if nobody told."""
    pixel_size_um: tuple[tuple[str, float], ...] = ()
    """Pixel size of the training data by the input's axes; empty if nobody told."""
    qualities: tuple[ImageQuality, ...] = ()
    """Restoration quality, measured."""
    measured_costs: tuple[MeasuredCost, ...] = ()
    """Times and memory, measured."""
    modality: str = "fluorescence microscopy"
    settings: str = ""
    """Recommended settings."""
    published_figures: tuple[str, ...] = ()
    """Sentences on the figures that a publication prints of the model."""
    derived_from: str = ""
    """Id in the zoo of the package that holds the same weights."""


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
_OUT_OF_SCOPE = (
    "Do not measure intensities, sizes or counts on restored images without checking them against "
    "raw data, do not use the model on a modality or structure it was not trained on, and do not "
    "use it for diagnosis. Restoration networks can invent structure."
)


def default_card(
    task: str,
    *,
    name: str,
    timestamp: str,
    unifmir_version: str,
) -> ModelCard:
    """The card of a task with everything that does not depend on the weights filled in."""
    spec = TASKS[task]
    dims = "3d" if "z" in spec.input_axes + spec.output_axes else "2d"
    care = (_CARE,) if spec.card.cites_care else ()
    return ModelCard(
        name=name,
        description=(
            f"{spec.title} of fluorescence microscopy images with UniFMIR, a Swin transformer. "
            f"{spec.summary} Single-task network pruned from a UniFMIR checkpoint."
        ),
        cite=(PAPER, *care),
        tags=(
            *spec.zoo_tags,
            dims,
            "fluorescence-light-microscopy",
            "pytorch",
            "transformer",
            "unifmir",
        ),
        intended_use=spec.card.intended_use,
        out_of_scope=_OUT_OF_SCOPE,
        limitations=spec.card.limitations,
        timestamp=timestamp,
        unifmir_version=unifmir_version,
    )


def reference_card(card: ModelCard, row: "ReferenceModel", task_title: str) -> ModelCard:
    """The card of a task for a reference model, whose architecture is not UniFMIR's."""
    return replace(
        card,
        name=f"{row.title} {task_title}"[:64],
        description=(
            f"{task_title} of fluorescence microscopy images with {row.title}, a reference model "
            "that UniFMIR is compared with, exported by unifmir."
        ),
        cite=(Citation(row.citation, row.doi), PAPER),
        tags=tuple(tag for tag in card.tags if tag not in ("transformer", "unifmir")),
    )


def credited_card(card: ModelCard, credit: Credit) -> ModelCard:
    """The card with what is stated of the model, which goes before what is said of its task."""
    recipe = credit.recipe or PackageRecipe()
    training = credit.training
    return replace(
        card,
        name=recipe.name or card.name,
        description=recipe.description or card.description,
        cite=_each_once((*card.cite, *recipe.cite)),
        target_structure=recipe.target_structure,
        modality=recipe.modality or card.modality,
        settings=recipe.settings,
        published_figures=recipe.published_figures,
        derived_from=recipe.derived_from,
        authors=credit.authors,
        packaged_by=credit.packaged_by,
        maintainers=credit.maintainers,
        licence=credit.licence,
        funded_by=credit.funded_by,
        git_repo=credit.git_repo,
        training_data=credit.training_data or (training.data if training else ""),
        training=training,
        pixel_size_um=credit.pixel_size_um,
        qualities=credit.evaluations,
        measured_costs=credit.measured_costs,
    )


def _each_once(works: tuple[Citation, ...]) -> tuple[Citation, ...]:
    """Citations, of one work the first."""
    found: dict[str, Citation] = {}
    for work in works:
        found.setdefault((work.link or work.text).lower(), work)
    return tuple(found.values())

"""BioImage.IO packages: one zip that Fiji, ilastik, BiaPy, QuPath and BioEngine read."""

from unifmir.export.formats.bioimageio.card import (
    Citation,
    ModelCard,
    Person,
    QuantitativeEvaluation,
    TrainingRecord,
    default_card,
    paper_training,
)
from unifmir.export.formats.bioimageio.package import (
    PackageInputs,
    PackageResult,
    build_package,
    read_lineage,
)

__all__ = [
    "Citation",
    "ModelCard",
    "PackageInputs",
    "PackageResult",
    "Person",
    "QuantitativeEvaluation",
    "TrainingRecord",
    "build_package",
    "default_card",
    "paper_training",
    "read_lineage",
]

"""BioImage.IO packages: one zip that Fiji, ilastik, BiaPy, QuPath and BioEngine read."""

from unifmir.export.formats.bioimageio.card import (
    Citation,
    ModelCard,
    Person,
    QuantitativeEvaluation,
    default_card,
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
    "build_package",
    "default_card",
    "read_lineage",
]

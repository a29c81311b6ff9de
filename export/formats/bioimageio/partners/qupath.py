"""QuPath: what its limits mean for a package. It is a Java program and is not run here."""

from unifmir.export.formats.bioimageio.partners.base import (
    CheckedPackage,
    NotRunError,
    Partner,
    PartnerReport,
)
from unifmir.export.formats.bioimageio.score import declared_percents

NAME = "qupath"


def told(given: CheckedPackage) -> PartnerReport:
    """Say what QuPath would make of a package; always NotRunError."""
    limits = limits_of(given)
    raise NotRunError("; ".join(["Java, not run", *(limits or ["nothing is known against it"])]))


def limits_of(given: CheckedPackage) -> list[str]:
    """Sentences on what QuPath cannot do with a package (archive.bioimage.io#437, 2026)."""
    rdf, found = given.contents.rdf, []
    tensors = [*(rdf.get("inputs") or []), *(rdf.get("outputs") or [])]
    if any(axis.get("id") == "z" for one in tensors for axis in one["axes"]):
        found.append("it takes and gives single planes, this model has a z axis")
    for step in rdf["inputs"][0].get("preprocessing") or []:
        if step["id"] == "scale_range":
            low, high = declared_percents(step)
            found.append(
                f"it takes percentiles {low:g} and {high:g} of each tile, not of the whole image: "
                "neighbouring tiles differ in brightness; scale the image before, or use Fiji"
            )
    return found


QUPATH = Partner(NAME, "QuPath", told, runs_programs=False)

"""BiaPy's own check of a description, its code run in a side environment."""

import json
from pathlib import Path

from unifmir.atomic import temporary_folder, write_text
from unifmir.export.formats.bioimageio.partners.base import CheckedPackage, Partner, PartnerReport
from unifmir.export.formats.bioimageio.partners.core_releases import WITH_BIAPY
from unifmir.json_values import json_form

PROGRAM = Path(__file__).with_name("biapy_program.py")
NAME = "biapy"


def accepted(given: CheckedPackage) -> PartnerReport:
    """Ask `biapy.models.check_bmz_model_compatibility` about the description."""
    with temporary_folder() as folder:
        write_text(folder / "rdf.json", json.dumps(json_form(given.contents.rdf)))
        found = WITH_BIAPY.run(PROGRAM, [folder / "rdf.json"], given)
    versions = found.get("versions", {})
    if told := found.get("error"):
        return PartnerReport(NAME, "failed", str(told).strip(), versions)
    return PartnerReport(NAME, "passed", f"taken for {found['workflow']}", versions)


BIAPY = Partner(NAME, "BiaPy", accepted, runs_programs=False, decides="biapy")

"""The ONNX Runtime inside Fiji: what its release reads, and the oldest one that can be had here."""

import sys
from pathlib import Path

import numpy as np
import onnx

from unifmir.atomic import temporary_folder
from unifmir.export.formats.bioimageio.lint_weights import IR_VERSION, OPSET
from unifmir.export.formats.bioimageio.partners.base import (
    CheckedPackage,
    Outcome,
    Partner,
    PartnerReport,
)
from unifmir.export.formats.bioimageio.partners.deepimagej import (
    as_jdll,
    share_of_allowed,
    test_pair,
)
from unifmir.export.formats.bioimageio.partners.side_environments import SideEnvironment

PROGRAM = Path(__file__).with_name("onnx_program.py")
NAME = "jdll"
NEWEST = "1.13.1"
"""Newest ONNX Runtime of JDLL."""
_OLDEST_WHEEL = {(3, 11): "1.15.0", (3, 12): "1.17.0", (3, 13): "1.20.0"}
"""Oldest release with a wheel, by Python."""


def run_old_runtime(given: CheckedPackage) -> PartnerReport:
    """Hold the graph against what Fiji's runtime reads, and run it in an old release."""
    image, expected = test_pair(given)
    source = str(((given.contents.rdf.get("weights") or {}).get("onnx") or {}).get("source"))
    if source not in given.contents.files:
        return PartnerReport(NAME, "failed", "no onnx in the package")
    graph = onnx.load_model_from_string(given.contents.files[source])
    opset = next((one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")), 0)
    read = f"opset {opset} of {OPSET}, IR {graph.ir_version} of {IR_VERSION}"
    if opset > OPSET or graph.ir_version > IR_VERSION:
        return PartnerReport(NAME, "failed", f"{read}: newer than {NEWEST} reads")
    release = _OLDEST_WHEEL.get(sys.version_info[:2], _OLDEST_WHEEL[3, 13])
    environment = SideEnvironment("jdll", (f"onnxruntime=={release}", "numpy<2"))
    with temporary_folder() as folder:
        (folder / "graph.onnx").write_bytes(given.contents.files[source])
        np.save(folder / "in.npy", as_jdll(image, given.contents.rdf), allow_pickle=False)
        files = [folder / name for name in ("graph.onnx", "in.npy", "out.npy")]
        found = environment.run(PROGRAM, files, given)
        if "error" in found:
            return PartnerReport(NAME, "failed", f"{read}; {found['error']}")
        worst = share_of_allowed(np.load(files[-1], allow_pickle=False), expected)
    instead = (f"onnxruntime {release}, the oldest wheel for this Python, in place of {NEWEST}",)
    told = f"{read}; largest difference is {worst:.2g} of what deepImageJ allows"
    outcome: Outcome = "passed" if worst <= 1 else "failed"
    return PartnerReport(NAME, outcome, told, found["versions"], instead)


JDLL = Partner(NAME, "ONNX Runtime of Fiji, Icy and deepImageJ", run_old_runtime)

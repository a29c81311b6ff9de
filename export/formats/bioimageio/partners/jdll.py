"""The runtimes inside Fiji: what their releases read, and the oldest ones that can be had here."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from unifmir.atomic import temporary_folder
from unifmir.export.formats.bioimageio.partners.base import (
    CheckedPackage,
    Outcome,
    Partner,
    PartnerReport,
)
from unifmir.export.formats.bioimageio.partners.deepimagej import (
    TORCH,
    as_jdll,
    share_of_allowed,
    test_pair,
)
from unifmir.export.formats.bioimageio.partners.side_environments import SideEnvironment
from unifmir.export.runtimes.onnx_graph import FIJI_IR, FIJI_OPSET

PROGRAM = Path(__file__).with_name("onnx_program.py")
SCRIPT_PROGRAM = Path(__file__).with_name("torchscript_program.py")
NAME, SCRIPT_NAME = "jdll", "jdll-torch"
NEWEST = "1.13.1"
"""Newest ONNX Runtime of JDLL."""
_OLDEST_WHEEL = {(3, 11): "1.15.0", (3, 12): "1.17.0", (3, 13): "1.20.0"}
"""Oldest release with a wheel, by Python."""
_OLDEST_TORCH = {(3, 11): TORCH, (3, 12): "2.2.0", (3, 13): "2.5.0"}
"""Oldest PyTorch with a wheel that is not older than JDLL's, by Python."""


def run_old_runtime(given: CheckedPackage) -> PartnerReport:
    """Hold the graph against what Fiji's runtime reads, and run it in an old release."""
    source = str(((given.contents.rdf.get("weights") or {}).get("onnx") or {}).get("source"))
    if source not in given.contents.files:
        return PartnerReport(NAME, "failed", "no onnx in the package")
    graph = onnx.load_model_from_string(given.contents.files[source])
    opset = next((one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")), 0)
    read = f"opset {opset} of {FIJI_OPSET}, IR {graph.ir_version} of {FIJI_IR}"
    if opset > FIJI_OPSET or graph.ir_version > FIJI_IR:
        return PartnerReport(NAME, "failed", f"{read}: newer than {NEWEST} reads")
    release = _OLDEST_WHEEL.get(sys.version_info[:2], _OLDEST_WHEEL[3, 13])
    environment = SideEnvironment("jdll", (f"onnxruntime=={release}", "numpy<2"))
    found, worst = _in_old_runtime(given, environment, PROGRAM, source)
    if "error" in found:
        return PartnerReport(NAME, "failed", f"{read}; {found['error']}")
    instead = (f"onnxruntime {release}, the oldest wheel for this Python, in place of {NEWEST}",)
    told = f"{read}; largest difference is {worst:.2g} of what deepImageJ allows"
    outcome: Outcome = "passed" if worst <= 1 else "failed"
    return PartnerReport(NAME, outcome, told, found["versions"], instead)


def run_old_torch(given: CheckedPackage) -> PartnerReport:
    """Load the TorchScript file in the PyTorch of deepImageJ, or the nearest, and run it."""
    source = str(((given.contents.rdf.get("weights") or {}).get("torchscript") or {}).get("source"))
    if source not in given.contents.files:
        return PartnerReport(SCRIPT_NAME, "failed", "no torchscript in the package")
    release = _OLDEST_TORCH.get(sys.version_info[:2], _OLDEST_TORCH[3, 13])
    environment = SideEnvironment(SCRIPT_NAME, ("numpy<2",), torch=release)
    found, worst = _in_old_runtime(given, environment, SCRIPT_PROGRAM, source)
    if "error" in found:
        return PartnerReport(SCRIPT_NAME, "failed", found["error"], found.get("versions", {}))
    ran: dict[str, str] = found["versions"]
    # Where pip had no build for the CPU, it is the PyTorch of this environment.
    is_its_own = ran["torch"].partition("+")[0] == TORCH
    instead = () if is_its_own else (f"torch {ran['torch']} in place of {TORCH}",)
    told = f"largest difference is {worst:.2g} of what deepImageJ allows"
    return PartnerReport(SCRIPT_NAME, "passed" if worst <= 1 else "failed", told, ran, instead)


def _in_old_runtime(
    given: CheckedPackage, environment: SideEnvironment, program: Path, source: str
) -> tuple[dict[str, Any], float]:
    """Answer of a program on a file of weights, and its largest difference as a share."""
    image, expected = test_pair(given)
    with temporary_folder() as folder:
        weights, image_file, made = (
            folder / Path(source).name,
            folder / "in.npy",
            folder / "out.npy",
        )
        weights.write_bytes(given.contents.files[source])
        np.save(image_file, as_jdll(image, given.contents.rdf), allow_pickle=False)
        found = environment.run(program, [weights, image_file, made], given)
        if "error" in found:
            return found, np.inf
        return found, share_of_allowed(np.load(made, allow_pickle=False), expected)


JDLL = Partner(NAME, "ONNX Runtime of Fiji, Icy and deepImageJ", run_old_runtime)
JDLL_TORCH = Partner(SCRIPT_NAME, "PyTorch of Fiji, Icy and deepImageJ", run_old_torch)

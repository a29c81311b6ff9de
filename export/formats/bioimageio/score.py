"""The score the zoo is expected to give a package.

Expected, not measured: the zoo runs partner software we cannot run here. The formula is the
collection's (read in its code, 2026-05): a quarter each for the format, the completeness of the
metadata, bioimageio.core, and the mean of the best three partners.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.export.formats.bioimageio.testing import TestSummary
from unifmir.json_values import JsonOutput

PARTNERS_COUNTED = 3
TARGET = 0.89
_BIAPY_TAGS = {
    "denoising",
    "super-resolution",
    "superresolution",
    "image-restoration",
    "image-reconstruction",
    "image-to-image",
    "pix2pix",
}
_BIAPY_OPERATIONS = {
    "zero_mean_unit_variance",
    "fixed_zero_mean_unit_variance",
    "scale_range",
    "scale_linear",
}
_DEEPIMAGEJ_SCORE = 0.9
"""The most that deepImageJ gives: it tests against a snapshot of itself."""


@dataclass(frozen=True, slots=True)
class ExpectedScore(JsonOutput):
    """The expected score and its parts, each from 0 to 1."""

    total: float
    metadata_format: float
    metadata_completeness: float
    core: float
    partner: float
    ilastik: float
    biapy: float
    with_deepimagej: float
    """The total if deepImageJ's check passed too. Not counted in `total`: its harness fails on
    39 of the zoo's 138 models before it runs them."""
    reasons: tuple[str, ...]
    """Reasons why a partner is expected to refuse the package."""
    target: float = TARGET


def expected_score(rdf: Mapping[str, Any], summary: TestSummary) -> ExpectedScore:
    """Expected score of a package.

    Parameters
    ----------
    rdf : mapping
        The description as written.
    summary : TestSummary
        Test of the same package.
    """
    valid = summary.status in ("passed", "valid-format")
    core = 1.0 if summary.reproduced else 0.5 if valid else 0.0
    biapy_reasons = biapy_refusals(rdf)
    ilastik_reasons = ilastik_refusals(rdf, summary)
    ilastik, biapy = float(not ilastik_reasons), float(not biapy_reasons)
    deepimagej = 0.0 if deepimagej_refusals(rdf) else _DEEPIMAGEJ_SCORE
    parts = (float(valid), summary.metadata_completeness, core)
    partner = (ilastik + biapy) / PARTNERS_COUNTED
    best = (ilastik + biapy + deepimagej) / PARTNERS_COUNTED
    return ExpectedScore(
        total=round(0.25 * (sum(parts) + partner), 4),
        metadata_format=parts[0],
        metadata_completeness=round(parts[1], 4),
        core=core,
        partner=round(partner, 4),
        ilastik=ilastik,
        biapy=biapy,
        with_deepimagej=round(0.25 * (sum(parts) + best), 4),
        reasons=(*ilastik_reasons, *biapy_reasons, *deepimagej_refusals(rdf)),
    )


def ilastik_refusals(rdf: Mapping[str, Any], summary: TestSummary) -> list[str]:
    """Reasons why ilastik's check would fail: it takes one tensor in and one out that reproduce."""
    found = []
    if len(rdf["inputs"]) != 1 or len(rdf["outputs"]) != 1:
        found.append("ilastik: needs exactly one input and one output")
    if not summary.reproduced:
        found.append("ilastik: no weight format reproduces the test output")
    if not isinstance(rdf["documentation"], str):
        found.append("ilastik: its core 0.10.2 cannot read documentation as an object")
    return found


def biapy_refusals(rdf: Mapping[str, Any]) -> list[str]:
    """Reasons why BiaPy's static check would fail, by the rules of BiaPy 3.5 and 3.6."""
    found = []
    weights = rdf["weights"].get("pytorch_state_dict")
    if not weights:
        found.append("no pytorch_state_dict")
    elif weights.get("architecture", {}).get("kwargs") is None:
        found.append("the architecture has no explicit kwargs")
    elif "dependencies" in weights:
        found.append("a dependencies file makes it load the model by nickname")
    if len(rdf["inputs"]) != 1:
        found.append("needs exactly one input")
    if not _BIAPY_TAGS & set(rdf["tags"]):
        found.append(f"no task tag of {sorted(_BIAPY_TAGS)}")
    if any("segmentation" in tag for tag in rdf["tags"]):
        found.append("a segmentation tag asks for classes")
    order = axes_order(rdf["inputs"][0])
    if order not in ("bcyx", "bczyx"):
        found.append(f"input axes {order}, it takes bcyx and bczyx")
    operations = [
        step["id"]
        for step in rdf["inputs"][0].get("preprocessing", [])
        if step["id"] != "ensure_dtype"
    ]
    if len(operations) > 1:
        found.append(f"more than one preprocessing operation: {operations}")
    if unknown := set(operations) - _BIAPY_OPERATIONS:
        found.append(f"preprocessing it does not know: {sorted(unknown)}")
    return [f"BiaPy: {reason}" for reason in found]


def deepimagej_refusals(rdf: Mapping[str, Any]) -> list[str]:
    """Reasons why deepImageJ's check is expected to fail, as far as the description shows.

    It computes percentiles by nearest rank and compares every pixel within 1.5e-4 + 1e-4 |x|.
    """
    found = []
    if len(rdf["inputs"]) != 1:
        found.append("needs exactly one input")
    if not {"torchscript", "onnx"} & set(rdf["weights"]):
        found.append("no torchscript and no onnx")
    for step in rdf["inputs"][0].get("preprocessing", []):
        kwargs = step.get("kwargs") or {}
        percentiles = kwargs.get("min_percentile"), kwargs.get("max_percentile")
        if step["id"] == "scale_range" and percentiles != (0.0, 100.0):
            found.append(f"percentiles {percentiles} by nearest rank differ from the library's")
    return [f"deepImageJ: {reason}" for reason in found]


def axes_order(tensor: Mapping[str, Any]) -> str:
    """One letter per axis of a tensor, `b` and `c` for batch and channel."""
    letters = {"batch": "b", "channel": "c"}
    return "".join(letters.get(axis["type"]) or str(axis["id"]) for axis in tensor["axes"])

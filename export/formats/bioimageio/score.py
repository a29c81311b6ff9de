"""The score the zoo is expected to give a package.

What partners say is expected by their rules, or was run (`partners/`). The formula is the
collection's (read in its code, 2026-05): a quarter each for the format, the completeness of the
metadata, bioimageio.core, and the mean of the best three partners.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from unifmir.export.formats.bioimageio import tensors
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
_OF_THE_TEST = ("metadata_format", "metadata_completeness", "core")
"""Parts that the library's test decides."""
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
    deepimagej: float
    """Counted in `total` only if its comparison was run: its harness fails on 39 of the zoo's 138
    models before it runs them."""
    with_deepimagej: float
    """The total if deepImageJ's check gives what is expected of it."""
    reasons: tuple[str, ...]
    """Reasons why a partner refuses the package, or is expected to."""
    run: tuple[str, ...]
    """Names of the parts that were run."""
    expected: tuple[str, ...]
    """Names of the parts that follow from the rules alone."""
    target: float = TARGET


def expected_score(
    rdf: Mapping[str, Any],
    summary: TestSummary,
    test_input: tensors.Batch | None,
    ran: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> ExpectedScore:
    """Expected score of a package.

    Parameters
    ----------
    rdf : mapping
        The description as written.
    summary : TestSummary
        Test of the same package.
    test_input : array or None
        The package's test tensor, raw.
    ran : mapping
        Reasons for which a partner refuses the package, none if it takes it, by the part of the
        score: `ilastik`, `biapy`, `deepimagej`. What is missing is expected by its rules.
    """
    valid = summary.status in ("passed", "valid-format")
    core = 1.0 if summary.reproduced else 0.5 if valid else 0.0
    expected = {
        "ilastik": ilastik_refusals(rdf, summary),
        "biapy": biapy_refusals(rdf),
        "deepimagej": deepimagej_refusals(rdf, test_input),
    }
    refusals = {name: list(ran.get(name, reasons)) for name, reasons in expected.items()}
    ilastik, biapy = float(not refusals["ilastik"]), float(not refusals["biapy"])
    deepimagej = 0.0 if refusals["deepimagej"] else _DEEPIMAGEJ_SCORE
    parts = (float(valid), summary.metadata_completeness, core)
    best = (ilastik + biapy + deepimagej) / PARTNERS_COUNTED
    partner = best if "deepimagej" in ran else (ilastik + biapy) / PARTNERS_COUNTED
    return ExpectedScore(
        total=round(0.25 * (sum(parts) + partner), 4),
        metadata_format=parts[0],
        metadata_completeness=round(parts[1], 4),
        core=core,
        partner=round(partner, 4),
        ilastik=ilastik,
        biapy=biapy,
        deepimagej=deepimagej,
        with_deepimagej=round(0.25 * (sum(parts) + best), 4),
        reasons=tuple(reason for reasons in refusals.values() for reason in reasons),
        run=(*_OF_THE_TEST, *(name for name in expected if name in ran)),
        expected=tuple(name for name in expected if name not in ran),
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


def deepimagej_refusals(rdf: Mapping[str, Any], test_input: tensors.Batch | None) -> list[str]:
    """Reasons why deepImageJ's check is expected to fail, by the description and its test tensor.

    It computes percentiles by nearest rank and compares every pixel within 1.5e-4 + 1e-4 |x|.
    """
    found = []
    if len(rdf["inputs"]) != 1:
        found.append("needs exactly one input")
    if not {"torchscript", "onnx"} & set(rdf["weights"]):
        found.append("no torchscript and no onnx")
    for step in rdf["inputs"][0].get("preprocessing", []):
        if step["id"] != "scale_range" or test_input is None:
            continue
        percents = declared_percents(step)
        difference = tensors.percentile_difference(test_input, percents)
        if difference > tensors.AGREEMENT:
            found.append(
                f"percentiles {percents} of the test image by nearest rank differ by "
                f"{difference:.1e} of the span from the library's"
            )
    return [f"deepImageJ: {reason}" for reason in found]


def declared_percents(step: Mapping[str, Any]) -> tuple[float, float]:
    """Percentiles of a `scale_range`, by the format's defaults where none are given."""
    kwargs = step.get("kwargs") or {}
    return float(kwargs.get("min_percentile", 0.0)), float(kwargs.get("max_percentile", 100.0))


def axes_order(tensor: Mapping[str, Any]) -> str:
    """One letter per axis of a tensor, `b` and `c` for batch and channel."""
    letters = {"batch": "b", "channel": "c"}
    return "".join(letters.get(axis["type"]) or str(axis["id"]) for axis in tensor["axes"])

"""The proof that an artifact computes the same picture as the fp32 PyTorch module."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.compare import FP32, LOW_PRECISION, Comparison, Tolerance, compare
from unifmir.errors import ExportError
from unifmir.export.base import (
    EngineFormat,
    Lineage,
    Runner,
    library_versions,
)
from unifmir.export.cases import Case, cases
from unifmir.export.formats import FORMATS
from unifmir.hashing import sha256_of
from unifmir.machine import platform_facts
from unifmir.model import image_interface
from unifmir.networks.base import Network
from unifmir.networks.interface import IsotropicInterface
from unifmir.samples import sample

logger = logging.getLogger(__name__)

REPORT_SUFFIX = ".report.json"
REPORT_SCHEMA = 1
Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One compared output."""

    source: str
    """`real` or `random` input."""
    shape: tuple[int, ...]
    """Of the input."""
    comparison: Comparison
    failures: tuple[str, ...]
    """Sentences: measured and allowed. Empty when the case passed."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "source": self.source,
            "shape": list(self.shape),
            **self.comparison.to_dict(),
            "failures": list(self.failures),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What one verification measured."""

    artifact: str
    """File name."""
    format: str
    sha256: str
    lineage: Lineage
    compared: str
    """`values`, or `squares` where the output is a square root: see `_through_the_root`."""
    tolerance: str
    results: tuple[CaseResult, ...]
    problems: tuple[str, ...] = ()
    """Failures that belong to no case, such as an altered file."""

    @property
    def passed(self) -> bool:
        """Every case within its tolerance, and nothing else wrong."""
        return bool(self.results) and not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that is wrong, as sentences."""
        found = [
            f"{r.source} input {'x'.join(map(str, r.shape))}: {failure}"
            for r in self.results
            for failure in r.failures
        ]
        return (*self.problems, *found)

    @property
    def worst(self) -> Comparison:
        """The comparison with the largest difference relative to the output's deviation."""
        return max((r.comparison for r in self.results), key=lambda c: c.max_abs_over_std)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, with the machine and the versions of the run."""
        return {
            "schema": REPORT_SCHEMA,
            "artifact": self.artifact,
            "format": self.format,
            "sha256": self.sha256,
            "passed": self.passed,
            "problems": list(self.problems),
            "task": self.lineage.task,
            "interface": self.lineage.interface,
            "precision": self.lineage.precision,
            "variant": self.lineage.variant,
            "parent": self.lineage.parent,
            "compared": self.compared,
            "tolerance": self.tolerance,
            "cases": [result.to_dict() for result in self.results],
            "versions": library_versions(),
            "machine": platform_facts(),
        }


@dataclass(frozen=True, slots=True)
class Expected:
    """What the fp32 module makes of one case."""

    case: Case
    output: np.ndarray
    deviation: np.ndarray | None = None
    """isotropic: what a deviation of one in each pass makes of the output's square, per voxel."""


class Reference:
    """The fp32 module and its outputs, computed once for all artifacts that share an interface."""

    def __init__(self, network: Network, real: np.ndarray) -> None:
        self.network = network
        self.real = real
        self._done: dict[tuple[str, Shapes], list[Expected]] = {}

    def outputs(self, interface: str, shapes: Shapes = ()) -> list[Expected]:
        """Each verification case with what the fp32 module makes of it.

        Parameters
        ----------
        interface : {"network", "image"}
        shapes : tuple of shapes
            Of the inputs; those that every format takes when empty.
        """
        if (interface, shapes) not in self._done:
            module = image_interface(self.network) if interface == "image" else self.network
            found = cases(self.network.config, interface, self.real, shapes)
            self._done[interface, shapes] = [_expected(module, case) for case in found]
        return self._done[interface, shapes]


def _expected(module: nn.Module, case: Case) -> Expected:
    with torch.inference_mode():
        image = torch.from_numpy(case.image)
        output = module(image).numpy()
        if not isinstance(module, IsotropicInterface):
            return Expected(case, output)
        first, second = (one.numpy()[:, None] for one in module.passes(image))
        return Expected(case, output, np.abs(first) * second.std() + np.abs(second) * first.std())


def check(
    run: Runner,
    reference: Reference,
    lineage: Lineage,
    *,
    artifact: str,
    format_name: str,
    sha256: str,
    shapes: Shapes = (),
) -> Report:
    """Run an artifact on every case and compare with the reference.

    `shapes` are the inputs' where the artifact does not take those of `cases.SIZES`.
    """
    tolerance: Tolerance = FP32 if lineage.precision == "fp32" else LOW_PRECISION
    expected = reference.outputs(lineage.interface, shapes)
    results = tuple(_result(one, run(one.case.image), tolerance) for one in expected)
    squares = tolerance is FP32 and any(one.deviation is not None for one in expected)
    return Report(
        artifact=artifact,
        format=format_name,
        sha256=sha256,
        lineage=lineage,
        compared="squares" if squares else "values",
        tolerance=tolerance.name,
        results=results,
    )


def _result(expected: Expected, actual: np.ndarray, tolerance: Tolerance) -> CaseResult:
    case = expected.case
    if actual.shape != expected.output.shape:
        raise ExportError(
            f"input {case.image.shape} gives {actual.shape}, the PyTorch module "
            f"{expected.output.shape}: a size was fixed while tracing"
        )
    comparison = compare(expected.output, actual)
    if tolerance is FP32 and expected.deviation is not None and comparison.finite:
        comparison = _through_the_root(comparison, expected, actual)
    return CaseResult(
        source=case.source,
        shape=case.image.shape,
        comparison=comparison,
        failures=tuple(tolerance.failures(comparison)),
    )


def _through_the_root(comparison: Comparison, expected: Expected, actual: np.ndarray) -> Comparison:
    """Hold the isotropic output to the bar of the two passes it is made of.

    The interface ends in sqrt(max(a, 0) * max(b, 0)), whose slope is infinite at 0: there a
    rounding difference of 1e-7 in a shows as 3e-4, so the largest difference of the output says
    nothing. If a and b differ by at most t of their standard deviations, the square differs by at
    most t * (|a| std(b) + |b| std(a)) to first order: that t is what the passes are held to.
    In low precision the bars are means over the picture, and the picture itself is compared.
    """
    assert expected.deviation is not None  # noqa: S101 - the caller's condition
    difference = np.abs(np.square(actual) - np.square(expected.output))
    # Rounding of the square itself: 4 units in the last place of float32.
    rounding = 4 * np.finfo(np.float32).eps * np.square(expected.output)
    share = np.maximum(difference - rounding, 0) / np.maximum(expected.deviation, 1e-12)
    where = np.unravel_index(int(share.argmax()), share.shape)
    return replace(
        comparison,
        max_abs_over_std=float(share.max()),
        where=tuple(int(i) for i in where),
    )


def verify(path: str | Path, *, parent: str | Path | None = None) -> Report:
    """Verify an artifact again: from the file alone plus the parent it names.

    Parameters
    ----------
    path : path
        A file made by `unifmir export`, of any format.
    parent : path, optional
        The fp32 single-task safetensors it was made from. Looked for beside the artifact by
        its recorded sha256 when not given.

    Returns
    -------
    Report
        `passed` is False if a case is out of tolerance, or if the file is not the one that was
        verified when it was made.

    Raises
    ------
    ExportError
        The file is no artifact of ours, or its parent cannot be found.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"{path}: no such file; expected an artifact made by `unifmir export`")
    name = format_of(path)
    exporter = FORMATS[name]
    lineage = exporter.lineage(path)
    found = Path(parent) if parent is not None else _find_parent(path, lineage)
    if (found_sha256 := sha256_of(found)) != lineage.parent["sha256"]:
        raise ExportError(
            f"{found.name} has sha256 {found_sha256}, {path.name} was made from "
            f"{lineage.parent['name']} with {lineage.parent['sha256']}; give that one as --parent"
        )
    reference = Reference(load_file(found, task=lineage.task), sample(lineage.task).image)
    sha256 = sha256_of(path)
    problems = (*_altered(path, sha256), *_broken_certificate(reference.network))
    try:
        report = check(
            exporter.runner(path),
            reference,
            lineage,
            artifact=path.name,
            format_name=name,
            sha256=sha256,
            shapes=exporter.shapes(path) if isinstance(exporter, EngineFormat) else (),
        )
    except ExportError as error:
        # An artifact that does not run, or gives another shape, has failed: that is the finding.
        report = Report(path.name, name, sha256, lineage, "values", "", ())
        problems = (*problems, str(error))
    report = replace(report, problems=problems)
    if report.passed and isinstance(exporter, EngineFormat):
        exporter.verified(path, report)
    return report


def format_of(path: Path) -> str:
    """The format whose suffix a file has; the longest wins."""
    suffixes = {name: FORMATS[name].suffix for name in FORMATS}
    matching = [name for name, suffix in suffixes.items() if path.name.endswith(suffix)]
    if not matching:
        raise ExportError(
            f"{path.name}: expected a name that ends in one of {', '.join(suffixes.values())}"
        )
    return max(matching, key=lambda name: len(suffixes[name]))


def _find_parent(path: Path, lineage: Lineage) -> Path:
    wanted = lineage.parent
    beside = path.parent / wanted["name"]
    others = sorted(path.parent.glob("*.safetensors"))
    for candidate in dict.fromkeys([beside, *others]):
        if candidate.is_file() and sha256_of(candidate) == wanted["sha256"]:
            return candidate
    raise ExportError(
        f"{path.name} was made from {wanted['name']} (sha256 {wanted['sha256']}), and no file in "
        f"{path.parent} has that hash; give it as --parent, or export again"
    )


def _broken_certificate(network: Network) -> tuple[str, ...]:
    """Whether the parent's tensors are still those that were equal to the checkpoint's."""
    certificate = network.certificate
    if certificate is None or tensors_sha256(network.state_dict()) == certificate.child_sha256:
        return ()
    return (f"{network.source.name}: its weights are not those its certificate is about",)


def _altered(path: Path, sha256: str) -> tuple[str, ...]:
    """Whether the file is still the one its report is about."""
    report = path.with_name(path.name + REPORT_SUFFIX)
    if not report.is_file():
        return ()
    try:
        recorded = json.loads(report.read_text("utf-8")).get("sha256")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        return (f"{report.name} is not readable as JSON",)
    if recorded == sha256:
        return ()
    return (f"the file has sha256 {sha256}, its report is about {recorded}: it was altered",)

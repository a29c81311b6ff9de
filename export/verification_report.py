"""Report of a verification: each compared output, and what is wrong."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from unifmir.compare import Comparison
from unifmir.export.case_sizes import Sizing
from unifmir.export.lineage import Lineage, artifact_versions
from unifmir.json_values import JsonOutput
from unifmir.machine import platform_facts

REPORT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class CaseResult(JsonOutput):
    """One compared output."""

    source: str
    """`real` or `random` input."""
    shape: tuple[int, ...]
    """Shape of the input."""
    comparison: Comparison
    failures: tuple[str, ...]
    """Sentences: measured and allowed. Empty when the case passed."""
    sizing: Sizing = "fixed"
    """Why it has this size."""
    reference: Literal["fp32", "fp64"] = "fp32"
    """Arithmetic of the PyTorch module that it is compared with: fp64 where fp32 itself rounds too
    much to tell."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "source": self.source,
            "shape": list(self.shape),
            "sizing": self.sizing,
            "reference": self.reference,
            **self.comparison.to_dict(),
            "failures": list(self.failures),
        }


@dataclass(frozen=True, slots=True)
class Report(JsonOutput):
    """Figures of one verification."""

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
    weights_only: bool = False
    """Whether its weights were run in unifmir's own network, as its program is a stranger's."""
    seed: int | None = None
    """Number from which new sizes were drawn: `verify` takes it and looks at the same ones; None:
    the format takes certain sizes alone."""
    whole_tiles: bool = False
    """Whether tiles as large as `restore` takes were given whole: for files from elsewhere."""

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

    def repeatable(self) -> "Report":
        """The report without sizes that another machine or another run would not have."""
        results = tuple(one for one in self.results if one.sizing == "fixed")
        return replace(self, results=results, seed=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, with the machine and the versions of the run."""
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
            "weights_only": self.weights_only,
            "seed": self.seed,
            "whole_tiles": self.whole_tiles,
            "compared": self.compared,
            "tolerance": self.tolerance,
            "cases": [result.to_dict() for result in self.results],
            "versions": artifact_versions(),
            "machine": platform_facts(),
        }

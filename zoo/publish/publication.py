"""A package as it is published: what is in it, whether it may be, and the score to expect."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio import tensors
from unifmir.export.formats.bioimageio.lint import LintFinding, lint, read_package
from unifmir.export.formats.bioimageio.partners.recorded_checks import (
    RecordedChecks,
    read_checks,
)
from unifmir.export.formats.bioimageio.score import ExpectedScore, expected_score
from unifmir.export.formats.bioimageio.testing import TestSummary, quiet_library
from unifmir.export.recorded_report import read_report
from unifmir.hashing import sha256_of
from unifmir.json_values import JsonOutput
from unifmir.zip_archive import opened_zip


@dataclass(frozen=True, slots=True)
class PackageFile(JsonOutput):
    """One file of a package."""

    name: str
    size_bytes: int
    sha256: str
    is_weights: bool


@dataclass(frozen=True, slots=True)
class Publication(JsonOutput):
    """A package that may be published."""

    written: ClassVar[tuple[str, ...]] = ("path", "sha256", "files", "findings")

    path: Path
    sha256: str
    rdf: dict[str, Any]
    """Description of the package."""
    files: tuple[PackageFile, ...]
    findings: tuple[LintFinding, ...]
    """Warnings of the lint: a package with errors is refused."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    def content(self, name: str) -> bytes:
        """Bytes of one of its files, or of itself by its own name."""
        if name == self.path.name:
            return self.path.read_bytes()
        with opened_zip(self.path) as archive:
            return archive.read(name)

    def whole(self) -> tuple[PackageFile, ...]:
        """The package as one file, and its README, for places that show people what they get."""
        itself = PackageFile(self.path.name, self.path.stat().st_size, self.sha256, is_weights=True)
        return (itself, *(file for file in self.files if file.name == self.rdf["documentation"]))


@dataclass(frozen=True, slots=True)
class PublishedScore(JsonOutput):
    """The score the zoo is expected to give."""

    score: ExpectedScore
    is_tested: bool
    """Whether the library's test of this very file passed; else its share counts as missed."""
    checks: RecordedChecks | None = None
    """Results of the last `unifmir zoo lint`, where that was of this very file: it ran more."""
    has_old_checks: bool = False
    """Whether the checks beside the package are of another file."""


def read_publication(path: Path) -> Publication:
    """Read a package and hold it against the rules of the zoo.

    Raises
    ------
    ExportError
        It is no package, breaks rules, or says no licence.
    """
    package = read_package(path)
    findings = lint(path)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        listed = "\n".join(f"  {one.where}: {one.message}" for one in errors)
        raise ExportError(
            f"{path.name} breaks {len(errors)} rules of the zoo; export it again with what is "
            f"missing:\n{listed}"
        )
    if not package.rdf.get("license"):
        raise ExportError(
            f"{path.name} says no licence of its weights, without which nobody may use what is "
            "published: export it again with the one that their authors gave, --licence SPDX"
        )
    if folders := sorted(name for name in package.files if "/" in name):
        raise ExportError(
            f"{path.name} holds {folders[0]}, a file in a folder; expected all files side by "
            "side, as `unifmir export` writes them"
        )
    weights = {entry.get("source") for entry in package.rdf["weights"].values()}
    files = tuple(
        PackageFile(name, len(data), hashlib.sha256(data).hexdigest(), name in weights)
        for name, data in sorted(package.files.items())
    )
    return Publication(path, sha256_of(path), package.rdf, files, findings)


def published_score(publication: Publication) -> PublishedScore:
    """The score to expect, by the test that `unifmir export` recorded, if it is of this file.

    A package is written only where the library's test passed with each of its weight formats.
    """
    report = read_report(publication.path)
    is_tested = report is not None and report.passed and report.sha256 == publication.sha256
    summary = TestSummary(
        status="passed" if is_tested else "valid-format",
        core_version="",
        metadata_completeness=_completeness(publication.path),
        reproduced=tuple(publication.rdf["weights"]) if is_tested else (),
        failures=(),
    )
    package = read_package(publication.path)
    tested = tensors.test_tensor(package.rdf, package.files, "inputs")
    score = expected_score(publication.rdf, summary, tested)
    checks = read_checks(publication.path)
    if checks is not None and checks.sha256 != publication.sha256:
        return PublishedScore(score, is_tested, has_old_checks=True)
    return PublishedScore(score, is_tested, checks)


def _completeness(path: Path) -> float:
    """Share of the description's keys that are set, as the library counts; asks no server."""
    from bioimageio.spec import load_description_and_validate_format_only

    with quiet_library():
        summary = load_description_and_validate_format_only(path, perform_io_checks=False)
    return float(summary.metadata_completeness)

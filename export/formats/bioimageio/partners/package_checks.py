"""All that the collection would run on a package: the lint, the library's test, the partners."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from unifmir.errors import ExportError, UnifmirError
from unifmir.export.formats.bioimageio import tensors
from unifmir.export.formats.bioimageio.lint import LintFinding, problems, read_package
from unifmir.export.formats.bioimageio.partners import PARTNERS
from unifmir.export.formats.bioimageio.partners.base import (
    CheckedPackage,
    NotRunError,
    Outcome,
    Partner,
    PartnerReport,
)
from unifmir.export.formats.bioimageio.partners.core_releases import github_users
from unifmir.export.formats.bioimageio.score import ExpectedScore, expected_score
from unifmir.export.formats.bioimageio.testing import TestSummary, run_test
from unifmir.hashing import sha256_of
from unifmir.json_values import JsonOutput
from unifmir.machine import versions
from unifmir.trusted_files import is_trusted

logger = logging.getLogger(__name__)

LINT, LIBRARY = "lint", "library"


@dataclass(frozen=True, slots=True)
class PackageChecks(JsonOutput):
    """Results of all checks of a package."""

    package: str
    sha256: str
    findings: tuple[LintFinding, ...]
    checks: tuple[PartnerReport, ...]
    score: ExpectedScore | None
    """Expected score; None where the library's test was not run or cannot read the package."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(one.name for one in self.checks if one.outcome == "failed")


def check_package(
    path: Path,
    *,
    partners: Collection[str] = (),
    offline: bool = False,
    say: Callable[[str], None] = logger.info,
) -> PackageChecks:
    """Run every check on a package.

    Parameters
    ----------
    path : Path
        The zip.
    partners : collection of str
        Rows of `PARTNERS`; empty: all of them.
    offline : bool
        Make no side environments, which pip fetches from the network.
    say : callable
        Called with a sentence on each step that takes long.

    Raises
    ------
    ExportError
        The file is no package.
    UnknownNameError
        No such partner.
    """
    for name in partners:
        PARTNERS.require(name)
    if not path.is_file():
        raise ExportError(f"{path}: no such file; expected a package, a zip with rdf.yaml")
    given = CheckedPackage(path.absolute(), read_package(path), offline, say)
    sha256 = sha256_of(path)
    refused = (
        ""
        if is_trusted(sha256)
        else (
            "the package holds programs and was not written here; if you know who made it: "
            f"unifmir trust {path}"
        )
    )
    findings = tuple(LintFinding(*problem) for problem in problems(given.contents))
    reports = [_linted(findings)]
    summary = None
    if refused:
        reports.append(PartnerReport(LIBRARY, "not run", refused))
    else:
        say("library: checking")
        report, summary = _library(given)
        reports.append(report)
    chosen = [PARTNERS[name] for name in PARTNERS if not partners or name in partners]
    reports += [_report(partner, given, refused) for partner in chosen]
    return PackageChecks(
        path.name, sha256, findings, tuple(reports), _score(given, summary, reports)
    )


def _linted(findings: tuple[LintFinding, ...]) -> PartnerReport:
    errors = [f"{one.where}: {one.message}" for one in findings if one.severity == "error"]
    count = f"{len(errors)} errors, {len(findings) - len(errors)} warnings"
    outcome: Outcome = "failed" if errors else "passed"
    return PartnerReport(LINT, outcome, "; ".join([count, *errors[:3]]))


def _library(given: CheckedPackage) -> tuple[PartnerReport, TestSummary]:
    """The test of the bioimageio.core in this environment."""
    summary = run_test(given.path, github_users(given))
    passed = summary.status == "passed"
    detail = (
        f"reproduced by {', '.join(summary.reproduced)}"
        if passed
        else f"{summary.status}: {'; '.join(summary.failures[:3])}"
    )
    ran = versions("bioimageio.core", "bioimageio.spec", "torch", "onnxruntime", "numpy")
    return PartnerReport(LIBRARY, "passed" if passed else "failed", detail, ran), summary


def _report(partner: Partner, given: CheckedPackage, refused: str) -> PartnerReport:
    if refused and partner.runs_programs:
        return PartnerReport(partner.name, "not run", refused)
    try:
        return partner.check(given)
    except NotRunError as error:
        return PartnerReport(partner.name, "not run", str(error))
    except (UnifmirError, LookupError, TypeError, ValueError, AttributeError) as error:
        # Of a description that is malformed: the lint says where.
        told = f"cannot be checked: {type(error).__name__}: {str(error)[:300]}"
        return PartnerReport(partner.name, "failed", told)


def _score(
    given: CheckedPackage, summary: TestSummary | None, reports: list[PartnerReport]
) -> ExpectedScore | None:
    if summary is None or summary.status == "failed":
        return None
    tested = tensors.test_tensor(given.contents.rdf, given.contents.files, "inputs")
    ran: dict[str, tuple[str, ...]] = {}
    for report in reports:
        part = PARTNERS[report.name].decides if report.name in PARTNERS else ""
        if part and report.outcome != "not run":
            refusals = () if report.outcome == "passed" else (f"{report.name}: {report.detail}",)
            ran[part] = refusals
    return expected_score(given.contents.rdf, summary, tested, ran)

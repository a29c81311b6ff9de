"""Packages without the library's own test, for tests of everything else."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.compat.packages import inputs
from unifmir.export.formats.bioimageio.lint_weights import WEIGHT_FORMATS
from unifmir.export.formats.bioimageio.package import PackageInputs, PackageResult, build_package
from unifmir.export.formats.bioimageio.rdf import FILES
from unifmir.export.formats.bioimageio.testing import TestSummary

PASSED = TestSummary(
    status="passed",
    core_version="0.0.0",
    metadata_completeness=0.9,
    reproduced=WEIGHT_FORMATS,
    failures=(),
)


def reproduced(
    description: Path, _users: Iterable[str], _output: str
) -> tuple[TestSummary, dict[str, np.ndarray]]:
    """Outputs of the library's test as if each weight format gave exactly what is expected."""
    expected = np.load(description.with_name(FILES["test_output"]))
    return PASSED, dict.fromkeys(WEIGHT_FORMATS, expected)


def without_the_library(patch: pytest.MonkeyPatch) -> None:
    """Take the library's test, 5 s of a package's 6, as passed."""
    package = "unifmir.export.formats.bioimageio.package"
    patch.setattr(f"{package}.reproduce", reproduced)
    patch.setattr(f"{package}.validated", lambda *_: PASSED)


def untested_package(given: PackageInputs, path: Path) -> PackageResult:
    """`build_package` without the library's test."""
    with pytest.MonkeyPatch.context() as patch:
        without_the_library(patch)
        return build_package(given, path)


def untested(task: str, folder: Path) -> PackageResult:
    """A package of a small network."""
    return untested_package(inputs(task, folder / "inputs"), folder / f"{task}.zip")

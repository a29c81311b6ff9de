"""Packages without the library's own test, for tests of everything else."""

from pathlib import Path

import pytest

from tests.compat.packages import inputs
from unifmir.export.formats.bioimageio.lint_weights import WEIGHT_FORMATS
from unifmir.export.formats.bioimageio.package import PackageInputs, PackageResult, build_package
from unifmir.export.formats.bioimageio.testing import TestSummary

PASSED = TestSummary(
    status="passed",
    core_version="0.0.0",
    metadata_completeness=0.9,
    reproduced=WEIGHT_FORMATS,
    failures=(),
)


def untested_package(given: PackageInputs, path: Path) -> PackageResult:
    """`build_package` with the library's test, 5 s of its 6, taken as passed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unifmir.export.formats.bioimageio.package.run_test", lambda *_: PASSED)
        return build_package(given, path)


def untested(task: str, folder: Path) -> PackageResult:
    """A package of a small network."""
    return untested_package(inputs(task, folder / "inputs"), folder / f"{task}.zip")

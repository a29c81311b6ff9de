"""The checks of a package, in a file beside it: what `unifmir zoo lint` found last."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from unifmir.atomic import write_text
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.partners.base import Outcome
from unifmir.export.formats.bioimageio.partners.package_checks import PackageChecks
from unifmir.export.recorded_report import FileName
from unifmir.json_values import STRICT, Between, JsonOutput, Matching, Sha256, read_values
from unifmir.plain_text_values import read_json

if TYPE_CHECKING:
    from pydantic import ConfigDict

CHECKS_SUFFIX = ".checks.json"
"""Ending of the file's name, after the package's whole name."""
MAX_CHECKS_BYTES = 1_000_000
"""Limit of the file, which has about 10,000."""
Share = Annotated[float, Between(0, 1)]
Text = Annotated[
    str, Matching(r"[^\x00-\x09\x0b-\x1f\x7f]{0,9000}", "lines of text, 9,000 characters at most")
]

_PARTS: "ConfigDict" = {**STRICT, "extra": "ignore"}
"""The file says more than is read of it."""


@dataclass(frozen=True, slots=True)
class RecordedCheck(JsonOutput):
    """Result of one check."""

    __pydantic_config__: ClassVar["ConfigDict"] = _PARTS

    name: Text
    outcome: Outcome
    detail: Text


@dataclass(frozen=True, slots=True)
class RecordedScore(JsonOutput):
    """The expected score, of which the fields of `ExpectedScore` that people are told."""

    __pydantic_config__: ClassVar["ConfigDict"] = _PARTS

    total: Share
    metadata_format: Share
    metadata_completeness: Share
    core: Share
    partner: Share
    with_deepimagej: Share
    reasons: tuple[Text, ...]
    run: tuple[Text, ...]
    expected: tuple[Text, ...]
    target: Share


@dataclass(frozen=True, slots=True)
class RecordedChecks(JsonOutput):
    """Results of all checks of a package."""

    __pydantic_config__: ClassVar["ConfigDict"] = _PARTS

    package: FileName
    sha256: Sha256
    checks: tuple[RecordedCheck, ...]
    score: RecordedScore | None


def checks_path(package: Path) -> Path:
    """Path of the file beside a package."""
    return package.with_name(package.name + CHECKS_SUFFIX)


def write_checks(checks: PackageChecks, package: Path) -> None:
    """Write the file, all or nothing."""
    text = json.dumps(checks.to_dict(), indent=1, ensure_ascii=False)
    write_text(checks_path(package), text + "\n")


def read_checks(package: Path) -> RecordedChecks | None:
    """The checks beside a package; None where there are none.

    Raises
    ------
    ExportError
        The file is not one of ours.
    """
    path = checks_path(package)
    if not path.exists():
        return None
    try:
        return read_values(RecordedChecks, read_json(path, limit=MAX_CHECKS_BYTES))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{path.name} is no result of `unifmir zoo lint` ({error}); remove it, or run "
            f"`unifmir zoo lint {package.name}` again"
        ) from error

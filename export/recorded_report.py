"""The report beside an artifact, as those read it who were given both by others."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from unifmir.errors import ExportError
from unifmir.json_values import STRICT, Amount, Matching, Sha256, read_values
from unifmir.plain_text_values import read_json

if TYPE_CHECKING:
    from pydantic import ConfigDict

REPORT_SUFFIX = ".report.json"
"""Ending of the name of an artifact's report, after the artifact's whole name."""
MAX_REPORT_BYTES = 4_000_000
"""Limit of a report, which has about 10,000."""
PLAIN_NAME = r"(?!\.{1,2}$)[^/\\\x00-\x1f\x7f-\x9f]{1,255}"
"""Pattern of a file's name without a folder."""
FileName = Annotated[str, Matching(PLAIN_NAME, "a file's name without a folder")]

_PARTS: "ConfigDict" = {**STRICT, "extra": "ignore"}
"""A report says more than is read of it."""


@dataclass(frozen=True, slots=True)
class RecordedParent:
    """The file of fp32 weights that an artifact was made from."""

    __pydantic_config__: ClassVar["ConfigDict"] = _PARTS

    name: FileName
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """One compared output."""

    __pydantic_config__: ClassVar["ConfigDict"] = _PARTS

    max_abs_over_std: Amount | None


@dataclass(frozen=True, slots=True)
class RecordedReport:
    """Fields that are read of a report that `unifmir export` wrote."""

    __pydantic_config__: ClassVar["ConfigDict"] = _PARTS

    artifact: FileName
    sha256: Sha256
    passed: bool
    parent: RecordedParent
    cases: tuple[RecordedCase, ...]


def report_path(artifact: Path) -> Path:
    """Path of an artifact's report."""
    return artifact.with_name(artifact.name + REPORT_SUFFIX)


def read_report(artifact: Path) -> RecordedReport | None:
    """The report beside an artifact; None where there is none.

    Raises
    ------
    ExportError
        It is not one of ours.
    """
    path = report_path(artifact)
    if not path.exists():
        return None
    try:
        return read_values(RecordedReport, read_json(path, limit=MAX_REPORT_BYTES))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{path.name} is no report of `unifmir export` ({error}); remove it, or export again"
        ) from error

"""Types of a partner's row, and of what it says of a package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.lint import Package
from unifmir.json_values import JsonOutput

Outcome = Literal["passed", "failed", "not run"]
ScorePart = Literal["core", "ilastik", "biapy", "deepimagej", ""]
"""Part of the zoo's score that a partner's check decides; empty: none."""


class NotRunError(ExportError):
    """A check could not be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class PartnerReport(JsonOutput):
    """Result of one check of a package."""

    name: str
    """Row of `PARTNERS`, or `lint` or `library`."""
    outcome: Outcome
    detail: str
    """The figure, what failed, or why it was not run."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the libraries that were run, by distribution."""
    instead: tuple[str, ...] = ()
    """Sentences on versions that were run in place of the partner's own."""


@dataclass(frozen=True, slots=True)
class CheckedPackage:
    """A package, and how it may be checked."""

    path: Path
    """The zip; absolute."""
    contents: Package
    offline: bool
    """Make no side environment: only those that are there are used."""
    say: Callable[[str], None]
    """Called with a sentence on each step that takes long."""


@dataclass(frozen=True, slots=True)
class Partner:
    """One program that takes packages."""

    name: str
    title: str
    check: Callable[[CheckedPackage], PartnerReport]
    """Raises NotRunError where it cannot be made."""
    runs_programs: bool = True
    """Whether the package's own programs (TorchScript, architecture file) or graph are run."""
    decides: ScorePart = ""

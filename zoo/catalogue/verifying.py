"""Check of the files on this machine against the entries and pins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unifmir.checkpoint.inspection import inspect_file
from unifmir.errors import CheckpointError, ZooError
from unifmir.hashing import sha256_of
from unifmir.json_values import JsonOutput
from unifmir.zoo.catalogue import pins
from unifmir.zoo.catalogue.named_file import facts_as_named
from unifmir.zoo.catalogue.pull import given_file, present_file
from unifmir.zoo.catalogue.schema import MULTITASK, EmbeddedSource, ZooEntry


@dataclass(frozen=True, slots=True)
class Check(JsonOutput):
    """One declared value, computed again."""

    computed = ("passed",)

    name: str
    expected: Any
    """Recorded value; None where there is none, which passes."""
    found: Any

    @property
    def passed(self) -> bool:
        """Whether it is what was recorded."""
        return self.expected is None or self.expected == self.found


@dataclass(frozen=True, slots=True)
class Verdict(JsonOutput):
    """All checks of one model."""

    written = ("id", "path", "passed", "checks")

    id: str
    path: Path | None
    """Place of the file; None if it is not here."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts; a model whose file was never here passes."""
        return all(check.passed for check in self.checks)


def verify_local(entry: ZooEntry) -> Verdict:
    """Read the file of a model again and compare hash, size, configuration and parameters.

    Never touches the network. What the entry leaves null is reported and passes.
    """
    path = present_file(entry)
    given = given_file(entry) is not None
    if path is None:
        packaged = isinstance(entry.source, EmbeddedSource) and entry.source.sha256 is not None
        missing = (Check("file", "present", "missing"),) if given or packaged else ()
        return Verdict(entry.id, None, missing)
    return Verdict(entry.id, path, (*_stored(entry, path, given=given), *_network(entry, path)))


def _stored(entry: ZooEntry, path: Path, *, given: bool) -> list[Check]:
    sha256, size_bytes = sha256_of(path), path.stat().st_size
    stored: dict[str, Any] = {}
    if given:
        try:
            stored = facts_as_named(entry, path, sha256)
        except ZooError as error:
            stored = {"sha256": f"not readable: {error}"}
    checks = [
        Check("sha256", entry.source.sha256, stored.get("sha256", sha256)),
        Check("size_bytes", entry.source.size_bytes, stored.get("size_bytes", size_bytes)),
    ]
    pin = pins.pin_of(entry.id, "file" if given else "download")
    if pin is not None:
        checks += [
            Check("pinned sha256", pin.sha256, sha256),
            Check("pinned size_bytes", pin.size_bytes, size_bytes),
        ]
    return checks


def _network(entry: ZooEntry, path: Path) -> list[Check]:
    try:
        found = inspect_file(path, task=entry.only_task)
    except CheckpointError as error:
        # The right file may still be one that cannot be loaded.
        return [Check("configuration", entry.configuration, f"not readable: {error}")]
    return [
        Check("task", entry.task, found.task or MULTITASK),
        Check("configuration", entry.configuration, found.config),
        Check("parameters", entry.parameters, found.parameters_as(entry.parameters)),
    ]

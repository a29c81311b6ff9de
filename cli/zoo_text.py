"""Text of `unifmir zoo` for people: models, their files and packages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unifmir.cli.score_text import score_line
from unifmir.text_tables import aligned

if TYPE_CHECKING:
    from unifmir.export.formats.bioimageio.partners.package_checks import PackageChecks
    from unifmir.zoo.catalogue.schema import ZooEntry
    from unifmir.zoo.catalogue.verifying import Verdict


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts on a reference model, one a line; those that are empty are left out."""
    return "\n".join(f"{name}: {_listed(value)}" for name, value in facts.items() if value)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_listed(item)}" for name, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def entry_lines(entry: "ZooEntry") -> str:
    """An entry as text for people."""
    source: dict[str, Any] = entry.source.model_dump(mode="json", exclude_none=True)
    rows: list[tuple[str, object]] = [
        ("title", entry.title),
        ("task", entry.task),
        ("dataset", entry.dataset),
        ("licence", f"{entry.licence or 'unknown'}. {entry.licence_note or ''}".strip()),
        ("authors", ", ".join(entry.authors)),
        ("cite", ", ".join(entry.cite)),
        *((f"source {name}", value) for name, value in source.items()),
        ("parameters", f"{entry.parameters:,}" if entry.parameters else "unknown until pulled"),
        *((f"training {name}", value) for name, value in (entry.training or {}).items()),
        ("notes", entry.notes),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [entry.id, *(f"{name.ljust(width)}  {value}" for name, value in rows)]
    if entry.measured:
        columns = ("metric", "value", "unit", "dataset", "precision", "source")
        measured = [
            (m.metric, m.value, m.unit or "", m.dataset, m.precision or "", m.source)
            for m in entry.measured
        ]
        lines += ["", aligned(columns, measured)]
    return "\n".join(lines)


def verdict_lines(verdict: "Verdict") -> list[str]:
    """Lines for people on what was found of one model's file."""
    if not verdict.checks:
        return [f"-     {verdict.id}: no file on this machine"]
    mark = "ok   " if verdict.passed else "WRONG"
    lines = [f"{mark} {verdict.id}: {verdict.path or 'file missing'}"]
    for check in verdict.checks:
        if not check.passed:
            lines.append(f"      {check.name}: recorded {check.expected}, found {check.found}")
        elif check.name == "configuration" and not isinstance(check.found, dict):
            lines.append(f"      {check.found}")
    return lines


def checks_text(checks: "PackageChecks") -> str:
    """Checks of a package as text for people."""
    lines = []
    for one in checks.checks:
        lines.append(f"{one.outcome.ljust(7)}  {one.name.ljust(11)}  {one.detail}")
        lines += [f"{' ' * 22}{told}" for told in one.instead]
    lines += ["", *(f"{one.severity}: {one.where}: {one.message}" for one in checks.findings)]
    return "\n".join([*lines, score_line(checks.score.to_dict()) if checks.score else ""]).rstrip()

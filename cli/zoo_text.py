"""Text of `unifmir zoo` for people: models, their files and packages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unifmir.cli import output
from unifmir.cli.score_text import score_line
from unifmir.text_tables import command_lines

if TYPE_CHECKING:
    from unifmir.export.formats.bioimageio.partners.package_checks import PackageChecks
    from unifmir.zoo.catalogue.schema import ZooEntry
    from unifmir.zoo.catalogue.verifying import Verdict


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts on a reference model, one a line; those that are empty are left out."""
    return output.folded([f"{name}: {_listed(value)}" for name, value in facts.items() if value])


def training_text(commands: Mapping[str, tuple[str, str]]) -> str:
    """The commands that train a reference model for each task, as a shell reads them."""
    lines = []
    for task, both in commands.items():
        lines.append(output.folded([f"to train it for {task}, and put it into the zoo:"]))
        for command in both:
            lines += command_lines(f"  {command}", output.terminal_width())
    return "\n".join(lines)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_listed(item)}" for name, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _trained(entry: "ZooEntry") -> dict[str, str]:
    return entry.training.in_words() if entry.training else {}


def entry_lines(entry: "ZooEntry") -> str:
    """An entry as text for people."""
    source: dict[str, Any] = entry.source.model_dump(mode="json", exclude_none=True)
    rows: list[tuple[str, object]] = [
        ("title", entry.title),
        ("task", entry.task),
        ("dataset", entry.dataset),
        ("licence", ". ".join(filter(None, (entry.licence or "unknown", entry.licence_note)))),
        ("authors", ", ".join(entry.authors)),
        *([("cite", ", ".join(entry.cite))] if entry.cite else []),
        *((f"source {name}", value) for name, value in source.items()),
        ("parameters", f"{entry.parameters:,}" if entry.parameters else "unknown until pulled"),
        *((f"training {name}", value) for name, value in _trained(entry).items()),
        *([("notes", entry.notes)] if entry.notes else []),
    ]
    parts = [entry.id, output.folded_facts(rows)]
    if entry.measured:
        parts += ["", _measured_text(entry)]
    return "\n".join(parts)


def _measured_text(entry: "ZooEntry") -> str:
    """Measurements as a table; what is the same in all of them stands before it."""
    columns = ("metric", "value", "unit", "dataset", "precision", "source")
    rows = [
        (m.metric, f"{m.value:g}", m.unit or "", m.dataset, m.precision or "", m.source)
        for m in entry.measured
    ]
    common = [
        name in ("dataset", "precision", "source") and len(set(cells)) == 1 < len(cells)
        for name, cells in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    told = [
        (f"measured {name}", cell)
        for name, cell, same in zip(columns, rows[0], common, strict=True)
        if same and cell
    ]
    kept = [index for index, same in enumerate(common) if not same]
    table = output.folded_table(
        [columns[index] for index in kept],
        [[row[index] for index in kept] for row in rows],
        folds=len(kept),
    )
    return "\n\n".join([output.folded_facts(told), table] if told else [table])


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

"""Tables of results as text: which rows and columns, in which order, with which notes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unifmir.benchmarks.measure.results import Results, Row
from unifmir.benchmarks.report.derived_figures import groups, input_shapes, ordered, ranks
from unifmir.benchmarks.report.tables.number_text import NOTHING
from unifmir.benchmarks.report.tables.views import VIEWS, CellContext, Column, time_unit
from unifmir.registry import require_known
from unifmir.text_tables import TextTable, printable

UNTRUSTED = "†"
"""Mark in place of the rank of a row whose times cannot be trusted."""
FAILED = "error"
_SETTINGS = ("rounds", "seconds", "samples", "threads", "seed", "tf32", "quick")
"""Settings that the footer tells; the rest is what the rows show, and in the JSON file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTable(TextTable):
    """Rows of one task and workload as text."""

    doubtful: tuple[bool, ...]
    """Which rows are not ranked."""


class Footnotes:
    """Footnotes of one table: called with words, gives their mark; the same words, the same one."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """The mark that refers to a note."""
        return self._marks.setdefault(printable(text), f"[{len(self._marks) + 1}]")

    def lines(self) -> list[str]:
        """Every note with its mark before it."""
        return [f"{mark} {text}" for text, mark in self._marks.items()]


def tables(
    results: Results, view: str = "latency", *, task: str | None = None
) -> list[ResultTable]:
    """One table for each task and workload, in the order in which they were measured.

    Parameters
    ----------
    results : Results
    view : str
        A name in `VIEWS`.
    task : str or None
        Only this task's.
    """
    require_known("view", view, VIEWS)
    columns = VIEWS[view]()
    return [
        _table(f"{name}, {workload}", rows, columns, results)
        for (name, workload), rows in groups(results).items()
        if task in (None, name)
    ]


def footer(results: Results) -> str:
    """Machine, versions and settings of the measurement, in one paragraph."""
    machine = ", ".join(_machine(results.machine))
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    settings = ", ".join(_settings(results))
    commit = f"commit {results.commit}" if results.commit else "an installed package"
    lines = [machine, versions, settings]
    lines.append(f"{results.command} at {commit}, {results.created}")
    if not results.complete:
        lines.append("INCOMPLETE: the run was interrupted")
    return printable("; ".join(line for line in lines if line) + ".")


def _table(
    title: str, rows: Sequence[Row], columns: Sequence[Column], results: Results
) -> ResultTable:
    rows = ordered(rows)
    note, places = Footnotes(), ranks(rows)
    at = CellContext(time_unit(rows), results.peaks, "", note)
    cells = []
    for row in rows:
        here = replace(at, rank=_rank(row, places, note))
        cells.append([printable(column.cell(row, here)) for column in columns])
    kept = [
        i
        for i, column in enumerate(columns)
        if not column.optional or any(line[i] != NOTHING for line in cells)
    ]
    notes = note.lines()
    if any(row.problems and row.latency is not None for row in rows):
        notes.insert(0, f"{UNTRUSTED} not ranked: these times cannot be trusted")
    notes += map(printable, _remarks(rows))
    return ResultTable(
        title=printable(f"{title}, {input_shapes(rows)}"),
        columns=tuple(columns[i].title.format(unit=at.unit.name) for i in kept),
        rows=tuple(tuple(line[i] for i in kept) for line in cells),
        words=tuple(columns[i].text for i in kept),
        doubtful=tuple(not row.ranked for row in rows),
        notes=tuple(notes),
    )


def _remarks(rows: Sequence[Row]) -> Iterator[str]:
    """Remarks on the rows: one of each kind, and on how many."""
    kinds: dict[str, list[str]] = {}
    for remark in (remark for row in rows for remark in row.remarks):
        kinds.setdefault(re.sub(r"[\d.]+", "", remark.partition(";")[0]), []).append(remark)
    for those in kinds.values():
        yield f"of {len(those)} of {len(rows)} rows: {those[0]}"


def _rank(row: Row, places: Mapping[str, int], note: Footnotes) -> str:
    if row.latency is None:
        return f"{FAILED} {note(row.error or 'nothing was measured')}"
    if row.problems:
        return f"{UNTRUSTED} {note('; '.join(row.problems))}"
    rank = places[row.subject.key]
    shared = sum(other == rank for other in places.values()) > 1
    return f"{rank}=" if shared else str(rank)


def _machine(machine: Mapping[str, object]) -> list[str]:
    told = [str(machine[name]) for name in ("processor",) if machine.get(name)]
    if machine.get("cores"):
        told.append(f"{machine['cores']} cores")
    memory = machine.get("memory_bytes")
    if isinstance(memory, int | float):
        told.append(f"{memory / 2**30:.0f} GiB")
    if machine.get("gpu"):
        told.append(str(machine["gpu"]))
        if machine.get("driver"):
            told.append(f"driver {machine['driver']}")
    if machine.get("system"):
        told.append(str(machine["system"]))
    return told


def _settings(results: Results) -> list[str]:
    given = results.settings
    told = [f"{name} {_said(given[name])}" for name in _SETTINGS if given.get(name) is not None]
    if "tf32" not in results.settings:
        ran = {row.ran["tf32"] for row in results.rows if "tf32" in row.ran}
        told += [f"tf32 {' and '.join(sorted(_said(value) for value in ran))}"] if ran else []
    return told


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "/".join(map(_said, value))
    return NOTHING if value is None else str(value)

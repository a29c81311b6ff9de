"""Results as one flat CSV table: everything that was measured but the single samples."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from io import StringIO
from typing import Any

from unifmir.benchmarks.measure.results import (
    ColdStart,
    Energy,
    Latency,
    MemoryUse,
    Ratio,
    Results,
    Row,
)
from unifmir.benchmarks.report.derived_figures import (
    groups,
    intensity,
    ranks,
    share_of_peak,
    share_of_roof,
)
from unifmir.metrics import METRICS

_PARTS: dict[str, type] = {
    "latency": Latency,
    "ratio": Ratio,
    "cold": ColdStart,
    "memory": MemoryUse,
    "energy": Energy,
}
_MAPPINGS = ("counts", "same_picture", "ran")
_SAMPLES = ("rounds_ms", "cpu_ms")
"""Left in the JSON file: they have no fixed number."""


def csv_text(results: Results) -> str:
    """One line per row of the results, under one line of names; numbers in full precision.

    A missing value is empty, not-a-number `nan`; several problems are joined by `; `. Names are
    those of the JSON file, with a dot between the levels.
    """
    places = {key: rank for rows in groups(results).values() for key, rank in ranks(rows).items()}
    about = {f"machine.{name}": value for name, value in results.machine.items()}
    about |= {"created": results.created, "commit": results.commit}
    names = _mapping_names(results.rows)
    text = StringIO()
    writer = None
    for row in results.rows:
        values = {**dict(_values(row, results, places, names)), **about}
        if writer is None:
            writer = csv.DictWriter(text, list(values), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in values.items()})
    return text.getvalue()


def _values(
    row: Row,
    results: Results,
    places: Mapping[str, int],
    names: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, Any]]:
    subject = row.subject
    yield "key", subject.key
    for name in ("task", "workload", "input_shape", "model", "runtime", "precision", "device"):
        yield name, getattr(subject, name)
    yield "pixels", subject.pixels
    yield "rank", places.get(subject.key)
    yield "ranked", row.ranked
    yield "problems", "; ".join(row.problems)
    yield "error", row.error
    for part, cls in _PARTS.items():
        yield from _part(part, cls, getattr(row, part))
    for name in (*METRICS, "images", "dataset"):
        yield f"quality.{name}", (row.quality or {}).get(name)
    yield "megapixels_per_s", row.megapixels_per_s
    yield "gflops_per_s", row.gflops_per_s
    yield "flop_per_byte", intensity(row)
    yield "share_of_peak", share_of_peak(row, results.peaks)
    yield "share_of_roof", share_of_roof(row, results.peaks)
    for mapping in _MAPPINGS:
        found = getattr(row, mapping) or {}
        for name in names[mapping]:
            yield f"{mapping}.{name}", found.get(name)


def _part(part: str, cls: type, value: Any) -> Iterator[tuple[str, Any]]:
    if part == "latency":
        rounds = () if value is None else value.rounds_ms
        yield "latency.rounds", len(rounds) if value else None
        yield "latency.samples", sum(map(len, rounds)) if value else None
    for field in fields(cls):
        if field.name in _SAMPLES:
            continue
        found = getattr(value, field.name, None)
        if field.name.startswith("interval"):
            low, high = found if found is not None else (None, None)
            unit = field.name.removeprefix("interval")
            yield f"{part}.low{unit}", low
            yield f"{part}.high{unit}", high
        else:
            yield f"{part}.{field.name}", found


def _mapping_names(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Names that any row has in its mappings, in the order of first sight."""
    return {
        mapping: list(dict.fromkeys(name for row in rows for name in getattr(row, mapping) or {}))
        for mapping in _MAPPINGS
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "x".join(map(str, value))
    # repr of a float is the shortest text that reads back as the same number.
    return repr(value) if isinstance(value, float) else str(value)

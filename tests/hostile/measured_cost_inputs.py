"""Results of benchmarks that `export --benchmark` is given: malformed, another's, or invented."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.helpers.benchmark_results import realistic
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.special_places import special_cases
from tests.hostile.metadata_inputs import changed, documents, right_results
from tests.hostile.training_record_inputs import content_case
from unifmir.benchmarks.report.measured_costs import read_measured_costs
from unifmir.export.credit import MeasuredCost

FIELDS = (
    *("command", "schema", "rows", "machine", "complete", "rows.0", "rows.0.subject"),
    *("rows.0.subject.task", "rows.0.subject.model", "rows.0.subject.device", "rows.0.latency"),
    *("rows.0.latency.median_ms", "rows.0.latency.rounds_ms", "rows.0.memory", "rows.0.problems"),
    *("machine.processor", "machine.cores"),
)


@cache
def subject() -> tuple[str, str]:
    """Task and model of the first row."""
    row = realistic().rows[0].subject
    return row.task, row.model


def odd() -> dict[str, tuple[str, Any]]:
    long = "x" * 5_000
    return {
        "a processor without an end": ("machine.processor", long),
        "a processor of two lines": ("machine.processor", "a\nb"),
        "a processor written backwards": ("machine.processor", "\u202eabc"),
        "cores in words": ("machine.cores", "\n".join(["many"] * 100)),
        "a GPU of a mapping": ("machine.gpu", {"name": {"a": []}}),
        "a GPU without an end": ("machine.gpu", long),
        "a model by a path": ("rows.0.subject.model", "../../victim"),
        "another task": ("rows.0.subject.task", "x/../y"),
        "a faster time": ("rows.0.latency.median_ms", 0.001),
        "a time of nothing": ("rows.0.latency.median_ms", 0),
        "a device of no name": ("rows.0.subject.device", "\u202e"),
        "a size of nothing": ("rows.0.subject.input_shape", [0, 0]),
        "a size without an end": ("rows.0.subject.input_shape", [1] * 10_000),
        "a size of text": ("rows.0.subject.input_shape", ["a"]),
        "memory below nothing": ("rows.0.memory.peak_rss_bytes", -1),
    }


def cases() -> Iterator[Case]:
    # One row: some hundred files of all of them would take minutes.
    rows = right_results()["rows"][:1]
    right = {**right_results(), "rows": rows, "machine": {"processor": "a CPU", "cores": 4}}
    for name, content in documents(right, FIELDS):
        yield content_case(name, content)
    for name, (field, value) in odd().items():
        yield content_case(name, json.dumps(changed(right, field, value)).encode())
    yield content_case("as it was measured", json.dumps(right).encode())
    yield from special_cases("facts.json")


def give(path: Path, room: Room) -> tuple[MeasuredCost, ...]:
    task, model = subject()
    return read_measured_costs(path, task, {model})


def lie(case: Case, came: tuple[MeasuredCost, ...]) -> str | None:
    """Whether sentences are told that are none, or a time that nobody measured."""
    task, model = subject()
    times = {
        f"{row.median_ms:.3g} ms"
        for row in realistic().rows
        if (row.subject.task, row.subject.model) == (task, model)
    }
    for one in came:
        text = f"{one.time}{one.memory}"
        if not text.isprintable() or len(text) > 500:
            return f"told is {text[:200]!r}"
        if not any(one.time.startswith(time) for time in times):
            return f"told is {one.time}"
    return None


KIND = HostileKind("benchmark for a package", cases, give, lie)

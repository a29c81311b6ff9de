"""Reports, results, journals and states of trainings that are malformed, altered or another's.

Pins and entries are in `zoo_folder_inputs.py`, passports in `engine_inputs.py`, and what artifacts
say of themselves in the files of their formats.
"""

import copy
import functools
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.helpers.benchmark_results import realistic
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.restoration_cases import FileSink, picture, predictor_of, small
from tests.hostile import templates
from unifmir.benchmarks.measure.results import read_results
from unifmir.export.recorded_report import read_report, report_path
from unifmir.images.arrays import ArraySource
from unifmir.restoration.executor import restore
from unifmir.restoration.journal import Journal
from unifmir.restoration.restoration_options import Options
from unifmir.tasks import TASKS
from unifmir.training.pool import Pool
from unifmir.training.schedule import Schedule
from unifmir.training.trainer import Training

FILES = {
    "report": "x.onnx.report.json",
    "results": "results.json",
    "journal": "out.journal",
    "state": "m.state.pt",
}
WRONG: dict[str, Any] = {
    "null": None,
    "text": "text",
    "an empty text": "",
    "a number": 7.5,
    "a negative number": -1,
    "a number beyond 64 bits": 10**30,
    "true": True,
    "a list": [[]],
    "a mapping": {"a": {}},
    "an escape sequence": "\x1b]0;pwn\x07",
    "a path": "../../victim/pwn",
}
"""What stands in place of a value."""
TEXTS: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "half": b'{"a": ',
    "no UTF-8": b"\xff\xfe{}",
    "marked as UTF-8": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "without end": b"[" * 300_000,
    "mappings without end": b'{"a":' * 100_000,
    "a number of 10,000 digits": b'{"schema": ' + b"1" * 10_000 + b"}",
    "a million numbers": b"[" + b"0," * 1_000_000 + b"0]",
    "zeros": bytes(10_000),
}
"""Files that hold no document."""
REPORT_FIELDS = ("artifact", "sha256", "passed", "parent", "parent.name", "parent.sha256", "cases")
RESULT_FIELDS = (
    *("command", "schema", "rows", "machine", "complete", "rows.0.subject", "rows.0.latency"),
    *("rows.0.latency.median_ms", "rows.0.latency.rounds_ms", "rows.0.subject.task"),
)


def changed(document: Any, field: str, value: Any) -> Any:
    """A document with another value of a field, as `rows.0.subject`."""
    document = copy.deepcopy(document)
    *path, leaf = [int(part) if part.isdecimal() else part for part in field.split(".")]
    held = document
    for part in path:
        held = held[part]
    held[leaf] = value
    return document


def without(document: Any, field: str) -> Any:
    document = copy.deepcopy(document)
    *path, leaf = [int(part) if part.isdecimal() else part for part in field.split(".")]
    held = document
    for part in path:
        held = held[part]
    del held[leaf]
    return document


def documents(right: Any, fields: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Altered documents, and files that are none."""
    for number, field in enumerate(fields):
        names = list(WRONG)
        # Each field by half of what there is, all of it by any two that follow each other.
        for name in names[number % 2 :: 2]:
            yield f"{field} is {name}", json.dumps(changed(right, field, WRONG[name])).encode()
        yield f"without {field}", json.dumps(without(right, field)).encode()
        yield f"{field} is NaN", json.dumps(changed(right, field, float("nan"))).encode()
    text = json.dumps(right).encode()
    yield "an entry twice", text.replace(b"{", b'{"schema": 1, "schema": 1, ', 1)
    yield "an entry of no printable name", text.replace(b"{", b'{"a\\u0007": 1, ', 1)
    yield "cut short", text[:-20]
    yield "more behind it", text + b"{}"
    yield from TEXTS.items()


@functools.cache
def right_report() -> dict[str, Any]:
    files = templates.exported("onnx")
    return json.loads(next(c for name, c in files.items() if name.endswith(".report.json")))  # type: ignore[no-any-return]  # of our own


@functools.cache
def right_results() -> dict[str, Any]:
    return json.loads(json.dumps(realistic().to_dict()))  # type: ignore[no-any-return]  # of our own


IMAGE = picture((1, 48, 48))
OPTIONS = Options(tile=32, halo=16)


def journal_at(path: Path) -> Journal:
    return Journal(path, source="source", model="model")


def interrupted(folder: Path) -> None:
    """Restore an image into a folder, and stop after the first tile."""

    def stop(progress: Any) -> None:
        if progress.tiles_done:
            raise KeyboardInterrupt

    try:
        restore(
            ArraySource(IMAGE, "zyx"),
            lambda plan: FileSink(folder / "out.raw", plan.out_shape),
            predictor_of(small("denoise")),
            OPTIONS,
            journal=journal_at(folder / FILES["journal"]),
            on_progress=stop,
        )
    except KeyboardInterrupt:
        return


@functools.cache
def right_journal() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        interrupted(Path(folder))
        return Path(folder, FILES["journal"]).read_bytes()


def journals() -> Iterator[tuple[str, bytes]]:
    """Journals whose first line is not the one that this user signed."""
    first, _, rest = right_journal().partition(b"\n")
    signature, _, text = first.partition(b" ")
    header = json.loads(text)

    def with_header(other: Any, signed: bytes = signature) -> bytes:
        return signed + b" " + json.dumps(other).encode() + b"\n" + rest

    for field in ("version", "source", "model", "options", "digest", "plan", "plan.scalings"):
        for name in list(WRONG)[::3]:
            yield f"{field} is {name}", with_header(changed(header, field, WRONG[name]))
    scaled = changed(header, "plan.scalings.0.0.span", header["plan"]["scalings"][0][0]["span"] * 2)
    yield "another scaling", with_header(scaled)
    yield "a larger tile", with_header(changed(header, "plan.pitch", [1, 4096, 4096]))
    yield "a tile of nothing", with_header(changed(header, "plan.pitch", [0, 0, 0]))
    yield "no signature", text + b"\n" + rest
    yield "an empty signature", with_header(header, b"")
    yield "a signature of zeros", with_header(header, b"0" * 64)
    yield "a signature that is no text", with_header(header, b"\xff" * 64)
    yield "the signature of another text", with_header({**header, "source": "other"})
    yield from TEXTS.items()


def small_training() -> Training:
    """A training of the template, which never runs."""
    torch.manual_seed(3)
    network = copy.deepcopy(templates.network())
    recipes = {"sr": TASKS["sr"].training}
    return Training(network, {"sr": Pool("sr", (), ())}, recipes, Schedule(1e-3, 4), 0, ("sr",))


@functools.cache
def right_state() -> dict[str, Any]:
    training = small_training()
    training.network.train()
    image = torch.ones(1, 1, 8, 8)
    training.network(image).square().mean().backward()
    training.optimizer.step()
    training.step, training.losses = 1, {"sr": [0.5]}
    with tempfile.TemporaryDirectory() as folder:
        training.save(Path(folder, "s.pt"))
        return torch.load(Path(folder, "s.pt"), weights_only=True)  # type: ignore[no-any-return]  # of our own


def states() -> Iterator[tuple[str, bytes]]:
    """States that are another training's, or none's."""

    def state(**entries: Any) -> bytes:
        file = io.BytesIO()
        torch.save({**right_state(), **entries}, file)
        return file.getvalue()

    for field in ("schema", "seed", "order", "learning_rate", "step", "losses"):
        for name in list(WRONG)[::2]:
            yield f"{field} is {name}", state(**{field: WRONG[name]})
    for field in ("network", "average", "optimizer"):
        held = right_state()[field]
        yield f"{field} is null", state(**{field: None})
        yield f"{field} is empty", state(**{field: {}})
        yield f"{field} is a list", state(**{field: [held]})
        yield f"{field} of a key more", state(**{field: {**held, "more": torch.zeros(1)}})
    for field in ("network", "average"):
        held = right_state()[field]
        key = next(iter(held))
        yield f"{field} of NaN", state(**{field: {**held, key: held[key] * torch.nan}})
        yield f"{field} of another shape", state(**{field: {**held, key: held[key][:1]}})
        yield f"{field} of text", state(**{field: {**held, key: "weights"}})
    kept = copy.deepcopy(right_state()["optimizer"])
    kept["state"][0]["exp_avg"] = torch.zeros(2, 2)
    yield "averages of another shape", state(optimizer=kept)
    kept = copy.deepcopy(right_state()["optimizer"])
    kept["state"][0]["exp_avg_sq"] = kept["state"][0]["exp_avg_sq"] * torch.inf
    yield "averages that are infinite", state(optimizer=kept)
    yield "steps without losses", state(step=3)
    yield "more steps than there are", state(step=9, losses={"sr": [0.5] * 9})
    yield "losses of another task", state(losses={"x/../../victim": [0.5]})
    yield "losses that are NaN", state(losses={"sr": [float("nan")]})
    yield "a list of one state", templates.saved([right_state()])
    yield "a call", b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."
    yield from TEXTS.items()


def case(reader: str, name: str, content: bytes) -> Case:
    def write(room: Room) -> Path:
        path = room.given / FILES[reader]
        path.write_bytes(content)
        return path

    return Case(f"{reader}: {name}", write)


def special(reader: str, name: str, make: Callable[[Path], object]) -> Case:
    def write(room: Room) -> Path:
        path = room.given / FILES[reader]
        make(path)
        return path

    return Case(f"{reader}: {name}", write)


def linked(path: Path) -> None:
    path.symlink_to(path.parents[1] / "victim" / "precious.txt")


def cases() -> Iterator[Case]:
    sources = {
        "report": documents(right_report(), REPORT_FIELDS),
        "results": documents(right_results(), RESULT_FIELDS),
        "journal": journals(),
        "state": states(),
    }
    for reader, source in sources.items():
        yield from (case(reader, name, content) for name, content in source)
        for name, make in {"a pipe": os.mkfifo, "a folder": os.mkdir, "a link": linked}.items():
            yield special(reader, name, partial(make))


def give(given: Path, room: Room) -> Any:
    if given.name == FILES["report"]:
        assert report_path(given.with_name("x.onnx")) == given  # the reader finds what was written
        return read_report(given.with_name("x.onnx"))
    if given.name == FILES["results"]:
        return read_results(given)
    if given.name == FILES["journal"]:
        recorded = journal_at(given).recorded(OPTIONS)
        return "nothing" if recorded is None else recorded
    training = small_training()
    training.resume(given)
    return training


def lie(case: Case, came: Any) -> str | None:
    reader = case.name.partition(":")[0]
    if reader == "journal":
        return None if came == "nothing" else "tiles of another's work are taken up"
    if reader == "state":
        same = all(
            torch.equal(one, right_state()["network"][key])
            for key, one in came.network.state_dict().items()
        )
        return None if same and came.step == 1 else "another state is gone on with"
    if reader == "results":
        # What may be missing may be null; all else must be what was measured.
        right = realistic().to_dict()
        found = came.to_dict()
        rows = zip(found["rows"], right["rows"], strict=False)  # a file may have none
        same = all(one in (None, other) for a, b in rows for one, other in _pairs(a, b))
        return None if same else f"measured is {str(found)[:200]}"
    right = right_report()
    ok = came.sha256 == right["sha256"] and came.parent.name == right["parent"]["name"]
    return None if ok and came.passed is right["passed"] else f"the report is {came}"


def _pairs(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    return ((one[key], json.loads(json.dumps(other[key]))) for key in other)


KIND = HostileKind("metadata beside files", cases, give, lie)

"""Training records that `export --training-record` is given: malformed, beyond bounds, or none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.special_places import special_cases
from tests.hostile.metadata_inputs import changed, documents
from unifmir.training.training_record import TrainingRecord, read_training_record

RIGHT: dict[str, Any] = {
    "schema": 1,
    "optimizer": "Adam",
    "optimizer_settings": {"betas": [0.9, 0.999]},
    "learning_rate": 1e-4,
    "loss": "L1",
    "epochs": 200.0,
    "steps": 1000,
    "batch_size": 4,
    "patch_px": 64,
    "hours": 3.5,
    "hardware": "one GPU",
    "data": "cells",
    "data_url": "https://example.org/cells",
}
ODD: dict[str, tuple[str, Any]] = {
    "a rate of nothing": ("learning_rate", 0.0),
    "a rate below nothing": ("learning_rate", -1e-4),
    "an enormous rate": ("learning_rate", 1e300),
    "steps below nothing": ("steps", -5),
    "endless steps": ("steps", 10**18),
    "half a step": ("steps", 0.5),
    "no patches": ("batch_size", 0),
    "hours below nothing": ("hours", -1.0),
    "an address of another scheme": ("data_url", "javascript:alert(1)"),
    "an address of a file": ("data_url", "file:///etc/passwd"),
    "an address with spaces": ("data_url", "https://a b"),
    "words without an end": ("loss", "x" * 2001),
    "a setting of text": ("optimizer_settings", {"betas": "many"}),
    "a setting of mappings": ("optimizer_settings", {"betas": {"a": 1}}),
    "a setting of no name": ("optimizer_settings", {"": 1.0}),
    "a setting called as a program": ("optimizer_settings", {"__class__; import os": 1.0}),
    "a thousand settings": ("loss_settings", {f"a{n}": 1.0 for n in range(1000)}),
    "another schema": ("schema", 2),
}


def content_case(name: str, content: bytes) -> Case:
    def write(room: Room) -> Path:
        path = room.given / "facts.json"
        path.write_bytes(content)
        return path

    return Case(name, write)


def cases() -> Iterator[Case]:
    fields = tuple(RIGHT)
    for name, content in documents(RIGHT, (*fields, "optimizer_settings.betas")):
        yield content_case(name, content)
    for name, (field, value) in ODD.items():
        yield content_case(name, json.dumps(changed(RIGHT, field, value)).encode())
    yield content_case("as it is written", json.dumps(RIGHT).encode())
    yield from special_cases("facts.json")


def give(path: Path, room: Room) -> tuple[TrainingRecord, Path]:
    return read_training_record(path), path


def lie(case: Case, came: tuple[TrainingRecord, Path]) -> str | None:
    """Whether the record says anything that its file does not, or what no record may say."""
    record, path = came
    said = {name: value for name, value in json.loads(path.read_bytes()).items() if value}
    stated = {"schema": 1, **record.stated()}
    if stated != said and {**said, "schema": 1} != stated:
        return f"the record is {stated}"
    words = [value for value in stated.values() if isinstance(value, str)]
    return None if all(len(one) <= 2000 for one in words) else "words without an end"


KIND = HostileKind("training record", cases, give, lie)

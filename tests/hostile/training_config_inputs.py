"""Configurations of trainings, TOML and JSON: malformed, beyond bounds, or in contradiction."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.special_places import special_cases
from tests.hostile.metadata_inputs import changed, documents
from unifmir.training.configuration import TrainingConfig, read_config

RIGHT: dict[str, Any] = {
    "stage": "finetune",
    "tasks": ["sr", "denoise"],
    "init": "unifmir-small-sim",
    "data": ["cells.zarr"],
    "freeze": "others",
    "steps": 100,
    "learning_rate": 5e-5,
    "schedule": "halved",
    "halve_at": 0.4,
    "warm_up": 10,
    "clip_norm": 0.5,
    "average_decay": 0.99,
    "loss": "l1",
    "seed": 7,
    "precision": "fp32",
    "recipes": {"sr": {"batch": 4, "patch": 32}},
}
ODD: dict[str, tuple[str, Any]] = {
    "another stage": ("stage", "eval"),
    "an unknown task": ("tasks", ["denose"]),
    "an unknown task's recipe": ("recipes", {"denose": {"batch": 1}}),
    "an unknown task renewed": ("renew", ["../sr"]),
    "no steps": ("steps", 0),
    "endless steps": ("steps", 10**12),
    "half a step": ("steps", 0.5),
    "steps and epochs": ("epochs", 3),
    "an enormous batch": ("recipes.sr.batch", 10**9),
    "no batch": ("recipes.sr.batch", 0),
    "an enormous patch": ("recipes.sr.patch", 10**6),
    "no parts": ("accumulate", 0),
    "parts below nothing": ("accumulate", -2),
    "half a part": ("accumulate", 1.5),
    "an enormous number of parts": ("accumulate", 10**9),
    "old scenes": ("recipes.sr.fresh_scenes", -0.25),
    "an enormous number of new scenes": ("recipes.sr.fresh_scenes", 1e9),
    "new scenes in words": ("recipes.sr.fresh_scenes", "some"),
    "an unknown entry of a recipe": ("recipes.sr.batches", 4),
    "a rate of nothing": ("learning_rate", 0.0),
    "an enormous rate": ("learning_rate", 1e300),
    "a seed below nothing": ("seed", -1),
    "a seed beyond 64 bits": ("seed", 2**64),
    "halved after the end": ("halve_at", 1.5),
    "a warm-up below nothing": ("warm_up", -1),
    "half a step of warm-up": ("warm_up", 0.5),
    "a norm below nothing": ("clip_norm", -1.0),
    "a norm without bounds": ("clip_norm", 1e300),
    "an average that never moves": ("average_decay", 1.0),
    "an average below nothing": ("average_decay", -0.5),
    "another schedule": ("schedule", "step"),
    "another loss": ("loss", "vgg"),
    "another precision": ("precision", "fp8"),
    "another model": ("model", "huge"),
    "a name without an end": ("init", "x" * 1001),
    "no model": ("init", ""),
    "another word for true": ("with_simulated", "yes"),
}
TOML: dict[str, bytes] = {
    "empty": b"",
    "no end of a text": b'stage = "pretrain',
    "no value": b"stage =",
    "a name twice": b'stage = "pretrain"\nstage = "finetune"\nsteps = 1',
    "a table twice": b"[recipes.sr]\nbatch = 1\n[recipes.sr]\nbatch = 2",
    "a date": b'stage = "pretrain"\nsteps = 2026-11-29',
    "a time": b'stage = "pretrain"\nsteps = 07:32:00',
    "not a number": b'stage = "pretrain"\nsteps = 1\nlearning_rate = nan',
    "an infinite rate": b'stage = "pretrain"\nsteps = 1\nlearning_rate = inf',
    "a number of 10,000 digits": b'stage = "pretrain"\nsteps = ' + b"1" * 10_000,
    "lists without end": b"tasks = " + b"[" * 10_000,
    "names without end": b"a." * 5_000 + b"a = 1",
    "tables without end": b"[" + b"a." * 5_000 + b"a]",
    "longer than one is": b"# " + b"x" * 30_000,
    "no UTF-8": b'stage = "\xff\xfe"',
    "marked as UTF-8": b'\xef\xbb\xbfstage = "pretrain"\nsteps = 1',
    "UTF-16": 'stage = "pretrain"'.encode("utf-16"),
    "zeros": bytes(1_000),
    "a control character": b'stage = "pretrain"\ninit = "\\u001b]0;pwn\\u0007"\nsteps = 1',
    "JSON": b'{"stage": "pretrain", "steps": 1}',
    "a list of tables": b'stage = "pretrain"\nsteps = 1\n[[recipes.sr]]\nbatch = 1',
    "an entry of nobody": b'stage = "pretrain"\nsteps = 1\n__class__ = "os"',
}


def content_case(name: str, content: bytes, suffix: str) -> Case:
    def write(room: Room) -> Path:
        path = room.given / f"training{suffix}"
        path.write_bytes(content)
        return path

    return Case(f"{name} ({suffix})", write)


def cases() -> Iterator[Case]:
    for name, content in documents(RIGHT, (*RIGHT, "recipes.sr", "recipes.sr.batch")):
        yield content_case(name, content, ".json")
    for name, (field, value) in ODD.items():
        yield content_case(name, json.dumps(changed(RIGHT, field, value)).encode(), ".json")
    yield content_case("as it is written", json.dumps(RIGHT).encode(), ".json")
    for name, content in TOML.items():
        yield content_case(name, content, ".toml")
    yield content_case("as it is written", b'stage = "pretrain"\nsteps = 1', ".toml")
    yield content_case("another ending", b"stage: pretrain", ".yaml")
    yield from special_cases("training.toml")


def give(path: Path, room: Room) -> tuple[TrainingConfig, Path]:
    return read_config(path), path


def lie(case: Case, came: tuple[TrainingConfig, Path]) -> str | None:
    """Whether the configuration has an entry that is other than in its file."""
    config, path = came
    text = path.read_text("utf-8")
    said = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    found = config.to_dict()
    for name, value in said.items():
        expected = value
        if name == "recipes":
            found[name] = {
                task: {k: v for k, v in change.items() if v is not None}
                for task, change in found[name].items()
            }
            expected = {
                task: {k: v for k, v in change.items() if v is not None}
                for task, change in value.items()
            }
        if found[name] != expected:
            return f"{name} is {found[name]}, the file has {value}"
    return None


KIND = HostileKind("configuration of a training", cases, give, lie)

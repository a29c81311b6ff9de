"""Checkpoints of PyTorch, TorchScript and Keras that run, reach, exhaust or lie."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.script_archives import traced
from tests.hostile import keras_files, templates, torch_files
from tests.hostile.pickles import payloads
from tests.hostile.raw_zip import archive_of, entries_of
from unifmir.checkpoint.inspection import inspect_file
from unifmir.networks.base import Network
from unifmir.zoo.catalogue.load import load


def case(name: str, content: Callable[[Room], bytes], file: str = "model.pt") -> Case:
    def write(room: Room) -> Path:
        path = room.given / file
        path.write_bytes(content(room))
        return path

    return Case(name, write)


def with_pickle(pickle: bytes, record: str = "data.pkl") -> bytes:
    """A checkpoint, or for `constants.pkl` a TorchScript file, with another pickle."""
    if record == "constants.pkl":
        entries = entries_of(script())
    else:
        entries = list(torch_files.records())
    return archive_of(
        [
            replace(e, content=pickle) if e.name.decode().endswith(f"/{record}") else e
            for e in entries
        ]
    )


def script() -> bytes:
    if not _SCRIPT:
        _SCRIPT.append(traced(templates.network(), torch.zeros(1, 1, 16, 16)))
    return _SCRIPT[0]


_SCRIPT: list[bytes] = []


def in_script(pickle: bytes) -> bytes:
    return archive_of(
        [
            replace(e, content=pickle) if e.name.endswith(b"/data.pkl") else e
            for e in entries_of(script())
        ]
    )


def as_legacy(pickle: bytes) -> bytes:
    """A file of old torch whose content is a pickle."""
    right = templates.saved({}, legacy=True)
    return right.replace(b"\x80\x02}q\x00.", pickle, 1)


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "a checkpoint": with_pickle,
    "an old checkpoint": as_legacy,
    "a TorchScript file": in_script,
    "a pickle": lambda pickle: pickle,
}


def _in_form(form: str, payload: Callable[[Room], bytes], room: Room) -> bytes:
    return FORMS[form](payload(room))


def _as_it_is(content: bytes, _room: Room) -> bytes:
    return content


def programs() -> Iterator[Case]:
    """Every call in one form of file, and those by each way in all."""
    forms = list(FORMS)
    for number, (name, payload) in enumerate(payloads()):
        wanted = forms if name.endswith("alone") else [forms[number % len(forms)]]
        for form in wanted:
            yield case(f"{form}: {name}", partial(_in_form, form, payload))


def cases() -> Iterator[Case]:
    yield from programs()
    for source in (
        torch_files.contents,
        torch_files.numbers,
        torch_files.of_records,
        torch_files.of_legacy,
    ):
        yield from (case(name, partial(_as_it_is, content)) for name, content in source())
    for name, write in keras_files.files():
        yield Case(f"Keras: {name}", partial(_keras, write=write))


def _keras(room: Room, write: Callable[[Room], None]) -> Path:
    write(room)
    return room.given / "weights_best.h5"


def give(given: Path, _room: Room) -> Network:
    network = load(given, task=None if given.suffix == ".h5" else "sr")
    if given.suffix != ".h5":
        inspect_file(given)
    return network


def lie(_case: Case, came: Network) -> str | None:
    if came.config.task == "sr":
        return templates.other_weights(came)
    one, other = came.state_dict(), keras_files.care().state_dict()
    differ: list[Any] = [key for key in other if not torch.equal(one[key], other[key])]
    return f"other weights: {differ}" if differ else None


KIND = HostileKind("checkpoint (.pt, .pth, .h5)", cases, give, lie)

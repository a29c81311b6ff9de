"""Safetensors files with headers and records that lie, given as checkpoints."""

from collections.abc import Iterator
from pathlib import Path

from tests.helpers.hostile import Case, HostileKind, Room
from tests.hostile import templates
from tests.hostile.safetensors_headers import headers, records
from unifmir.checkpoint.inspection import inspect_file
from unifmir.networks.base import Network
from unifmir.zoo.catalogue.load import load


def case(name: str, content: bytes) -> Case:
    def write(room: Room) -> Path:
        path = room.given / "model.safetensors"
        path.write_bytes(content)
        return path

    return Case(name, write)


def cases() -> Iterator[Case]:
    for name, content in (*headers(), *records()):
        yield case(name, content)


def give(given: Path, _room: Room) -> Network:
    network = load(given)
    inspect_file(given)
    return network


def lie(_case: Case, came: Network) -> str | None:
    config = templates.network().config
    if came.config != config:
        return f"it is taken for {came.config}"
    return templates.other_weights(came)


KIND = HostileKind("checkpoint (safetensors)", cases, give, lie)

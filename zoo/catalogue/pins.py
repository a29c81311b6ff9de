"""Pins: what the user's files were when they first came, enforced ever after.

Most hashes of the official files are printed nowhere, so the first pull cannot be checked against
anything but the server's own checksum. It is recorded, and every later file must be that one.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from unifmir.atomic import write_text
from unifmir.errors import ZooError
from unifmir.json_values import JsonValues, read_values
from unifmir.plain_text_values import read_json
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.schema import FileName, Sha256

Origin = Literal["download", "file"]


@dataclass(frozen=True, slots=True)
class Pin(JsonValues):
    """One file as it was when it first came."""

    filename: FileName
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0, lt=2**63)]
    source: str
    """Address, or the name of the user's file."""
    added: str
    """Date, ISO 8601."""


@dataclass(frozen=True, slots=True)
class _PinsFile(JsonValues):
    pins: dict[Origin, Pin]
    schema: Literal[1] = 1


def pins_file(model_id: str) -> Path:
    """File of a model's pins: one each, so that two pulls do not meet."""
    return directories.home() / "pins" / f"{model_id}.json"


def pin_of(model_id: str, origin: Origin) -> Pin | None:
    """The pin of a model's file, or None if there was none yet."""
    return _read(model_id).get(origin)


def record(model_id: str, origin: Origin, pin: Pin) -> None:
    """Add a pin; a model's earlier one of the same origin is replaced."""
    pins = {**_read(model_id), origin: pin}
    _write(model_id, pins)


def forget(model_id: str, origin: Origin) -> None:
    """Remove a pin, if there is one."""
    pins = {kept: pin for kept, pin in _read(model_id).items() if kept != origin}
    if pins:
        _write(model_id, pins)
    else:
        pins_file(model_id).unlink(missing_ok=True)


def _write(model_id: str, pins: dict[Origin, Pin]) -> None:
    document = _PinsFile(pins).to_dict()
    write_text(pins_file(model_id), json.dumps(document, indent=2, sort_keys=True) + "\n")


def _read(model_id: str) -> dict[Origin, Pin]:
    path = pins_file(model_id)
    if not path.exists():
        return {}
    if not path.is_file():
        raise ZooError(f"{path} is no file; move it away: the model's file is then pinned anew")
    try:
        return read_values(_PinsFile, read_json(path)).pins
    except ValueError as error:
        raise ZooError(
            f"{path} is damaged, or of a newer unifmir ({error}); move it away: the file is then "
            "pinned anew at the next pull"
        ) from error

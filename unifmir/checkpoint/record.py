"""What unifmir writes into the header of its own files, beside the weights."""

import json
from dataclasses import dataclass
from typing import Any

from unifmir.checkpoint.detect import check_values
from unifmir.config import (
    ModelConfig,
    MultiTaskConfig,
    ReferenceConfig,
    config_from_dict,
    kind_of,
)
from unifmir.errors import CheckpointError
from unifmir.model import Provenance, PruneCertificate
from unifmir.tasks import TASKS

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Record:
    """The entry "unifmir" of a file's metadata; empty for files of others."""

    config: ModelConfig | None = None
    dtype: str = ""
    """Element types of the floating-point weights in the file, joined by `+`."""
    parent: Provenance | None = None
    """The file the network was loaded from, or pruned from."""
    certificate: PruneCertificate | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        config = self.config
        return {
            "schema": SCHEMA,
            "kind": kind_of(config),
            "task": "" if config is None or isinstance(config, MultiTaskConfig) else config.task,
            "config": config and config.to_dict(),
            "dtype": self.dtype,
            "parent": self.parent and {"name": self.parent.name, "sha256": self.parent.sha256},
            "certificate": self.certificate and self.certificate.to_dict(),
        }


def read_record(metadata: dict[str, str]) -> Record:
    """The record in a file's metadata, or an empty one.

    Raises
    ------
    CheckpointError
        If there is one and it is malformed, or newer than this version.
    """
    if "unifmir" not in metadata:
        return Record()
    try:
        data = json.loads(metadata["unifmir"])
        if data["schema"] != SCHEMA:
            raise CheckpointError(
                f"its metadata has schema {data['schema']!r}, this unifmir reads {SCHEMA}: "
                "update unifmir"
            )
        config = config_from_dict(data["config"])
        if data["kind"] != kind_of(config):
            raise CheckpointError(f"it says it is {data['kind']!r}, but is {kind_of(config)!r}")
        if not isinstance(config, ReferenceConfig):
            _check_types(config.to_dict(), type(config).__name__)
        check_values(config)
        return Record(
            config,
            str(data["dtype"]),
            Provenance(**data["parent"]) if data.get("parent") else None,
            PruneCertificate.from_dict(data["certificate"]) if data.get("certificate") else None,
        )
    except CheckpointError:
        raise
    # json: ValueError, RecursionError. A value of another type than `to_dict` writes: TypeError,
    # AttributeError. A missing one: KeyError, TypeError.
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"its unifmir metadata is malformed ({type(error).__name__}: {error}): "
            "the file was altered, get it again"
        ) from error


def _check_types(values: dict[str, Any], where: str) -> None:
    """JSON can put anything where a number is meant."""
    for name, value in values.items():
        if isinstance(value, dict) and name in ("body", "projector", "view_unet"):
            _check_types(value, f"{where}.{name}")
        elif name == "task":
            if value not in TASKS:
                raise CheckpointError(f"{where}.task is {value!r}; known: {', '.join(TASKS)}")
        elif name == "body_residual":
            if not isinstance(value, bool):
                raise CheckpointError(f"{where}.{name} is {value!r}; expected true or false")
        elif name in ("projector", "view_unet") and value is None:
            continue
        else:
            numbers = value if isinstance(value, list) else [value]
            listed = name in ("depths", "num_heads", "encoder")
            if isinstance(value, list) is not listed or any(type(n) is not int for n in numbers):
                raise CheckpointError(f"{where}.{name} is {value!r}; expected whole numbers")

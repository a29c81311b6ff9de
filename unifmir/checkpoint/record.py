"""The record of our own files: configuration and origin, in the header beside the weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.checkpoint.config_checks import check_values
from unifmir.config import ModelConfig, MultiTaskConfig, config_from_dict, kind_of
from unifmir.errors import CheckpointError
from unifmir.json_values import JsonValues, read_values
from unifmir.model import Provenance, PruneCertificate
from unifmir.plain_text_values import parse_json

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
        """JSON values of the fields, with the schema and the kind of network."""
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
        data = parse_json(metadata["unifmir"])
        schema = data["schema"]
        if schema == SCHEMA:
            entries = read_values(_Entries, data)
    # CheckpointError is a ValueError. No mapping: TypeError.
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"its unifmir metadata is malformed ({type(error).__name__}: {error}): "
            "the file was altered, get it again"
        ) from error
    if schema != SCHEMA:
        raise CheckpointError(
            f"its metadata has schema {schema!r}, this unifmir reads {SCHEMA}: update unifmir"
        )
    config = config_from_dict(entries.config)
    if entries.kind != kind_of(config):
        raise CheckpointError(f"it says it is {entries.kind!r}, but is {kind_of(config)!r}")
    check_values(config)
    return Record(config, entries.dtype, entries.parent, entries.certificate)


def metadata_of_lineage(lineage: Mapping[str, str]) -> dict[str, str]:
    """The metadata that a network would have whose exported file carries `lineage`.

    Parameters
    ----------
    lineage : mapping
        Strings as `unifmir.export` writes them; empty in files of others, and so is the result.

    Raises
    ------
    CheckpointError
        It is malformed.
    """
    if "config" not in lineage:
        return {}
    try:
        config = config_from_dict(parse_json(lineage["config"]))
        parent = Provenance.from_dict(parse_json(lineage["parent"]))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"its unifmir record is malformed ({type(error).__name__}: {error}): the file was "
            "altered, get it again"
        ) from error
    return {"unifmir": json.dumps(Record(config, parent=parent).to_dict())}


@dataclass(frozen=True, slots=True)
class _Entries(JsonValues):
    """JSON form of a `Record`."""

    schema: int
    kind: str
    task: str
    config: dict[str, Any]
    dtype: str
    parent: Provenance | None
    certificate: PruneCertificate | None

"""Facts of a training: what `unifmir train` writes beside a model, and people by hand of others.

The JSON file has the fields of `TrainingRecord`, all but `schema` optional; what is left out stays
unsaid wherever the record goes.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from unifmir.atomic import write_text
from unifmir.errors import CheckpointError
from unifmir.json_values import Between, JsonValues, Matching, read_values
from unifmir.plain_text_values import read_json

SUFFIX = ".training.json"
"""End of the name of the record beside a model that `unifmir train` wrote."""
MAX_BYTES = 100_000
"""Limit of a file, which has about 1,000."""
MAX_SETTINGS = 32

Words = Annotated[str, Matching(r"(?s).{0,2000}", "text of at most 2,000 characters")]
SettingName = Annotated[str, Matching(r"[A-Za-z_][A-Za-z0-9_]{0,63}", "a name of a setting")]
Address = Annotated[str, Matching(r"(https?://\S{1,500})?", "an address (http or https)")]
Setting = float | list[float]


@dataclass(frozen=True, slots=True)
class TrainingRecord(JsonValues):
    """Facts of a training; empty and None: not known."""

    schema: Literal[1] = 1
    optimizer: Words = ""
    optimizer_settings: dict[SettingName, Setting] = field(default_factory=dict)
    """Keyword arguments of the optimiser but the learning rate, such as `betas`."""
    learning_rate: Annotated[float, Between(1e-12, 1e3)] | None = None
    """Initial learning rate, or the peak of one that warms up."""
    learning_rate_schedule: Words = ""
    loss: Words = ""
    loss_settings: dict[SettingName, Setting] = field(default_factory=dict)
    """Numbers of the loss, such as `l1_share`."""
    epochs: Annotated[float, Between(0, 1e9)] | None = None
    steps: Annotated[int, Between(0, 1e12)] | None = None
    """Optimiser steps."""
    batch_size: Annotated[int, Between(1, 1e6)] | None = None
    """Patches a step."""
    patch_px: Annotated[int, Between(1, 1e6)] | None = None
    """Side of a patch: pixels of the network's input; of a light field, lenses."""
    preprocessing: Words = ""
    """Normalisation, cutting and augmentation of the training images."""
    regularization: Words = ""
    hours: Annotated[float, Between(0, 1e6)] | None = None
    """Wall time of the training."""
    hardware: Words = ""
    memory: Words = ""
    """Memory that the training needs."""
    data: Words = ""
    """Training data in words."""
    data_url: Address = ""
    """Address of the training data."""
    source: Words = ""
    """Origin of these facts: a section of a paper, a command."""

    def stated(self) -> dict[str, Any]:
        """JSON values of what is known, without the schema."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "schema"}
        return {name: value for name, value in found.items() if value not in ("", None, {})}

    def in_words(self) -> dict[str, str]:
        """Known facts by their names, as text for people."""
        return {name.replace("_", " "): _listed(value) for name, value in self.stated().items()}


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_listed(part)}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def record_path(model: Path) -> Path:
    """The record of a model that `unifmir train` wrote."""
    return model.with_name(model.name + SUFFIX)


def write_training_record(record: TrainingRecord, path: Path) -> None:
    """Write what is known, all or nothing."""
    content = {"schema": record.schema, **record.stated()}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_training_record(path: Path) -> TrainingRecord:
    """A record from a JSON file.

    Raises
    ------
    CheckpointError
        It is missing, no JSON, too long, or has an entry that is none of a record.
    """
    try:
        record = read_values(TrainingRecord, read_json(path, limit=MAX_BYTES))
    except (CheckpointError, OSError) as error:
        raise CheckpointError(f"{path.name} is no training record: {error}") from error
    if max(len(record.optimizer_settings), len(record.loss_settings)) > MAX_SETTINGS:
        raise CheckpointError(
            f"{path.name} is no training record: more than {MAX_SETTINGS} settings of one part"
        )
    return record

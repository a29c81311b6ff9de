"""Lineage of an artifact: what it was made from and how, so that it can be verified again."""

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from unifmir.config import MultiTaskConfig, SingleConfig, config_from_dict
from unifmir.errors import CheckpointError, ExportError
from unifmir.export.recorded_report import RecordedParent
from unifmir.interfaces import InputKind, interface_of
from unifmir.json_values import JsonValues, json_form, read_values
from unifmir.machine import versions
from unifmir.plain_text_values import parse_json
from unifmir.precision.element_types import ELEMENT_TYPES, Precision, Variant
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from unifmir.model import Provenance

LINEAGE_SCHEMA = 1
MAX_TEXT = 100_000
"""Characters of a field in a file's metadata."""
MAX_RECORD_BYTES = 2_000_000
"""Limit of all fields as one JSON text."""
IMAGE, RESTORED = "image", "restored"
"""Names of an artifact's one input and one output."""


@dataclass(frozen=True, slots=True)
class Lineage(JsonValues):
    """Record inside an artifact: enough to verify it again with nothing but its parent."""

    task: str
    interface: InputKind
    precision: str
    """Element type of the weights."""
    variant: Variant
    config: dict[str, Any]
    """Configuration of the network, by its `to_dict()`."""
    scale: int
    """Lateral magnification, output pixels per input pixel."""
    input_axes: tuple[str, ...]
    output_axes: tuple[str, ...]
    normalization: dict[str, Any]
    size_rule: dict[str, Any]
    parent: dict[str, str]
    """`name` and `sha256` of the fp32 single-task safetensors it was made from."""
    versions: dict[str, str]
    schema: int = LINEAGE_SCHEMA

    @property
    def network_config(self) -> SingleConfig:
        """Configuration of the network.

        Raises
        ------
        ExportError
            It is of a network with every task, which no artifact holds.
        """
        config = config_from_dict(self.config)
        if isinstance(config, MultiTaskConfig):
            raise ExportError("the lineage says that the file holds every task; expected one")
        return config

    @property
    def types(self) -> Precision:
        """Element types of the weights and of the arithmetic."""
        return Precision.of_variant(self.precision, self.variant)

    def to_strings(self) -> dict[str, str]:
        """One string per field, for metadata that holds nothing else."""
        return {
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_strings(cls, strings: dict[str, str], name: str) -> Self:
        """Lineage that `to_strings` wrote; ExportError if `name` carries none of ours."""
        texts = {"task", "interface", "precision", "variant"}
        names = [field.name for field in fields(cls)]
        if missing := [field for field in names if field not in strings]:
            raise ExportError(
                f"{name}: its metadata has no {missing[0]!r}, so it was not exported by unifmir; "
                "expected a file made by `unifmir export`"
            )
        for field in names:
            if not isinstance(strings[field], str) or len(strings[field]) > MAX_TEXT:
                raise ExportError(
                    f"{name}: its metadata's {field!r} is no text of at most {MAX_TEXT} characters"
                )
        try:
            values = {
                field: strings[field] if field in texts else _field(field, strings[field])
                for field in names
            }
            if values["schema"] == LINEAGE_SCHEMA:
                return read_values(cls, values)._held(name)
        except ValueError as error:
            raise ExportError(f"{name}: its lineage cannot be read ({error})") from error
        raise ExportError(
            f"{name}: its metadata has schema {values['schema']}, this unifmir reads "
            f"{LINEAGE_SCHEMA}; update unifmir or export again"
        )

    def _held(self, name: str) -> Self:
        """The lineage itself, once all that its configuration implies is what it says.

        Raises
        ------
        ExportError
            It is of no known task or precision, contradicts itself, or its parent's name or hash
            is none.
        """
        TASKS.require(self.task)
        if self.precision not in ELEMENT_TYPES:
            raise ExportError(f"{name}: unknown precision {self.precision[:80]!r}")
        read_values(RecordedParent, self.parent)
        if len(self.parent) != len(fields(RecordedParent)):
            raise ExportError(f"{name}: its parent has more than a name and a sha256")
        config = self.network_config
        implied = _of_config(config, self.interface) | {"task": config.task}
        for field, value in implied.items():
            # As JSON: what was written may hold lists where the rows hold tuples.
            if json_form(getattr(self, field)) != json_form(value):
                raise ExportError(
                    f"{name}: its {field} is {str(getattr(self, field))[:80]!r}, and that of the "
                    f"network it names is {str(value)[:80]!r}: it was altered, or made by another "
                    "unifmir; export it again"
                )
        return self


def _field(name: str, text: str) -> Any:
    try:
        return parse_json(text, limit=MAX_TEXT)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def lineage_in_text(text: str, name: str) -> Lineage:
    """Lineage whose `to_strings` was written as a JSON text; ExportError if it is none of ours."""
    try:
        strings = read_values(dict[str, str], parse_json(text, limit=MAX_RECORD_BYTES))
    except ValueError as error:
        raise ExportError(f"{name}: its lineage cannot be read ({error})") from error
    return Lineage.from_strings(strings, name)


def _of_config(config: SingleConfig, interface: InputKind) -> dict[str, Any]:
    """Fields of a lineage that follow from the configuration and the interface."""
    row, signature = interface_of(config), config.signature
    input_axes, output_axes = row.axes(signature, interface)
    return {
        "scale": row.scale(signature, interface),
        "input_axes": input_axes,
        "output_axes": output_axes,
        "normalization": asdict(config.normalization),
        "size_rule": asdict(row.size_rule(signature, interface)),
    }


def lineage_of(
    config: SingleConfig,
    interface: InputKind,
    precision: Precision,
    parent: "Provenance",
) -> Lineage:
    """Lineage that an artifact of a network will carry.

    Raises
    ------
    ExportError
        The parent was never in a file, so nothing could be verified against it.
    """
    if not parent.sha256:
        raise ExportError("the parent has no sha256: save it before exporting from it")
    return Lineage(
        task=config.task,
        interface=interface,
        precision=precision.stored,
        variant=precision.variant,
        config=config.to_dict(),
        **_of_config(config, interface),
        parent={"name": parent.name, "sha256": parent.sha256},
        versions=artifact_versions(),
    )


def artifact_versions() -> dict[str, str]:
    """Versions of the libraries that decide the bytes of an artifact."""
    return versions("unifmir", "torch", "onnx", "onnxruntime", "numpy")

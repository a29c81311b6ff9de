"""Frozen values that are written as JSON, and read back strictly; pydantic is imported then.

What is read was written by others: an entry of another type, an unknown or a missing one is refused
by its name, with what was expected and what was found.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from unifmir.errors import CheckpointError

if TYPE_CHECKING:
    from pydantic import ConfigDict
    from pydantic_core import ErrorDetails

STRICT: "ConfigDict" = {"strict": True, "extra": "forbid"}
"""Configuration of pydantic: no conversions, no unknown entries."""
_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "missing": "a value",
    "unexpected_keyword_argument": "no such entry; was it written by a newer unifmir?",
}
"""Words for what pydantic expected, by the type of its error; otherwise its own."""
_T = TypeVar("_T")


def json_form(value: Any) -> Any:
    """JSON form of a value: dataclasses by name, lists for tuples, text for paths.

    Infinities and NaN, which JSON lacks, become None; NumPy's scalars become numbers.
    """
    if isinstance(value, JsonOutput):
        return value.to_dict()
    if is_dataclass(value):
        return {field.name: json_form(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_form(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_form(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a NumPy scalar, without importing NumPy
        value = value.item()
    return None if isinstance(value, float) and not isfinite(value) else value


@dataclass(frozen=True, slots=True)
class JsonOutput:
    """Base of dataclasses that are written as JSON."""

    written: ClassVar[tuple[str, ...]] = ()
    """Names of what is written, in order, fields and properties; empty: all fields."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Names of properties that are written after these."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values of what is written, by name."""
        names = self.written or tuple(field.name for field in fields(self))
        return {name: json_form(getattr(self, name)) for name in (*names, *self.computed)}


@dataclass(frozen=True, slots=True)
class JsonValues(JsonOutput):
    """Base of dataclasses that are stored as JSON and read back."""

    __pydantic_config__: ClassVar["ConfigDict"] = STRICT

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote; CheckpointError on anything else."""
        return read_values(cls, data)


def read_values(kind: type[_T], values: Any) -> _T:
    """Read JSON values as an instance of a type that pydantic knows.

    Raises
    ------
    CheckpointError
        With every entry that does not fit.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except RecursionError as error:
        raise CheckpointError(f"{kind.__name__} is nested too deeply") from error
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise CheckpointError("; ".join(_told(kind.__name__, d) for d in details)) from error


def plain(message: str) -> str:
    """A message of pydantic's without its own words before what the value should be."""
    for start in ("Value error, ", "Assertion failed, ", "Input should be "):
        message = message.removeprefix(start)
    return message


def _told(name: str, detail: "ErrorDetails") -> str:
    where = ".".join(map(str, (name, *detail["loc"])))
    found = "missing" if detail["type"] == "missing" else repr(detail["input"])[:80]
    expected = _EXPECTED.get(detail["type"], plain(detail["msg"]))
    return f"{where} is {found}; expected {expected}"

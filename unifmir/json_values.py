"""Frozen values that are written as JSON, and read back strictly; pydantic is imported then.

What is read was made from a stranger's text by `unifmir.plain_text_values`: an entry of another
type, an unknown or a missing one is refused by its name, with what was expected and what was found.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast

from unifmir.errors import CheckpointError
from unifmir.hashing import SHA256_PATTERN

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_core import CoreSchema, ErrorDetails

STRICT: "ConfigDict" = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
"""Configuration of pydantic: no conversions, no unknown entries, no NaN or infinity."""
_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "missing": "a value",
    "unexpected_keyword_argument": "no such entry; was it written by a newer unifmir?",
}
"""Words for what pydantic expected, by the type of its error; otherwise its own."""
_MOST_TOLD = 8
"""Entries that do not fit are told up to this many."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Between:
    """Annotation of a number: the range it must lie in, both ends included."""

    low: float
    high: float = inf

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], "CoreSchema"]
    ) -> "CoreSchema":
        """The schema of the number's type, and then of its range."""
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: float) -> float:
        if not self.low <= value <= self.high:
            upper = "" if self.high == inf else f" and at most {self.high:g}"
            raise ValueError(f"at least {self.low:g}{upper}")
        return value


@dataclass(frozen=True, slots=True)
class Matching:
    """Annotation of a text: the pattern that all of it must match, and words for that."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], "CoreSchema"]
    ) -> "CoreSchema":
        """The schema of text, and then of its pattern."""
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: str) -> str:
        if re.fullmatch(self.pattern, value) is None:
            raise ValueError(self.words)
        return value


Count = Annotated[int, Between(0)]
"""A number of things, or of bytes."""
Amount = Annotated[float, Between(0)]
"""A time, a rate or another quantity that is never negative."""

Sha256 = Annotated[str, Matching(SHA256_PATTERN, "64 hexadecimal digits")]


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
        With the entries that do not fit, at most `_MOST_TOLD` of them.
    """
    from pydantic import ValidationError

    name = getattr(kind, "__name__", str(kind))
    try:
        found: _T = _adapter(cast(Any, kind)).validate_json(json.dumps(values))
    except (RecursionError, TypeError) as error:
        raise CheckpointError(f"{name} is nested too deeply, or is no JSON") from error
    except ValidationError as error:
        details = error.errors(include_url=False)
        more = f"; and {len(details) - _MOST_TOLD} more" if len(details) > _MOST_TOLD else ""
        told = "; ".join(_told(name, detail) for detail in details[:_MOST_TOLD])
        raise CheckpointError(told + more) from error
    return found


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


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

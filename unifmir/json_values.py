"""Frozen values that are stored as JSON and read back strictly; pydantic is imported when read.

What is read was written by others: an entry of another type, an unknown or a missing one is refused
by its name, with what was expected and what was found.
"""

import json
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class JsonValues:
    """Base of dataclasses that are stored as JSON."""

    __pydantic_config__: ClassVar["ConfigDict"] = STRICT

    def to_dict(self) -> dict[str, Any]:
        """JSON values of the fields: tuples become lists."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

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


def _told(name: str, detail: "ErrorDetails") -> str:
    where = ".".join(map(str, (name, *detail["loc"])))
    found = "missing" if detail["type"] == "missing" else repr(detail["input"])[:80]
    expected = _EXPECTED.get(detail["type"], detail["msg"].removeprefix("Input should be "))
    return f"{where} is {found}; expected {expected}"

"""JSON, YAML and TOML of files that nobody vouches for: the one place where any is read.

What a file says of itself becomes plain values (mappings, lists, text, numbers) within bounds of
size, depth and count. A name that comes twice, NaN, infinity, numbers beyond 64 bits and control
characters are refused with the place where they stand. What the values mean is for
`unifmir.json_values.read_values`.
"""

import json
import os
import re
import stat
import tomllib
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from unifmir.errors import CheckpointError

MAX_BYTES = 64_000_000
"""Limit of a text: the largest results of a benchmark have 0.4 MB, journals up to this."""
MAX_YAML_BYTES = 200_000
"""Limit of a description in YAML, which has about 10,000: reading one takes 10 us a byte."""
MAX_TOML_BYTES = 20_000
"""Limit of a configuration in TOML, which has about 1,000: dotted names take quadratic time."""
MAX_DEPTH = 64
"""Mappings and lists inside one another; descriptions of Keras models have 20."""
MAX_VALUES = 1_000_000
"""Values in one JSON text."""
MAX_YAML_VALUES = 100_000
"""Values in one YAML text, those that an alias repeats counted each time."""
MAX_NAME = 1_000
"""Characters of an entry's name; the longest name of an official tensor has 74."""
MAX_TEXT = 10_000_000
"""Characters of one text value; a whole description may be one."""
LARGEST = 2**64 - 1
"""Largest whole number; the smallest is its negative."""
_MAX_DIGITS = 20
_DIRECTIVE = re.compile(rb"^%(?!YAML 1\.2\s*$)", re.MULTILINE)
"""Start of a directive of YAML that may choose version 1.1, with its numbers to the base of 60."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udc7f\udd00-\udfff]")
"""Characters that no text has: all controls but tab and line ends, and halves of others.

U+DC80 to U+DCFF are Python's for the bytes of a file's name that are no UTF-8."""

Place = tuple[Any, ...]
"""Place of a value: that of the mapping or list that holds it, and its name or index there."""


def parse_json(content: str | bytes, *, limit: int = MAX_BYTES) -> Any:
    """The values of a JSON text in UTF-8.

    Parameters
    ----------
    content : str or bytes
    limit : int
        Bytes or characters that it may have.

    Raises
    ------
    CheckpointError
        It is no JSON, or beyond the bounds of this module.
    """
    _check_size(content, limit)
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        values = _DECODER.decode(text)
    except RecursionError as error:
        raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep") from error
    except CheckpointError:
        raise
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise CheckpointError(f"it is no JSON ({error})") from error
    _check_values(values, MAX_VALUES)
    return values


def read_json(path: Path, *, limit: int = MAX_BYTES) -> Any:
    """The values of a JSON file.

    Raises
    ------
    OSError
        It cannot be opened.
    CheckpointError
        It is no plain file, no JSON, or beyond the bounds of this module.
    """
    try:
        return parse_json(_bounded_bytes(path, limit), limit=limit)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from error


def parse_yaml(content: bytes) -> Any:
    """The values of a YAML text in UTF-8; dates stay dates.

    Raises
    ------
    CheckpointError
        It is no YAML, merges mappings, or is beyond the bounds of this module.
    """
    # Imported here: most files are no packages.
    from ruyaml import YAML
    from ruyaml.constructor import SafeConstructor
    from ruyaml.error import YAMLError
    from ruyaml.scanner import Scanner

    class Shallow(Scanner):
        def fetch_flow_collection_start(self, *given: Any, **named: Any) -> None:
            # Each bracket is held against all that are open: 300 levels took 2 s.
            if self.flow_level >= MAX_DEPTH:
                raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep")
            super().fetch_flow_collection_start(*given, **named)

    class WithoutMerges(SafeConstructor):
        def flatten_mapping(self, node: Any) -> Any:
            # A merge copies mappings, and merges of merges double at each level.
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise CheckpointError("it merges mappings (<<), which no description needs")
            return super().flatten_mapping(node)

    _check_size(content, MAX_YAML_BYTES)
    if _DIRECTIVE.search(content):
        raise CheckpointError("it has a directive (%) other than `%YAML 1.2`")
    reader = YAML(typ="safe", pure=True)
    reader.Constructor, reader.Scanner = WithoutMerges, Shallow
    try:
        values = reader.load(content.decode("utf-8"))
    except CheckpointError:
        raise
    # ValueError with UnicodeDecodeError: text, dates and numbers. The others: keys that are lists,
    # and what ruyaml trips over.
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"it is not YAML ({first[:200]})") from error
    except RecursionError as error:
        raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep") from error
    _check_values(values, MAX_YAML_VALUES)
    return values


def read_toml(path: Path) -> Any:
    """The values of a TOML file; dates stay dates.

    Raises
    ------
    OSError
        It cannot be opened.
    CheckpointError
        It is no plain file, no TOML, or beyond the bounds of this module.
    """
    try:
        content = _bounded_bytes(path, MAX_TOML_BYTES)
        _check_size(content, MAX_TOML_BYTES)
        try:
            values = tomllib.loads(content.decode("utf-8"))
        except RecursionError as error:
            raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep") from error
        except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
            raise CheckpointError(f"it is no TOML ({str(error)[:200]})") from error
        _check_values(values, MAX_YAML_VALUES)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    return values


def _bounded_bytes(path: Path, limit: int) -> bytes:
    # Opening a named pipe waits for whoever writes to it, unless it is told not to.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CheckpointError("it is no plain file")
        return file.read(limit + 1)


def _check_size(content: str | bytes, limit: int) -> None:
    if len(content) > limit:
        raise CheckpointError(f"it has more than the {limit} bytes expected at most")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise CheckpointError(f"it names {twice[:80]!r} twice")
    return found


def _whole_number(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        raise CheckpointError(f"it has a number of {len(text)} digits, expected at most 64 bits")
    return int(text)


# NaN and infinity are refused later, with their place.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole_number, parse_constant=float
)


def _check_values(values: Any, most: int) -> None:
    """Refuse what is nested, long or large beyond the bounds, and what no JSON holds."""
    # Iterative, as YAML's aliases may make a value that holds itself.
    waiting: list[tuple[Any, Place, int]] = [([values], (), 0)]
    count = 0
    while waiting:
        holder, place, depth = waiting.pop()
        count += len(holder)
        if count > most:
            raise CheckpointError(f"it has more than {most} values")
        if depth > MAX_DEPTH:
            raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep at {_at(place)[:200]}")
        if isinstance(holder, dict):
            for name in holder:
                _check_name(name, place)
        for name, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(item, dict | list):
                waiting.append((item, (place, name) if depth else (), depth + 1))
            elif problem := _problem(item):
                raise CheckpointError(f"its {_at((place, name) if depth else ())} is {problem}")


def _check_name(name: Any, place: Place) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
        raise CheckpointError(
            f"its {_at(place)} has an entry of the name {str(name)[:80]!r}; expected printable "
            f"text of at most {MAX_NAME} characters"
        )


def _problem(value: Any) -> str | None:
    """Fault of a value that holds no others; None if it has none."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"a text of {len(value)} characters, expected at most {MAX_TEXT}"
        found = _CONTROLS.search(value)
        return found and f"a text with the control character {found.group()!a}"
    if isinstance(value, float):
        return None if isfinite(value) else f"{value}, expected a finite number"
    if value is None or isinstance(value, bool | date):
        return None
    if isinstance(value, int):
        return None if abs(value) <= LARGEST else "a number beyond 64 bits"
    return f"a {type(value).__name__}, which JSON has not"


def _at(place: Place) -> str:
    """Place of a value as text, `config.tile.0`; `content` for the whole."""
    names: list[str] = []
    while place:
        place, name = place
        names.append(str(name)[:80])
    return ".".join(reversed(names)) or "content"

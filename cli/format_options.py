"""Options of one export format, as options of `unifmir export`.

A format's options are a frozen dataclass, named lazily in `unifmir.export.formats.OPTIONS`. The
metadata of a field has the `flag` and the `help`; an option that is not given is left out, so that
the field's own default holds.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from unifmir.errors import UnifmirError
from unifmir.export.formats import OPTIONS


def with_format_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of every format before its last parameter.

    They reach it by keyword, named as `_parameter` names them: its own signature cannot list what
    the registry holds.
    """
    signature = inspect.signature(command)
    *own, last = (one for one in signature.parameters.values() if one.kind != one.VAR_KEYWORD)
    added = [
        inspect.Parameter(
            _parameter(name, row),
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=False if kind is bool else None,
            annotation=Annotated[
                _asked(kind),
                typer.Option(
                    row.metadata["flag"],
                    help=row.metadata["help"],
                    rich_help_panel=f"Options of --format {name}",
                ),
            ],
        )
        for name, options in OPTIONS.items()
        for row, kind in zip(fields(options), get_type_hints(options).values(), strict=True)
    ]
    parameters = [*own, *added, last]
    # Typer reads both.
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def given_options(asked: Mapping[str, Any], formats: Sequence[str]) -> dict[str, object]:
    """Options that were given, by format.

    Raises
    ------
    UnifmirError
        They are for a format that is not asked for.
    """
    found: dict[str, object] = {}
    for name, options in OPTIONS.items():
        rows = fields(options)
        given = {row.name: asked[_parameter(name, row)] for row in rows}
        given = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in given.items()
            # 0 is a level; an empty text, an empty list and a flag that is off ask for nothing.
            if value not in (None, "", []) and value is not False
        }
        if not given:
            continue
        if name not in formats:
            *flags, last = (row.metadata["flag"] for row in rows)
            raise UnifmirError(
                f"{', '.join(flags)} and {last} are for --format {name}, which is not among the "
                "formats"
            )
        found[name] = options(**given)
    return found


def _parameter(format_name: str, row: "Field[Any]") -> str:
    return f"{format_name}_{row.name}"


def _asked(kind: Any) -> Any:
    """Type of an option on the command line, for a field of a type."""
    if kind is bool:
        return kind
    return (list[str] if get_origin(kind) is tuple else kind) | None

"""Reference of the commands, written into docs/commands.md while the site is built.

A hook of MkDocs (mkdocs.yml): the page has the place, and the commands themselves say the rest.
"""

from collections.abc import Iterator
from typing import Any

import typer

from unifmir.text_tables import markdown_rows

PLACE = "<!-- commands -->"
"""Line of a page that the reference stands in place of."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference in its place. MkDocs calls this with each page's text."""
    return markdown.replace(PLACE, command_reference()) if PLACE in markdown else markdown


def command_reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    from unifmir.cli.main import app

    return "\n\n".join(_sections(typer.main.get_command(app), ("unifmir",), _context(app)))


def _context(app: typer.Typer) -> Any:
    command = typer.main.get_command(app)
    return command.context_class(command, info_name="unifmir")


# Any: Typer keeps the types of its commands to itself.
def _sections(command: Any, path: tuple[str, ...], context: Any) -> Iterator[str]:
    yield f"{'#' * (len(path) + 1)} {' '.join(path)}"
    if command.help:
        yield _plain(command.help)
    yield "Usage: `" + " ".join([*path, *command.collect_usage_pieces(context)]) + "`"
    rows = [_row(one) for one in command.get_params(context) if not one.hidden]
    if rows:
        yield markdown_rows(["argument or option", "value", "default", "what it does"], rows)
    for name, inner in getattr(command, "commands", {}).items():
        yield from _sections(inner, (*path, name), context)


def _row(parameter: Any) -> list[str]:
    is_argument = parameter.param_type_name == "argument"
    names = [parameter.display_name_raw] if is_argument else parameter.opts
    names = [*names, *parameter.secondary_opts]
    shown = ", ".join(f"`{name}`" for name in names)
    if parameter.required:
        shown += " (required)"
    text = _plain(parameter.help or "").replace("|", r"\|")
    return [shown, _value(parameter), _default(parameter), text]


def _plain(text: str) -> str:
    """Text of a help in one line; its backticks mean in Markdown what they mean to its readers."""
    return " ".join(text.split()).replace("<", "&lt;").replace("*", r"\*")


def _value(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False) or getattr(parameter, "count", False):
        return ""
    kind = parameter.type_descriptor
    if parameter.metavar and not kind.is_choice:
        return f"`{parameter.metavar}`"
    if kind.is_choice:
        return " ".join(f"`{choice}`" for choice in kind.choices)
    many = " ..." if parameter.multiple or parameter.nargs == -1 else ""
    return f"{_name_of(kind.annotation)}{many}"


def _name_of(annotation: Any) -> str:
    kinds = getattr(annotation, "__args__", None) or (annotation,)
    names = {"Path": "path", "str": "text", "int": "number", "float": "number"}
    return names.get(getattr(kinds[0], "__name__", ""), "")


def _default(parameter: Any) -> str:
    default = parameter.default
    if default in (None, False, (), []) or callable(default) or parameter.required:
        return ""
    return f"`{getattr(default, 'value', default)}`"

"""Commands of `unifmir` as people read them: choices that wrap between words, plain errors."""

import os
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from math import isfinite
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from unifmir.cli import output
from unifmir.shown_text import shown
from unifmir.tasks import TASKS

_FROM_LIBRARY = "Value error, "
"""Words that pydantic puts before a message of somebody else's."""
_LARGEST = 2**63 - 1
"""Largest whole number of an option: what a counter in C holds."""
_IMAGES = (".tif", ".tiff", ".btf", ".png", ".zarr", ".czi", ".nd2", ".lif")


class _Readable:
    """Mixin of commands and groups. Any: Typer keeps the types of its contexts to itself."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any) -> None:  # noqa: A002 - Typer's
        super().__init__(*args, help=_flowing(help), **options)  # type: ignore[call-arg]  # of the other base

    def get_params(self, ctx: Any) -> Any:
        """Parameters whose choices are written with room for a line break between them."""
        parameters = super().get_params(ctx)  # type: ignore[misc]  # of the other base
        for one in parameters:
            described = getattr(one, "type_descriptor", None)
            if described is not None and described.is_choice and one.metavar is None:
                one.metavar = " | ".join(map(str, described.choices))
        return parameters

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse, with other words for the tasks understood.

        Arguments are text, and numbers are numbers: what no file name or option can be is refused
        here, before a library stumbles over it.
        """
        try:
            _require_text(args)
            rest = super().parse_args(ctx, list(_with_known_tasks(args)))  # type: ignore[misc]
            _require_numbers(ctx.params)
        except typer._click.exceptions.UsageError as error:
            message = error.message.removeprefix(_FROM_LIBRARY)
            file = next((one for one in args if one[:1] == "-" and os.path.lexists(one)), None)
            if file is not None:
                message += f" To name the file: ./{file}"
            error.message = shown(message)
            raise
        return rest


class Command(_Readable, TyperCommand):
    """One command."""


class CommandGroup(_Readable, TyperGroup):
    """A group of commands."""


class Commands(CommandGroup):
    """All commands: known errors are one message, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with output.known_errors():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; an image in its place is for `restore`."""
        try:
            return super().resolve_command(ctx, args)
        except typer._click.exceptions.UsageError as error:
            name = args[0]
            if os.path.lexists(name) or name.lower().endswith(_IMAGES):
                error.message += f" To restore an image: unifmir restore {name} --task TASK"
            error.message = shown(error.message)
            raise


def _flowing(text: str | None) -> str | None:
    """Paragraphs on a line each: they are broken where the terminal ends, not as in the source."""
    if text is None:
        return None
    return "\n\n".join(
        paragraph.replace("\n", " ")
        if "\n " not in paragraph and "\n- " not in paragraph
        else paragraph
        for paragraph in cleandoc(text).split("\n\n")
    )


def _require_text(args: Iterable[str]) -> None:
    """Refuse arguments that no program takes: a zero byte, or bytes that are no UTF-8."""
    for argument in args:
        if "\0" in argument:
            raise typer.BadParameter(f"{argument!r} holds a zero byte, which no name can")
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise typer.BadParameter(
                f"{argument!r} is no UTF-8: rename the file, or set a UTF-8 locale (LC_ALL=C.UTF-8)"
            ) from None


def _require_numbers(values: Mapping[str, Any]) -> None:
    """Refuse NaN and infinities, which fit any range, and whole numbers that no counter holds."""
    for name, value in values.items():
        for number in value if isinstance(value, tuple | list) else (value,):
            option = f"--{name.replace('_', '-')}"
            if isinstance(number, float) and not isfinite(number):
                raise typer.BadParameter(f"{number}: expected a number", param_hint=f"'{option}'")
            if isinstance(number, int) and abs(number) > _LARGEST:
                raise typer.BadParameter(
                    f"{number}: expected at most {_LARGEST}", param_hint=f"'{option}'"
                )


def _with_known_tasks(args: list[str]) -> Iterator[str]:
    """The arguments with the tasks' names in place of other words for them, after `--task`."""
    before = ""
    for argument in args:
        option, equals, word = argument.partition("=")
        if before == "--task":
            yield _task_called(argument)
        elif option == "--task" and equals:
            yield f"--task={_task_called(word)}"
        else:
            yield argument
        before = argument


def _task_called(word: str) -> str:
    if word in TASKS:
        return word
    return next((name for name in TASKS if word.lower() in TASKS[name].synonyms), word)

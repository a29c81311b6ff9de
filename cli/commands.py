"""Commands of `unifmir` as people read them: choices that wrap between words, plain errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from unifmir.cli import output
from unifmir.tasks import TASKS

_FROM_LIBRARY = "Value error, "
"""Words that pydantic puts before a message of somebody else's."""
_IMAGES = (".tif", ".tiff", ".btf", ".png", ".zarr", ".czi", ".nd2", ".lif")


class _Readable:
    """Mixin of commands and groups. Any: Typer keeps the types of its contexts to itself."""

    def get_params(self, ctx: Any) -> Any:
        """Parameters whose choices are written with room for a line break between them."""
        parameters = super().get_params(ctx)  # type: ignore[misc]  # of the other base
        for one in parameters:
            described = getattr(one, "type_descriptor", None)
            if described is not None and described.is_choice and one.metavar is None:
                one.metavar = " | ".join(map(str, described.choices))
        return parameters

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse, with other words for the tasks understood."""
        try:
            return super().parse_args(ctx, list(_with_known_tasks(args)))  # type: ignore[misc]
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(_FROM_LIBRARY)
            raise


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
            if Path(name).exists() or name.lower().endswith(_IMAGES):
                error.message += f" To restore an image: unifmir restore {name} --task TASK"
            raise


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

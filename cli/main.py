"""The `unifmir` command: its options, its commands, and how it fails.

Nothing here or in the command modules imports torch before a command runs.
"""

import gc
from typing import Annotated

import typer

from unifmir.cli import benchmark, data, output, train, zoo
from unifmir.cli.commands import Command, Commands
from unifmir.cli.doctor import doctor
from unifmir.cli.evaluate import evaluate
from unifmir.cli.export import export
from unifmir.cli.inspect import inspect
from unifmir.cli.prune import prune
from unifmir.cli.publish import publish
from unifmir.cli.report import report
from unifmir.cli.reproduce import reproduce
from unifmir.cli.restore import restore
from unifmir.cli.serve import serve
from unifmir.cli.trust import trust
from unifmir.cli.verify import verify
from unifmir.version import __version__

app = typer.Typer(
    name="unifmir",
    cls=Commands,
    help="Restore fluorescence microscopy images, and ship the models that do.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # An unexpected error is a bug: the plain traceback is what a report needs.
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unifmir {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Say more on standard error; twice for everything.",
        ),
    ] = 0,
) -> None:
    """Restore fluorescence microscopy images, and ship the models that do."""
    ctx.with_resource(output.logging_on_stderr(verbose))


for command in (
    restore,
    serve,
    inspect,
    prune,
    export,
    verify,
    report,
    publish,
    trust,
    evaluate,
    reproduce,
    doctor,
):
    app.command(command.__name__, cls=Command)(command)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(zoo.app, name="zoo")


def run() -> None:
    """Entry point of the `unifmir` command."""
    # Importing torch makes half a million objects that stay. Looking through them for garbage again
    # and again took a tenth of a short command. What is young is collected all the same; who leaves
    # large tensors in circles (`export.pipeline`) collects by itself.
    gc.set_threshold(5_000, 10, 50)
    # Around what is done before a command is known, too.
    with output.known_errors():
        app(prog_name="unifmir")

"""The command line, run in this process."""

from typer.testing import CliRunner, Result

from unifmir.cli.main import app


def run(*arguments: object) -> Result:
    """Run `unifmir` with these arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(result: Result) -> str:
    """What was said on stderr, without the line breaks of boxes and narrow terminals."""
    return " ".join(result.stderr.replace("│", " ").split())

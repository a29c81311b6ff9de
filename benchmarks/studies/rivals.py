"""Option of studies for models that stand beside the embedded one: `--rival TASK=FILE`."""

import argparse
from pathlib import Path

from unifmir.tasks import TASKS


def add_rivals(parser: argparse.ArgumentParser) -> None:
    """Let a study take the option; `asked.rivals` is a list of what `rival` gives."""
    parser.add_argument(
        "--rival",
        dest="rivals",
        type=rival,
        action="append",
        default=[],
        metavar="TASK=FILE",
        help="a checkpoint to stand beside the embedded model for a task; repeatable",
    )


def rival(text: str) -> tuple[str, Path]:
    """A task and the checkpoint for it, of `TASK=FILE`."""
    task, equals, file = text.partition("=")
    if task not in TASKS or not equals or not Path(file).is_file():
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected TASK=FILE with one of {', '.join(TASKS)} and a file that is there"
        )
    return task, Path(file)


def rivals_told(rivals: list[tuple[str, Path]]) -> str:
    """The options as the command of a result file has them: names, no folders."""
    return "".join(f" --rival {task}={path.name}" for task, path in rivals)

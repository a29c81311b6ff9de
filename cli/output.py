"""Output that the commands share: results on stdout, the rest on stderr, one way to fail.

All of it goes through `unifmir.shown_text`: names and metadata of others reach no terminal as they
are.

Exit codes: 0 done, 1 a check failed, 2 usage or a known error, 130 interrupted (Ctrl-C), 143 ended
by SIGTERM: both clean up in the same way.
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from textwrap import wrap
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from unifmir.errors import UnifmirError
from unifmir.json_values import json_form
from unifmir.shown_text import shown, shown_cell, shown_json
from unifmir.text_tables import folded_lines

CHECK_FAILED = 1
KNOWN_ERROR = 2
MOST_PROCESSES = 4096
"""Largest number of threads or processes that can be asked for."""
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
TERMINATED = 143
"""128 + SIGTERM, which `kill`, `timeout`, batch systems and containers send to end a process."""

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")
]
"""Type of the `as_json` parameter of every command that prints a result."""

UntrainedFlag = Annotated[
    bool,
    typer.Option(
        "--untrained",
        help="Take a reference model by its bare name, with untrained weights: for tests.",
    ),
]
"""Type of the `untrained` parameter of every command that makes pictures with a model."""


def print_result(document: Any, text: str, *, as_json: bool, styled: bool = False) -> None:
    """Print the result of a command on stdout: one JSON document, or text for people.

    Parameters
    ----------
    document : JSON values, paths and NumPy scalars
        Infinities and NaN, which JSON lacks, become null.
    text : str
        The same for people.
    as_json : bool
        The command's `--json`.
    styled : bool
        Whether the text has colours of our own, and was made of cells that are `shown` already.
    """
    if as_json:
        values = json.dumps(json_form(document), indent=2, ensure_ascii=False, allow_nan=False)
        text = shown_json(values)
    elif not styled:
        text = shown(text)
    # Flushed here, so that a full disk behind a redirection fails where it can be reported.
    print(text, flush=True)


def terminal_width() -> int:
    """Characters in a line of the terminal that stdout is; 80 where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 80


def folded_table(columns: Sequence[str], rows: Sequence[Sequence[str]], folds: int) -> str:
    """Rows as aligned text as wide as the terminal: the last columns fold where they must.

    On a terminal that is too narrow even so, each row becomes lines of its own, a cell each.

    Parameters
    ----------
    columns, rows
        Names and cells.
    folds : int
        How many columns, from the last on, may fold between their words.
    """
    width = terminal_width()
    lines = [list(map(shown_cell, line)) for line in (columns, *rows)]
    natural = [max(map(len, column)) for column in zip(*lines, strict=True)]
    whole = len(columns) - folds
    # No column is narrower than its longest word, unless that takes a third of the line.
    least = natural[:whole] + [
        min(max((len(word) for cell in column for word in cell.split()), default=0), width // 3)
        for column in list(zip(*lines, strict=True))[whole:]
    ]
    gap = 2 if sum(least) + 2 * (len(least) - 1) <= width else 1
    if sum(least) + gap * (len(least) - 1) > width:
        return folded([text for line in lines[1:] for text in _stacked(lines[0], line)])
    room = max(0, width - sum(least) - gap * (len(least) - 1))
    widths = list(least)
    # Those that lack least get it first: so most cells stay whole.
    for index in sorted(range(len(least)), key=lambda one: natural[one] - least[one]):
        widths[index] = min(natural[index], least[index] + room)
        room -= widths[index] - least[index]
    return "\n".join(text for line in lines for text in _folded_row(line, widths, " " * gap))


def _stacked(columns: Sequence[str], cells: Sequence[str]) -> list[str]:
    """The lines of one row: its first cell, and below it the others by their columns' names."""
    below = (
        f"  {name}: {cell}" if name else f"  {cell}"
        for name, cell in zip(columns[1:], cells[1:], strict=True)
        if cell
    )
    return [cells[0], *below]


def folded_facts(facts: Sequence[tuple[str, object]]) -> str:
    """Facts by their names, one below the other, broken at the terminal's width.

    Where the names would take more than half of a line, or a word does not fit beside them, facts
    go on below their names. Words longer than a line stay whole.
    """
    width = terminal_width()
    start = max(len(name) for name, _ in facts) + 2
    lines: list[str] = []
    for name, value in facts:
        text = shown_cell(str(value))
        longest = max(map(len, text.split()), default=0)
        beside = start <= width // 2 and start + longest <= width
        if beside:
            first, indent = f"{name.ljust(start)}{text}", " " * start
        else:
            first, indent = f"{name}: {text}", "  "
        lines += wrap(
            first, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def _folded_row(cells: Sequence[str], widths: Sequence[int], gap: str) -> Iterator[str]:
    """The lines of one row, each cell broken at its column's width."""
    parts = [
        wrap(cell, max(1, width), break_on_hyphens=False) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    for texts in zip_longest(*parts, fillvalue=""):
        shown_texts = (text.ljust(width) for text, width in zip(texts, widths, strict=True))
        yield gap.join(shown_texts).rstrip()


def folded(lines: Sequence[str]) -> str:
    """Lines of words, broken at the terminal's width; what a line begins with stays before it."""
    return "\n".join(folded_lines(lines, terminal_width()))


def note(message: str) -> None:
    """Say something to people that is not the result: on stderr."""
    typer.echo(_one_message(message), err=True)


def require_yes(question: str) -> None:
    """Ask a person at the terminal before something is done that cannot be undone.

    Raises
    ------
    UnifmirError
        The answer is not yes, or nobody is there to give one.
    """
    if not sys.stdin.isatty():
        raise UnifmirError("standard input is no terminal, so nobody can be asked: give --yes")
    typer.echo(f"{_one_message(question)}\nyes or no? ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UnifmirError("nothing was done, as the answer was not yes")


def bar_label(text: str) -> str:
    """Text beside a bar of rich, which would read brackets as markup."""
    from rich.markup import escape

    return escape(shown_cell(text))


def check_failed(message: str) -> NoReturn:
    """End the command with exit code 1: a check was made and did not hold."""
    note(f"check failed: {message}")
    raise SystemExit(CHECK_FAILED)


def megabytes(size_bytes: int) -> str:
    """Size of a file or of weights, as people read it."""
    return f"{size_bytes / 1e6:.2f} MB"


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what cleans up after Ctrl-C does so now too."""


@contextmanager
def known_errors() -> Iterator[None]:
    """Turn errors that are the user's to solve into one message on stderr and exit code 2.

    Ctrl-C and SIGTERM are exceptions meanwhile, so that all that was begun cleans up after itself.
    """
    try:
        with terminated_like_ctrl_c():
            yield
    except BrokenPipeError:
        # The reader of the pipe (`| head`) has seen enough; Typer ends quietly on it.
        raise
    except (UnifmirError, OSError) as error:
        _drop_unwritable_stdout()
        note(f"error: {_told(error)}")
        raise SystemExit(KNOWN_ERROR) from error
    except MemoryError as error:
        _drop_unwritable_stdout()
        note(
            f"error: the memory does not suffice ({error or 'none is left'}). Close other "
            "programs, or raise the limit (ulimit -v)"
        )
        raise SystemExit(KNOWN_ERROR) from error
    except Terminated as error:
        note("terminated")
        raise SystemExit(TERMINATED) from error
    except KeyboardInterrupt as error:
        note("interrupted")
        raise SystemExit(INTERRUPTED) from error


class _ShownFormatter(logging.Formatter):
    """Records as they may be shown, also those of libraries."""

    def format(self, record: logging.LogRecord) -> str:
        return _one_message(super().format(record))


def _one_message(text: str) -> str:
    """A message as it may be shown: a line break in a name begins no message of its own."""
    return re.sub(r"\n(?=\S)", "\n  ", shown(text))


@contextmanager
def terminated_like_ctrl_c() -> Iterator[None]:
    """Raise `Terminated` when SIGTERM comes."""
    if threading.current_thread() is not threading.main_thread():
        # Python gives signals to the main thread only.
        yield
        return

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def logging_on_stderr(verbose: int) -> Iterator[None]:
    """Show log records on stderr meanwhile: warnings, with 1 also progress, with 2 everything.

    Warnings of other packages are for developers and shown from 1 on, tifffile's remarks on files
    too: what they mean for an image is said by our own errors, which name it.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = logging.StreamHandler()
    handler.setFormatter(_ShownFormatter("%(levelname)s %(name)s: %(message)s"))
    logger, other = logging.getLogger("unifmir"), logging.getLogger("py.warnings")
    before = (logger.level, other.level, other.propagate)
    remarks = logging.getLogger("tifffile")
    remarks_before = remarks.disabled
    remarks.disabled = remarks_before or not verbose
    logger.addHandler(handler)
    other.addHandler(handler)
    logger.setLevel(level)
    other.setLevel(logging.WARNING if verbose else logging.ERROR)
    other.propagate = False
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logger.removeHandler(handler)
        other.removeHandler(handler)
        logger.setLevel(before[0])
        other.setLevel(before[1])
        other.propagate = before[2]
        remarks.disabled = remarks_before


def _told(error: UnifmirError | OSError) -> str:
    """The message of an error; an OSError's names its file."""
    if isinstance(error, UnifmirError) or error.strerror is None:
        return str(error) or type(error).__name__
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([*files, error.strerror])


def _drop_unwritable_stdout() -> None:
    """Keep the interpreter from failing again on text that stdout could not take."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())

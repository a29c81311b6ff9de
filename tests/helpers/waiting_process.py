"""Processes that tests start: ended however the test ends, or killed in the middle of something."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import AnyStr

REPO = Path(__file__).resolve().parents[2]


@contextmanager
def ended_with_test(process: "subprocess.Popen[AnyStr]") -> Iterator["subprocess.Popen[AnyStr]"]:
    """A process in a block that it does not outlive, nor do its pipes.

    Left behind by a test that fails, it would be warned of, and so fail, another test.
    """
    with process:
        try:
            yield process
        finally:
            process.kill()  # nothing, where it has ended


@contextmanager
def waiting_process(code: str, argument: Path, said: str) -> Iterator["subprocess.Popen[str]"]:
    """Python that runs `code` with one argument and has said a word, after which it waits."""
    with ended_with_test(
        subprocess.Popen(
            [sys.executable, "-c", code, argument], cwd=REPO, stdout=subprocess.PIPE, text=True
        )
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{said}\n"
        yield process

"""A process of ours in the middle of something, to be killed there."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


@contextmanager
def waiting_process(code: str, argument: Path, said: str) -> Iterator["subprocess.Popen[str]"]:
    """Python that runs `code` with one argument and has said a word, after which it waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, argument], cwd=REPO, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{said}\n"
        yield process
        process.kill()

"""A static site of the zoo, and the plainest of servers for it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.browser import REPO


def build(folder: Path, *words: str) -> None:
    """Make a site by the command."""
    command = [sys.executable, "-m", "unifmir", "zoo", "site", str(folder), *words]
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address of a folder, and the process that serves it: Python's own server, as docs say."""
    words = [*("-u", "-m", "http.server", "0"), *("--bind", "127.0.0.1", "-d", str(folder))]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"\((http://127\.0\.0\.1:\d+/)\)", line)
            assert found, line
            yield found[1], server
        finally:
            server.terminate()
            server.wait(timeout=30)

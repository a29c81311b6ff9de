"""`unifmir serve` of this checkout as a process of its own, that can be ended at any moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


class ServeCommand:
    """The command, and where it listens."""

    def __init__(self, folder: Path, *options: str, port: int, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "unifmir", "serve", "--port", str(port)),
                *("--folder", str(folder), *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPO), **env},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("unifmir serve: http://"), self.process.communicate()
        self.address = line.split()[-1].rstrip("/")

    def children(self) -> list[int]:
        """Processes that it started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(one) for one in path.read_text().split()]

    def ended(self, with_signal: int) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(with_signal)
        self.process.communicate(timeout=30)
        return self.process.returncode


@contextmanager
def serving(
    folder: Path, *options: str, port: int = 0, env: Mapping[str, str] | None = None
) -> Iterator[ServeCommand]:
    """The command while it runs; at a free port, if none is named."""
    command = ServeCommand(folder, *options, port=port, env=env or {})
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.ended(signal.SIGKILL)

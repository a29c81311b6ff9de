"""`unifmir serve` as it is started, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ServeCommand:
    """The command, and where it listens."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "unifmir", "serve", "--port", "0"),
                *("--folder", str(folder), *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
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
def serving(folder: Path, *options: str) -> Iterator[ServeCommand]:
    """The command while it runs."""
    command = ServeCommand(folder, *options)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.kill()
            command.process.communicate()

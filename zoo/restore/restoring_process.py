"""A restoration in a process of its own, for programs that must not import torch: viewers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from unifmir import machine
from unifmir.child_processes import kill_group, limited_environment
from unifmir.errors import UnifmirError
from unifmir.plain_text_values import parse_json
from unifmir.zoo.restore import job_process
from unifmir.zoo.restore.job_process import JobOrder

COMMAND = (sys.executable, "-P", "-m", job_process.__name__)
"""Program of a job. -P: no module is taken from the working folder."""


class RestoringProcess:
    """A process that restores an image; it has ended when the context is left.

    Parameters
    ----------
    order : JobOrder
        What it does.
    messages : Path
        File for what its libraries print; replaced if it exists.
    """

    def __init__(self, order: JobOrder, messages: Path) -> None:
        self._order, self._messages = order, messages
        self.cancelled = False

    def __enter__(self) -> Self:
        with self._messages.open("wb") as messages:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=limited_environment(self._order.threads),
                # Ctrl-C goes to the group of the terminal; whoever started it ends the process.
                start_new_session=True,
            )
        return self

    def __exit__(self, *_raised: object) -> None:
        self._end()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not written yet, to a process that is gone
                    pipe.close()
        self._process.wait()

    @property
    def id(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    def told(self) -> Iterator[dict[str, Any]]:
        """News of the process as they come: `image` and `progress`.

        Ends when the image is restored, or the process was cancelled.

        Raises
        ------
        UnifmirError
            The image was not restored; the reason is that of `unifmir restore`.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - it was started with pipes
        assert stdout is not None  # noqa: S101 - it was started with pipes
        with suppress(OSError):  # how it ended is said below
            stdin.write(json.dumps(self._order.to_dict()).encode() + b"\n")
            stdin.flush()
        for line in stdout:
            told = parse_json(line)
            if told["event"] == "done":
                return
            if told["event"] == "failed":
                raise UnifmirError(told["message"])
            yield told
        if not self.cancelled:
            raise UnifmirError(
                f"the process that restores was {machine.ending(self._process.wait())}; its last "
                f"words: {self._last_words() or 'none'}"
            )

    def cancel(self) -> None:
        """End the process now. From any thread."""
        self.cancelled = True
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            kill_group(self._process.pid)

    def _last_words(self) -> str:
        lines = self._messages.read_text(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

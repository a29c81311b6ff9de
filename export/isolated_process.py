"""The process in which a file of others runs: `python -m unifmir.export.isolated_process`.

A line of JSON comes in, an image's bytes after it where it has a `shape`; a line goes out, and the
result's bytes. Nothing is imported but what the runtime needs.
"""

import importlib
import json
import os
import select
import sys
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from unifmir.errors import UnifmirError
from unifmir.export.limits import LimitedMemory, LimitedSession, Limits, set_limit
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import Image
from unifmir.export.runtimes.out_of_memory import is_out_of_memory

OUT_OF_MEMORY = "MemoryError"
"""Kind of an error in an answer; others are named by their class, where it is ours, or not."""
MAX_ERROR = 2000
"""Characters of an error."""


class IsolatedProcess:
    """State of the process between requests."""

    def start(self, runtime: str) -> None:
        """Import a runtime, a row of `RUNTIMES`."""
        self._row = RUNTIMES[runtime]
        self._row.require()

    def open(
        self,
        path: str,
        device: str,
        threads: int,
        bytes_per_pixel: float,
        file_bytes: int,
        writes: bool,
    ) -> None:
        """Open a file, within its limits from now on.

        Parameters
        ----------
        path, device, threads
            As `Runtime.open` takes them.
        bytes_per_pixel, file_bytes
            As `Limits` has them.
        writes : bool
            Whether the runtime has to write files: it unpacks programs. Otherwise nothing can.
        """
        memory = LimitedMemory(Limits(bytes_per_pixel, file_bytes), device)
        set_limit("RLIMIT_CORE", 0)
        if not writes:
            set_limit("RLIMIT_FSIZE", 0)
        memory.allow(0)
        opened = self._row.open(Path(path), device=device, threads=threads)
        self._session = LimitedSession(opened, memory)

    def facts(self) -> dict[str, Any]:
        """Facts of what runs, and of what was asked for and did not happen."""
        return {"ran": dict(self._session.ran), "fallbacks": list(self._session.fallbacks)}

    def run(self, image: Image) -> Image:
        """Restore an image; what is no array of float32 is an error of ours."""
        try:
            restored = self._session.run(image)
        except Exception as error:  # the libraries' exceptions share no base but Exception
            if is_out_of_memory(error, self._row.out_of_memory):
                raise MemoryError(str(error)) from error
            raise
        if not isinstance(restored, np.ndarray) or restored.dtype != np.float32:
            kind = getattr(restored, "dtype", type(restored).__name__)
            raise UnifmirError(f"it gives {kind}, expected pixels of float32")
        return np.ascontiguousarray(restored)


def answer(process: IsolatedProcess, request: dict[str, Any], image: Image | None) -> Any:
    """Do what one request says."""
    command = request.pop("command")
    if image is not None:
        return process.run(image)
    asked: Mapping[str, Callable[..., Any]] = {
        "start": process.start,
        "open": process.open,
        "facts": process.facts,
    }
    return asked[command](**request)


def serve(given: BufferedReader, out: IO[bytes]) -> None:
    """Answer request by request until the other side closes."""
    process = IsolatedProcess()
    for line in given:
        request = json.loads(line)
        image = None
        if shape := request.pop("shape", None):
            image = np.empty(shape, np.float32)
            given.readinto(pixel_bytes(image))
        content: Any = b""
        try:
            found = answer(process, request, image)
            told = {"ok": True, "found": found}
            if isinstance(found, np.ndarray):
                told, content = {"ok": True, "shape": found.shape}, pixel_bytes(found)
        except MemoryError as error:
            told = failed(OUT_OF_MEMORY, str(error))
        except UnifmirError as error:
            told = failed(type(error).__name__, str(error))
        except Exception as error:  # noqa: BLE001 - what libraries raise shares no base
            told = failed("", f"{type(error).__name__}: {error}")
        out.write(json.dumps(told).encode() + b"\n")
        out.write(content)
        out.flush()


def pixel_bytes(image: Image) -> Any:
    """Bytes of an image in one piece, not copied: what is written to them is in the image."""
    return image.reshape(-1).view(np.uint8)


def failed(kind: str, text: str) -> dict[str, Any]:
    """Answer to what could not be done; libraries quote names of any length."""
    return {"ok": False, "kind": kind, "error": text[:MAX_ERROR]}


def die_with(lifeline: int) -> None:
    """End this process and its group, whatever they do, once the other end of a pipe is closed.

    Where the process that holds it dies, nobody else could: a run may take as long as it likes.
    """
    fcntl = importlib.import_module("fcntl")  # not on Windows, where there is no lifeline
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    # The signal that it then gets ends a process that has not asked for it.
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # closed before
        os._exit(1)


def main() -> None:
    """Keep standard output for answers: whatever libraries print goes to standard error."""
    if len(sys.argv) > 1:
        die_with(int(sys.argv[1]))
        os.set_blocking(2, False)  # what nobody reads is lost, and does not stop this process
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(cast(BufferedReader, sys.stdin.buffer), own)
    # Without the libraries' own endings, which may take seconds or crash.
    os._exit(0)


if __name__ == "__main__":
    main()

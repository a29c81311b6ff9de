"""Files that were not written here run in a process of their own, within limits.

Who opens an artifact opens it here. What breaks over there (killed, out of memory, out of time,
crashed) is an error that names the file; the process ends with the session, with this process, and
with any run that is interrupted.
"""

import contextlib
import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from unifmir import machine
from unifmir.child_processes import kill_group, limited_environment
from unifmir.errors import BenchmarkError, ExportError, MissingExtraError, UntrustedError
from unifmir.export.formats import FORMATS, format_of
from unifmir.export.isolated_process import OUT_OF_MEMORY, pixel_bytes
from unifmir.export.limits import LimitedMemory, LimitedSession, Limits
from unifmir.export.runtimes.base import Image, Runtime, Session, TimedOnHost
from unifmir.hashing import sha256_of
from unifmir.trusted_files import is_own

logger = logging.getLogger(__name__)

MODULE = "unifmir.export.isolated_process"
START_SECONDS = 120.0
"""Time allowed for starting Python and importing the runtime, before the file is touched."""
MAX_LINE = 1_000_000
"""Bytes of an answer without its pixels."""
TAIL = 400
"""Last characters of a dead process's messages that are shown."""
_OURS = {
    one.__name__: one for one in (ExportError, UntrustedError, BenchmarkError, MissingExtraError)
}


def open_file(
    runtime: Runtime, path: Path, *, device: str, threads: int, own_process: bool = False
) -> Session:
    """Open an artifact: here if this installation wrote it, in a process of its own otherwise.

    Parameters
    ----------
    runtime : Runtime
    path : Path
    device : str
        A name in full.
    threads : int
        On the CPU.
    own_process : bool
        This process does nothing else, and is ended by whoever started it when it takes too long:
        it limits its own memory in place of starting another.

    Raises
    ------
    BenchmarkError, ExportError, MissingExtraError
        As `Runtime.open`; also where its limits do not suffice.
    """
    try:
        sha256, file_bytes = sha256_of(path), path.stat().st_size
    except OSError as error:
        raise ExportError(f"{path.name}: it cannot be read ({error.strerror})") from error
    if is_own(sha256):
        return runtime.open(path, device=device, threads=threads)
    runtime.require_harmless(path)
    exporter = FORMATS[format_of(path)]
    # Imported for files from elsewhere alone: it imports PyTorch, which opening ours need not.
    from unifmir.restoration.memory_budget import estimated_bytes_per_pixel

    needed = estimated_bytes_per_pixel(
        exporter.lineage(path).network_config,
        runtime.body_maps,
        holds_attention=runtime.holds_attention,
    )
    limits = Limits(needed, file_bytes)
    if own_process:
        memory = LimitedMemory(limits, device)
        memory.allow(0)
        return LimitedSession(runtime.open(path, device=device, threads=threads), memory)
    logger.info("%s was not written here: it runs in a process of its own", path.name)
    return IsolatedSession(
        path,
        limits,
        runtime=runtime.name,
        device=device,
        threads=threads,
        writes=exporter.holds_program,
    )


class IsolatedSession(TimedOnHost):
    """A file in a process of its own, seen from outside.

    Parameters
    ----------
    path : Path
    limits : Limits
    runtime : str
        Row of `RUNTIMES`.
    device : str
        A name in full.
    threads : int
    writes : bool
        Whether the runtime has to write files.
    """

    def __init__(
        self, path: Path, limits: Limits, *, runtime: str, device: str, threads: int, writes: bool
    ) -> None:
        self._name, self._limits = path.name, limits
        self._lock = threading.Lock()
        self._late = False
        self._lost_s = 0.0  # on opening, and on runs that failed since one succeeded
        self._why_ended = "its process was ended"
        lifeline, held = os.pipe() if os.name == "posix" else (None, None)
        try:
            self._process = _started(lifeline, threads)
        finally:
            if lifeline is not None:
                os.close(lifeline)
        # Not a method, which would keep the session alive.
        self.close = weakref.finalize(self, _end, self._process, held)
        request = {
            "command": "open",
            "path": str(path.absolute()),
            "device": device,
            "threads": threads,
            "bytes_per_pixel": limits.bytes_per_pixel,
            "file_bytes": limits.file_bytes,
            "writes": writes,
        }
        try:
            self._ask({"command": "start", "runtime": runtime}, seconds=START_SECONDS)
            with self._losing():
                self._ask(request, seconds=limits.seconds())
        except MemoryError as error:
            self.close()
            raise ExportError(f"{self._name}: too little memory to open it ({error})") from error
        except BaseException:
            self.close()
            raise

    @property
    def ran(self) -> Mapping[str, Any]:
        """Facts of what runs over there, and that it is `isolated`."""
        return {**self._facts()["ran"], "isolated": True}

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Sentences on each thing that was asked for and did not happen."""
        return tuple(self._facts()["fallbacks"])

    def run(self, image: Image) -> Image:
        """Restore an image.

        Raises
        ------
        ExportError
            It fails, takes longer than its limit, or gives no pixels of float32.
        MemoryError
            It needs more memory than its limit, which depends on the size of the image.
        """
        request = {"command": "run", "shape": image.shape}
        seconds = self._limits.seconds(image.size, self._lost_s)
        with self._losing():
            restored: Image = self._ask(request, seconds=seconds, image=image)
        self._lost_s = 0.0
        return restored

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Count the time that the block takes as lost, of that which is allowed once."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._lost_s += time.monotonic() - began

    def _facts(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._ask({"command": "facts"}, seconds=self._limits.seconds())
        return found

    def _ask(
        self, request: Mapping[str, Any], *, seconds: float, image: Image | None = None
    ) -> Any:
        """Send a request and wait for its answer; whatever interrupts that ends the process."""
        with self._lock:
            watch = threading.Timer(seconds, self._end_late)
            watch.daemon = True
            watch.start()
            try:
                return self._exchanged(request, seconds, image)
            except (ExportError, MemoryError):
                raise
            except BaseException:
                self.close()
                raise
            finally:
                watch.cancel()

    def _end_late(self) -> None:
        self._late = True
        kill_group(self._process.pid)

    def _exchanged(self, request: Mapping[str, Any], seconds: float, image: Image | None) -> Any:
        if not self.close.alive:
            raise self._broken(self._why_ended)
        given, answers = self._process.stdin, self._process.stdout
        assert given is not None  # noqa: S101 - it was started with pipes
        assert answers is not None  # noqa: S101 - as above
        try:
            given.write(json.dumps(request).encode() + b"\n")
            if image is not None:
                given.write(pixel_bytes(np.ascontiguousarray(image, np.float32)))
            given.flush()
            told = json.loads(answers.readline(MAX_LINE))
            if not isinstance(told, dict):
                raise TypeError
            if "shape" in told:
                return self._received(answers, told["shape"], image)
            if told["ok"]:
                return told["found"]
            kind, text = str(told["kind"]), str(told["error"])
        except (OSError, ValueError, TypeError, KeyError):
            # A broken pipe, an answer that ends before its end, or one that is none of ours.
            raise self._dead(seconds) from None
        if kind == OUT_OF_MEMORY:
            raise MemoryError(text)
        if image is not None:
            text = f"the model failed on an input of {'x'.join(map(str, image.shape))}: {text}"
        text = text if self._name in text else f"{self._name}: {text}"
        raise _OURS.get(kind, ExportError)(text)

    def _received(self, answers: IO[bytes], shape: Any, image: Image | None) -> Image:
        allowed = self._limits.memory_bytes(0 if image is None else image.size)
        if not all(isinstance(size, int) and size >= 0 for size in shape) or (
            4 * math.prod(shape) > allowed
        ):
            raise self._broken(f"its result of {shape} is larger than its memory")
        restored = np.empty(shape, np.float32)
        rest = pixel_bytes(restored)
        if answers.readinto(rest) != rest.nbytes:  # type: ignore[attr-defined]  # it is buffered
            raise ValueError("the result ends before its end")
        return restored

    def _dead(self, seconds: float) -> ExportError:
        """Why there is no answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        said = b""
        if self._process.stderr is not None and self._process.poll() is not None:
            said = self._process.stderr.read()
        code = self._process.returncode
        self.close()
        if self._late:
            why = f"it took longer than the {seconds:.0f} s allowed"
        elif code is None:
            why = "its answers make no sense"
        else:
            why = f"its process is gone: {machine.ending(code)}"
        tail = " ".join(said.decode("utf-8", "replace")[-TAIL:].split())
        return self._broken(why + (f" ({tail})" if tail else ""))

    def _broken(self, why: str) -> ExportError:
        """End the process; the error says why, and so do those of later runs."""
        self._why_ended = why
        self.close()
        return ExportError(
            f"{self._name} was not written here, so it runs in a process of its own, and {why}. "
            "Take smaller tiles, ask for the checkpoint, or export it here"
        )


def _started(lifeline: int | None, threads: int) -> "subprocess.Popen[bytes]":
    """The process, which ends when the other end of the lifeline is closed."""
    arguments = [] if lifeline is None else [str(lifeline)]
    return subprocess.Popen(
        # -P: no module is taken from the working folder.
        [sys.executable, "-P", "-m", MODULE, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=limited_environment(threads),
        pass_fds=[] if lifeline is None else [lifeline],
        # Ctrl-C goes to the group of the terminal; who waits for the answer ends the process.
        start_new_session=True,
    )


def _end(process: "subprocess.Popen[bytes]", held: int | None) -> None:
    """End the process and close what leads to it."""
    # OpenVINO forks another when it is imported: it is ended too.
    kill_group(process.pid)
    process.wait()
    if held is not None:
        os.close(held)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent before it ended
                pipe.close()

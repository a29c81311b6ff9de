"""Hostile inputs: how one is given to the tool, and what is then held against it.

A kind of input (`tests/hostile/`, one file each) is a list of cases and one way of giving them.
Each attempt has a folder of its own, with files that nothing may touch, and ends as one of
`OUTCOMES`; only the first two are well.
"""

import contextlib
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

from unifmir.errors import UnifmirError
from unifmir.hashing import sha256_of

REFUSED = "refused"  # by an error of ours
RIGHT = "right"  # served, and rightly so
EXECUTED = "executed"  # it started a program, or ran code of the file
OUTSIDE = "outside"  # it wrote, changed, removed or copied what it may not
TRACEBACK = "traceback"  # an error that is not ours
HANG = "hang"  # no answer in 30 s
BELIEVED = "believed"  # a lie was served
OUTCOMES = (REFUSED, RIGHT, EXECUTED, OUTSIDE, TRACEBACK, HANG, BELIEVED)
WELL = (REFUSED, RIGHT)

SECONDS = 30.0
MORE_MEMORY = 6 * 2**30  # bytes of address space that an attempt may take besides
SECRET = b"precious: not for the restored image\n"


@dataclass(frozen=True)
class Room:
    """The folders of one attempt.

    `given` holds the hostile input and its neighbours, `out` takes results, `victim` holds
    `precious.txt`, which nothing may read into a result, change or join, and is where a case
    should aim. `cwd` is the working folder.
    """

    folder: Path

    @property
    def given(self) -> Path:
        return self.folder / "given"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def victim(self) -> Path:
        return self.folder / "victim"

    @property
    def cwd(self) -> Path:
        return self.folder / "cwd"

    def made(self) -> "Room":
        for part in (self.given, self.out, self.victim, self.cwd):
            part.mkdir(parents=True)
        (self.victim / "precious.txt").write_bytes(SECRET)
        return self

    def state(self) -> dict[str, str]:
        """Hash of every file, and target of every link, of what must not change."""
        found = {}
        for part in (self.given, self.victim, self.cwd):
            for path in sorted(part.rglob("*")):
                name = str(path.relative_to(self.folder))
                if path.is_symlink():
                    found[name] = f"-> {path.readlink()}"
                elif path.is_file():
                    found[name] = sha256_of(path)
                else:
                    found[name] = "folder" if path.is_dir() else "special"
        return found


@dataclass(frozen=True)
class Case:
    """One hostile input: `write` makes it in the room's `given` and returns what is given."""

    name: str
    write: Callable[[Room], Any]


@dataclass(frozen=True)
class HostileKind:
    """A kind of input, and how it is given.

    Attributes
    ----------
    name : str
        As the table of docs/threats.md names it.
    cases : Callable
        The cases; a function, as many start from an export.
    give : Callable
        Gives what a case wrote to the tool, with the room for results. Returns what came of it.
    lie : Callable
        Why what came of a case is a lie that was believed; None where it is right. It is asked
        only where nothing was refused.
    """

    name: str
    cases: Callable[[], Iterable[Case]]
    give: Callable[[Any, Room], Any]
    lie: Callable[[Case, Any], str | None]


@dataclass(frozen=True)
class Attempt:
    """What came of one case: one of `OUTCOMES`, and the words that tell why."""

    case: str
    outcome: str
    why: str = ""


@dataclass
class _Watch:
    """What Python's audit events tell while an attempt runs; the hook cannot be removed."""

    events: list[str] | None = None
    installed: bool = field(default=False)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.events is None:
            return
        if event == "subprocess.Popen":
            # What this tool starts itself is this Python; whatever else is the file's doing.
            if arguments[0] not in (sys.executable, sys.executable.encode()):
                self.events.append(f"started {arguments[1]!r:.200}")
        elif event in ("os.system", "os.exec", "os.spawn", "pty.spawn"):
            self.events.append(f"{event} {arguments!r:.200}")
        elif event == "socket.connect" and not _loopback(arguments[1]):
            self.events.append(f"connected to {arguments[1]!r:.200}")

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[str]]:
        if not self.installed:
            sys.addaudithook(self.hook)
            self.installed = True
        events: list[str] = []
        self.events = events
        try:
            yield events
        finally:
            self.events = None


def _loopback(address: Any) -> bool:
    return not isinstance(address, tuple) or str(address[0]).startswith(
        ("127.", "::1", "localhost")
    )


_WATCH = _Watch()


class Hang(BaseException):
    """No answer within `SECONDS`; no library takes it for an error of its own."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raise `Hang` after `SECONDS`, and MemoryError beyond `MORE_MEMORY` more than is taken now."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY, limits[1])
    )
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def attempt(kind: HostileKind, case: Case, folder: Path) -> Attempt:
    """Give one case to the tool in a new folder, which is removed again."""
    room = Room(folder).made()
    came: Any = None
    outcome, why = RIGHT, ""
    here = Path.cwd()
    try:
        given = case.write(room)
        before = room.state()
        os.chdir(room.cwd)
        with _WATCH.watching() as events:
            try:
                with bounded():
                    came = kind.give(given, room)
            except UnifmirError as error:
                outcome, why = REFUSED, str(error)
            except Hang:
                outcome, why = HANG, f"no answer in {SECONDS:g} s"
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what a user would see as a traceback
                outcome, why = TRACEBACK, _told(error)
        after = room.state()
        if events:
            outcome, why = EXECUTED, "; ".join(events)
        elif after != before:
            changed = {name for name in before | after if before.get(name) != after.get(name)}
            outcome, why = OUTSIDE, f"changed: {sorted(changed)}"
        elif leak := next(
            (p for p in room.out.rglob("*") if p.is_file() and SECRET in p.read_bytes()), None
        ):
            outcome, why = OUTSIDE, f"{leak.name} holds another file's bytes"
        elif outcome == RIGHT and (lie := kind.lie(case, came)):
            outcome, why = BELIEVED, lie
        elif outcome == REFUSED and any(
            not letter.isprintable() and letter != "\n" for letter in why
        ):
            outcome, why = TRACEBACK, f"control characters in the error: {why!r}"
    finally:
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)
    return Attempt(case.name, outcome, why)


def _told(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error!s:.300} ({Path(frame.filename).name}:{frame.lineno})"


def attempts(kind: HostileKind, folder: Path, *, every: int = 1) -> list[Attempt]:
    """What came of a kind's cases: of all, or of one in `every`."""
    # An import that a limit on time or memory cuts short cannot be made again in this process.
    importlib.import_module("torch._dynamo")
    cases = islice(kind.cases(), 0, None, every)
    return [attempt(kind, case, folder / f"{number:04d}") for number, case in enumerate(cases)]


def counts(made: Iterable[Attempt]) -> dict[str, int]:
    """How many attempts ended as what, all of `OUTCOMES` named."""
    found = Counter(one.outcome for one in made)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def by_command(*arguments: object, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run `unifmir` in a process of its own, for what a process alone shows.

    Raises
    ------
    Hang
        No answer in time.
    UnifmirError
        It ended with the exit code of one of our errors, and no traceback.
    RuntimeError
        It ended otherwise: by a signal, or with a traceback.
    """
    command = [sys.executable, "-m", "unifmir", *(str(word) for word in arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise Hang from None
    if done.returncode not in (0, 1, 2) or "Traceback" in done.stderr:
        raise RuntimeError(f"ended with {done.returncode}: {done.stderr[-400:]}")
    if done.returncode:
        raise UnifmirError(done.stderr.strip())
    return done

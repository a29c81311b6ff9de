"""Servers on this machine that fail as they are told to, at any step of a submission."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


@dataclass
class Fault:
    """What goes wrong at one step, once or more often."""

    step: str
    """Function, or PUT and GET of the storage."""
    kind: str
    times: int = 1_000

    def __str__(self) -> str:
        return f"{self.step}-{self.kind}"


KINDS = ("busy", "late", "cut", "dropped", "unsaid", "garbage")
"""Faults that every step may have: 503; no answer; half an answer; the connection ended before
anything was done, and after it was; something that is no JSON."""


@dataclass
class Script:
    """What a server was asked, and what goes wrong there."""

    url: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every request that was served: its name and what came with it."""
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    """What would have published."""
    token: str = ""
    victim: int = 0
    """Process that the fault `kill` ends, after the step was done."""
    lie: "Callable[[FaultyHandler, int, bytes], None] | None" = None
    """Writes the answer of the fault `lie`, given the status and body of the right one."""
    elsewhere: str = ""
    """Address of another server, for what sends there."""

    def fault_at(self, step: str) -> str:
        """Kind of the fault that happens at a step now; empty where none does."""
        for fault in self.faults:
            if fault.step == step and fault.times > 0:
                fault.times -= 1
                return fault.kind
        return ""

    def functions(self) -> list[str]:
        """Names of what was asked, in order."""
        return [name for name, _ in self.asked]


class Refusal(Exception):  # noqa: N818 - an answer
    """An answer that is not 200."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers that come late, cut, or not at all."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "FaultyHttp"

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PUT(self) -> None:
        self.put()

    def sent(self, kind: str) -> bytes:
        """Body of a request, or half of it where the connection will be dropped."""
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(length // 2 if kind == "dropped" else length)

    def get(self) -> None:
        """Serve a GET."""
        self.answer(404, b"", "")

    def post(self, _body: bytes) -> None:
        """Serve a POST."""
        self.answer(404, b"", "")

    def put(self) -> None:
        """Serve a PUT, whose body is not read yet."""
        self.answer(404, b"", "")

    def before(self, kind: str) -> bool:
        """Faults before anything is done; whether one happened."""
        self.server.script.headers.append(dict(self.headers))
        if kind == "busy":
            self.answer(503, b'{"detail": "busy"}', "")
        elif kind == "expired":
            self.answer(401, f'{{"detail": "expired: {self.server.script.token}"}}'.encode(), "")
        elif kind == "late":
            self.server.waiting.wait(3.0)
            self.close_connection = True
        elif kind == "dropped":
            self.close_connection = True
        return kind in ("busy", "expired", "late", "dropped")

    def answer(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        if kind == "kill":
            os.kill(self.server.script.victim, signal.SIGKILL)
        if kind in ("unsaid", "kill"):
            self.close_connection = True
            return
        if kind == "lie" and self.server.script.lie is not None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.server.script.lie(self, status, body)
            return
        body = b"<html>not what you think" if kind == "garbage" else body
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (7 if kind == "cut" else 0)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if kind == "cut" else body)
        if kind == "cut":
            self.close_connection = True


class FaultyHttp(ThreadingHTTPServer):
    """The server itself, on a free port of this machine."""

    daemon_threads = True

    def __init__(self, handler: type[FaultyHandler], script: Script) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.script = script
        script.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.waiting = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Say nothing about clients that hang up: the tests make them."""


S = TypeVar("S", bound=Script)


@contextmanager
def serving_faults(handler: type[FaultyHandler], script: S) -> Iterator[S]:
    """A server, running meanwhile."""
    http = FaultyHttp(handler, script)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        http.waiting.set()
        http.shutdown()
        http.server_close()
        thread.join()

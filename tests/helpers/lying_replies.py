"""Answers of servers that are published to which are not what they should be.

A lie is made of the right answer, or takes its place: other values, documents that are none, bytes
without an end, other statuses, addresses elsewhere.
"""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.helpers.faulty_server import Fault, FaultyHandler, Script, serving_faults
from tests.helpers.hostile import Case, Room
from tests.helpers.publications import given_package, without_waiting
from tests.hostile.metadata_inputs import TEXTS, WRONG, changed, without
from unifmir.errors import UnifmirError
from unifmir.zoo.catalogue import connection
from unifmir.zoo.publish import publishing
from unifmir.zoo.publish.destinations import DESTINATIONS
from unifmir.zoo.publish.submission import read_submission, record_path

Alteration = Callable[[Any], Any]
"""Makes another document of the right one."""
ELSEWHERE = "ELSEWHERE"
"""Stands for the address of another server of this machine."""
PLACES = (
    *("", "x", "/", "//", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "javascript:1"),
    *("http://example.invalid/x", "http://127.0.0.1@example.invalid/", "https://", "https://[::1"),
    *("https://x:99999/", "https://a b/", "http://\x1b[2J/", "https://\u202e/"),
    *("http://2130706433/", "http://127.1/", "gopher://127.0.0.1/", f"{ELSEWHERE}/x", ELSEWHERE),
)
"""Addresses that a server names."""


@dataclass(frozen=True)
class Lie:
    """One answer, and the step it is given at."""

    step: str
    name: str
    write: Callable[[FaultyHandler, int, bytes], None]
    often: int = 1_000
    """How many times it is given."""


def values_of(step: str, alterations: dict[str, Alteration]) -> Iterator[Lie]:
    """Answers with other values in them."""
    for name, alter in alterations.items():
        yield Lie(step, name, partial(_altered, alter))


def headed(step: str, name: str, headers: dict[str, str]) -> Lie:
    """The right answer with other headers."""
    return Lie(step, name, partial(_headed, headers))


def cases_of(lies: Iterator[Lie]) -> Iterator[Case]:
    """Each lie as a case of a hostile kind."""
    for one in lies:
        yield Case(f"{one.step}: {one.name}", partial(_kept, one))


def _kept(one: Lie, _: Room) -> Lie:
    return one


def field(name: str, value: Any) -> Alteration:
    """Another value of a field, which the right answer may lack."""
    return lambda right: changed(right, name, value)


def instead(value: Any) -> Alteration:
    """Another answer."""
    return lambda _: value


def fields(names: tuple[str, ...]) -> dict[str, Alteration]:
    """Each field of other types, and left out."""
    made: dict[str, Alteration] = {}
    for number, name in enumerate(names):
        for what in list(WRONG)[number % 3 :: 3]:
            made[f"{name} is {what}"] = field(name, WRONG[what])
        made[f"without {name}"] = partial(_without, name)
    return made


def _without(name: str, right: Any) -> Any:
    return without(right, name)


def documents(step: str) -> Iterator[Lie]:
    """Answers that are another document, or none."""
    for name, value in WRONG.items():
        yield Lie(step, name, partial(_body, json.dumps(value).encode()))
    for name, content in TEXTS.items():
        yield Lie(step, name, partial(_body, content))
    yield Lie(step, "larger than any", partial(_body, b" " * 8_000_001))
    yield Lie(step, "a name twice", partial(_body, b'{"id": "a", "id": "b"}'))
    yield Lie(step, "compressed", partial(_compressed, gzip.compress(bytes(20_000_000))))


def transports(step: str) -> Iterator[Lie]:
    """Answers that are no answer, never end, or send elsewhere."""
    for status in (100, 204, 206, 301, 302, 303, 304, 307, 308, 400, 404, 418, 429, 500, 999):
        yield Lie(step, f"status {status}", partial(_status, status))
    for status in (302, 307):
        for place in (f"{ELSEWHERE}/x", "file:///etc/passwd", "http://10.0.0.1/x", "https://["):
            yield Lie(step, f"sent on ({status}) to {place}", partial(_sent_on, status, place))
    begin = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    chunked = begin + b"Transfer-Encoding: chunked\r\n\r\n"
    wholes = {
        "nothing": b"",
        "no HTTP": bytes(range(256)) * 10,
        "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
        "a long header": begin + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        "many headers": begin + b"".join(b"X%d: y\r\n" % n for n in range(5_000)) + b"\r\n",
        "escapes in the reason": b"HTTP/1.1 400 \x1b[2J\x9b\r\nContent-Length: 0\r\n\r\n",
        "a negative length": begin + b"Content-Length: -5\r\n\r\n{}",
        "a length of letters": begin + b"Content-Length: abc\r\n\r\n{}",
        "a chunk of huge size": chunked + b"F" * 16 + b"\r\n{}",
        "a chunk of no size": chunked + b"zz\r\n{}",
    }
    for name, content in wholes.items():
        yield Lie(step, name, partial(_raw, content))
    endless = {
        "a body without an end": (begin + b"\r\n", b" " * 65536, 0.0),
        "chunks without an end": (chunked, b"10000\r\n" + b" " * 65536 + b"\r\n", 0.0),
        "headers without an end": (begin, b"X: y\r\n", 0.0),
        "a body by letters": (begin + b"Content-Length: 99999\r\n\r\n", b" ", 0.05),
        "headers by letters": (begin, b"X", 0.05),
    }
    for name, (start, more, pause) in endless.items():
        yield Lie(step, name, partial(_endless, start, more, pause))


def _altered(alter: Alteration, handler: FaultyHandler, status: int, body: bytes) -> None:
    _body(json.dumps(alter(json.loads(body))).encode(), handler, status, body)


def _body(content: bytes, handler: FaultyHandler, status: int, _: bytes) -> None:
    _head(handler, status, {"Content-Type": "application/json"}, content)


def _compressed(content: bytes, handler: FaultyHandler, status: int, _: bytes) -> None:
    named = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    _head(handler, status, named, content)


def _headed(named: dict[str, str], handler: FaultyHandler, status: int, body: bytes) -> None:
    _head(handler, status, {"Content-Type": "application/json", **named}, body)


def _status(number: int, handler: FaultyHandler, _: int, body: bytes) -> None:
    _head(handler, number, {}, body)


def _sent_on(number: int, place: str, handler: FaultyHandler, _: int, body: bytes) -> None:
    _head(handler, number, {"Location": place}, body)


def _head(handler: FaultyHandler, status: int, named: dict[str, str], body: bytes) -> None:
    elsewhere = handler.server.script.elsewhere
    handler.send_response_only(status, "said")
    for name, value in named.items():
        handler.send_header(name, value.replace(ELSEWHERE, elsewhere))
    body = body.replace(ELSEWHERE.encode(), elsewhere.encode())
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def _raw(content: bytes, handler: FaultyHandler, *_: object) -> None:
    handler.wfile.write(content)
    handler.wfile.flush()


def _endless(start: bytes, more: bytes, pause: float, handler: FaultyHandler, *_: object) -> None:
    """Write on and on, for longer than anybody should listen."""
    handler.wfile.write(start)
    end = time.monotonic() + 40
    while time.monotonic() < end:
        handler.wfile.write(more)
        handler.wfile.flush()
        if pause:
            time.sleep(pause)


def given_lie(
    one: Lie,
    room: Room,
    destination: str,
    script: Script,
    variables: dict[str, str],
    harm: Callable[[], str],
) -> str:
    """Send a package to a server that lies, ask how it stands, and take it back if it can be.

    Parameters
    ----------
    one : Lie
    room : Room
    destination : str
    script : Script
        The server.
    variables : dict of str
        The environment that leads to it.
    harm : callable
        What was done there that must not be, in words; empty where nothing was.

    Returns
    -------
    str
        What must not be done whatever a server says, in words; empty where nothing was.

    Raises
    ------
    UnifmirError
        The submission was refused, and no harm was done.
    """
    with ExitStack() as stack:
        elsewhere = stack.enter_context(serving_faults(FaultyHandler, Script()))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {**variables, "NO_PROXY": "*"}.items():
            patch.setenv(name, value)
        without_waiting(patch)
        patch.setattr(connection, "PIECE_S", 0.3)
        patch.setattr(connection, "TIMEOUT_S", (0.3, 0.3))
        package = given_package(room.out, patch)
        script.elsewhere, script.lie = elsewhere.url, one.write
        script.faults = [Fault(one.step, "lie", one.often)]

        def harmed() -> str:
            if any(script.token in str(headers) for headers in elsewhere.headers):
                return "the token was sent elsewhere"
            try:
                read_submission(record_path(package, destination))
            except UnifmirError as error:
                return f"the record cannot be read again: {error}"
            return f"{script.forbidden}" if script.forbidden else harm()

        try:
            publishing.upload(package, destination, tell=lambda _: None)
            publishing.standing(package, destination)
            if DESTINATIONS[destination].has_score:
                publishing.withdraw(package, destination)
        except UnifmirError:
            if harmed():
                return harmed()
            raise
        return harmed()

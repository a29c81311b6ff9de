"""Requests to `unifmir serve` that lie, break off, reach for others' files, or never end.

Each is sent as bytes to a server of its own, in which another session has an image and its result.
Jobs are stand-ins, but those of images that are bombs. Whatever comes back, the server answers the
other session afterwards as before, has logged no error, and has told nothing of hers.
"""

import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.helpers.hostile import SECRET, Case, HostileKind, Room
from tests.helpers.running_server import Caller, running
from tests.hostile import form_cases, http_cases
from tests.hostile.raw_requests import FOREIGN, OWN, Ask
from unifmir.errors import UnifmirError
from unifmir.zoo.restore import restoring_process
from unifmir.zoo.serve import request_guard
from unifmir.zoo.serve.request_guard import COOKIE

ANSWER_S = 12.0
"""Time for an answer."""
MOST_BYTES = 2_000_000
REAL = restoring_process.COMMAND
IMAGE_JOBS = {"command": REAL, "job_bytes": 900 * 10**6}


@dataclass(frozen=True)
class Came:
    """What came back, all of it, and what else there was to see."""

    status: int
    answer: bytes
    files: frozenset[str]
    """New names in the server's folder, beside folders of jobs."""


class _Errors(logging.Handler):
    """What the server logs as its own failures."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


def give(ask: Ask, room: Room) -> Came:
    """Send a request, and look at everything that it may not have touched."""
    page = room.out / "dist"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>page")
    errors = _Errors()
    jobs = IMAGE_JOBS if ask.real else {}
    options = {"upload_bytes": 300_000, "silence_s": 0.5, **jobs, **ask.options}
    logging.getLogger().addHandler(errors)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(request_guard, "WRONG_PASSWORD_S", 0.05)
            with running(room.out / "serve", patch, page=page, **options) as address:
                came = _given(ask, room, address)
    finally:
        logging.getLogger().removeHandler(errors)
    if errors.told:
        raise RuntimeError(f"the server failed: {errors.told[0][-300:]}")
    if came.status >= 500:
        raise RuntimeError(f"status {came.status}: {came.answer[:200]!r}")
    if came.status not in ask.may:
        raise UnifmirError(_words(came))
    return came


def _given(ask: Ask, room: Room, address: str) -> Came:
    password = ask.options.get("password")
    told = {"authorization": f"Bearer {password}"} if password else {}
    with Caller(address) as other, Caller(address) as own:
        for caller in (other, own):
            caller.headers.update(told)
        foreign = _job(other, FOREIGN, "foreign.tif", real=ask.real)
        mine = _job(own, OWN, "own.tif", real=ask.real)
        own_cookie, foreign_cookie = str(own.cookies[COOKIE]), str(other.cookies[COOKIE])
        place = urlsplit(address)
        names = {
            b"{host}": place.netloc.encode(),
            b"{foreign}": foreign.encode(),
            b"{own}": mine.encode(),
            b"{cookie}": f"{COOKIE}={own_cookie}".encode(),
            b"{victim}": str(room.victim / "precious.txt").encode(),
        }
        before = _folder(room)
        answer = _answer(ask, place.port or 0, names)
        status = _status(answer)
        answer += _followed(ask, own, status, answer)
        files = _folder(room) - before
        # The other session sees and has what it had.
        seen = other.job(foreign)
        if seen["state"] != ("cancelled" if ask.real else "done"):
            raise RuntimeError(f"another session's job is {seen['state']}")
        if other.get(f"/api/jobs/{foreign}/input").content != FOREIGN:
            raise RuntimeError("another session's image is another")
        if foreign_cookie.encode() in answer:
            raise RuntimeError("another session's cookie was told")
        return Came(status, answer, files)


def _job(caller: Caller, image: bytes, name: str, *, real: bool) -> str:
    job = caller.given(image, name)
    if real:
        # It is no image, and would keep the one that is asked about waiting.
        caller.delete(f"/api/jobs/{job}")
    else:
        caller.waited(job, "done")
    return job


def _answer(ask: Ask, port: int, names: dict[bytes, bytes]) -> bytes:
    """All that comes back for a request's pieces."""
    end = time.monotonic() + ANSWER_S
    answer = b""
    with socket.create_connection(("127.0.0.1", port), ANSWER_S) as connection:
        for piece in ask.pieces:
            try:
                connection.sendall(_filled(piece, names))
            except OSError:
                break  # refused before all of it was sent
            time.sleep(ask.pause_s)
        if ask.half:
            return b""
        try:
            while time.monotonic() < end and len(answer) < MOST_BYTES:
                connection.settimeout(max(0.01, end - time.monotonic()))
                if not (piece := connection.recv(65536)):
                    return answer
                answer += piece
        except ConnectionError:
            return answer
        except TimeoutError:
            pass
    raise RuntimeError(f"no end of an answer in {ANSWER_S:g} s: {answer[:100]!r}")


def _filled(piece: bytes, names: dict[bytes, bytes]) -> bytes:
    return re.sub(rb"\{[a-z]+\}", lambda found: names.get(found[0], found[0]), piece)


def _followed(ask: Ask, own: Caller, status: int, answer: bytes) -> bytes:
    """What comes of a job that was made: its end, its files and their headers."""
    found = re.search(rb'"id":"([0-9a-f]{32})"', answer)
    if status != 202 or found is None:
        return b""
    name = found[1].decode()
    job = own.waited(name, seconds=25.0)
    if job["state"] == "failed" and ask.real:
        if "/jobs/" in job["error"]["message"]:
            raise RuntimeError(f"a path is told: {job['error']['message']}")
        raise UnifmirError(job["error"]["message"])
    told = [str(job).encode()]
    for part in ("result", "input", "report"):
        reply = own.get(f"/api/jobs/{name}/{part}")
        told += [*(f"{key}: {value}\r\n".encode() for key, value in reply.headers.items())]
        told.append(reply.content[:MOST_BYTES])
    return b"".join(told)


def _status(answer: bytes) -> int:
    """Status of an answer; 400 for a connection that was closed without one."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[1]) if found else 400


def _words(came: Came) -> str:
    found = re.search(rb'"message":"((?:[^"\\]|\\.)*)"', came.answer)
    return found[1].decode("utf-8", "replace") if found else f"status {came.status}"


def _folder(room: Room) -> frozenset[str]:
    """Names in the room's results, beside the inside of jobs' folders."""
    top = room.out
    found = {str(path.relative_to(top)) for path in top.rglob("*")}
    return frozenset(
        name for name in found if not re.match(r"serve/jobs/([0-9a-f]{32}|\.unifmir-)", name)
    )


def lie(case: Case, came: Came) -> str | None:
    """Whether something was told or written that may not be."""
    head, _, body = came.answer.partition(b"\r\n\r\n")
    told = [
        (came.files, f"new files: {sorted(came.files)}"),
        (SECRET.strip() in came.answer, "a file from elsewhere was told"),
        (FOREIGN.strip() in came.answer, "another session's image was told"),
        (b"foreign.tif" in came.answer, "another session's job was told"),
        (re.search(rb"(?im)^x-injected:", head), "a header was injected"),
        (b"Traceback (most recent call last)" in body, "a traceback was told"),
    ]
    return next((why for found, why in told if found), None)


def _written(ask: Ask, _room: Room) -> Ask:
    return ask


def cases() -> Iterator[Case]:
    """All requests."""
    parts: tuple[Callable[[], Iterator[tuple[str, Ask]]], ...] = (
        *http_cases.PARTS,
        *form_cases.PARTS,
    )
    for part in parts:
        for name, ask in part():
            yield Case(f"{part.__name__}: {name}", partial(_written, ask))


KIND = HostileKind("request to `unifmir serve`", cases, give, lie)

"""Records, listings and servers that lie, stall, send elsewhere or never end.

A server on this machine stands for Zenodo. That it counts as one out there, where a case is about
that, is said by `web_address.is_inner`: 127.0.0.1 is out there then, 127.0.0.2 is in here.
"""

import gzip
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BufferedIOBase
from typing import Any

import pytest

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.zoo_server import FILE, PLANARIA, RECORD, Reply, Server, serving
from unifmir import web_address
from unifmir.web_address import is_inner
from unifmir.zoo.catalogue import adding, connection, directories, index, pull, transfer
from unifmir.zoo.catalogue.schema import parse_entry
from unifmir.zoo.catalogue.servers import ZENODO_VARIABLE

RIGHT = bytes(range(256)) * 300
"""The model's file, 77 kB; small, as what is served is not loaded here."""
MD5 = hashlib.md5(RIGHT).hexdigest()
VICTIM = "../../../../victim/precious.txt"
"""The precious file, as seen from a model's folder in the user's folder or the cache."""
LIMITS: dict[Any, dict[str, Any]] = {
    transfer: {"BACKOFF_S": 0.0, "ATTEMPTS": 2, "MAX_BYTES": 3_000_000, "LISTING_S": 0.6},
    connection: {"PIECE_S": 0.3, "TIMEOUT_S": (0.3, 0.3)},
}
"""Limits that let a case end soon; the figures are the tool's own to choose."""


@dataclass(frozen=True)
class Given:
    """What a case makes: answers of the server, files of the user's folder, and what is asked."""

    replies: dict[str, Reply] = field(default_factory=dict)
    zenodo: str | None = None
    """Address of Zenodo, where it is not that of the server."""
    source: dict[str, Any] = field(default_factory=dict)
    """Other facts on the source in the model's entry; `{server}` is the server's address."""
    files: dict[str, Any] = field(default_factory=dict)
    """In the user's folder: bytes, or a function that makes something at the path."""
    cached: bool = False
    """Whether the right file was pulled before."""
    outside: bool = False
    """Whether the server counts as one out there."""
    ask: str = "pull"
    right: tuple[bytes, ...] = ()
    """What may be served; nothing unless said."""


def listing(**changes: Any) -> dict[str, Any]:
    """A right listing of the one file, with other facts on it."""
    return {
        "files": [{"key": "model_best.pt", "size": len(RIGHT), "checksum": f"md5:{MD5}", **changes}]
    }


def record(document: Any, **reply: Any) -> dict[str, Reply]:
    """The record's answer, a document or its bytes, and the file's."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return {RECORD: Reply(content, content_type="application/json"), FILE: Reply(RIGHT, **reply)}


def served(content: bytes = RIGHT, **reply: Any) -> dict[str, Reply]:
    """A right listing, and another answer in place of the file."""
    return {**record(listing()), FILE: Reply(content, **reply)}


def listings() -> Iterator[tuple[str, Given]]:
    keys: list[Any] = [
        None, 3, True, [], {}, "", "a" * 600 + ".pt", VICTIM, "/etc/passwd.pt", "..", "C:\\x.pt",
        ".partial", ".lock", "x\0.pt", "\x1b[2J.pt", "a\nb.pt", "gpj.\u202etp.pt", "\ud800.pt",
        "model_best.pt/../../x.pt", "model_best.pt?x=1", "%2e%2e%2fx.pt",
    ]  # fmt: skip
    for number, key in enumerate(keys):
        yield f"key {number} {key!r:.20}", Given(record(listing(key=key)))
    sizes = [-1, -(2**70), 2**63, 10**400, "77", 1.5, 1e400, True, [1], {}, "", 1, len(RIGHT) + 1]
    for size in sizes:
        yield f"size {size!r:.20}", Given(record(listing(size=size)))
    yield "size 0", Given(record(listing(size=0)), right=(RIGHT,))
    checksums = [
        5, True, [], {}, "", "md5", "md5:", f"MD5:{MD5}", f"md4:{MD5}", f"md5:{MD5[:-1]}",
        f"sha256:{MD5}",
        f"md5:{MD5}\n", "md5:" + "g" * 32, "md5:" + "0" * 32, "sha256:" + "0" * 64,
        "../x:" + "0" * 32,
        "__class__:" + "0" * 32, f"shake_128:{MD5}", "sha1:" + "0" * 40, "sha512:" + "f" * 128,
    ]  # fmt: skip
    for checksum in checksums:
        yield f"checksum {checksum!r:.50}", Given(record(listing(checksum=checksum)))
    odd: list[Any] = [None, {}, "a.pt", 3, [], [[]], [None], [3], ["a.pt"], {"0": {}}]
    for files in odd:
        yield f"files {files!r}", Given(record({"files": files}))
    one = listing()["files"][0]
    yield "a file listed twice", Given(record({"files": [one, {**one, "size": 3}]}))
    yield "many files", Given(record({"files": [{"key": f"{n}.bin"} for n in range(20_000)]}))
    odd = [None, 3, "files", [], {}, [listing()], True]
    for top in odd:
        yield f"document {top!r:.20}", Given(record(top))
    texts = {
        "deep list": b'{"files": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "deep object": b'{"files": ' * 50_000 + b"1" + b"}" * 50_000,
        "number of 5000 digits": b'{"files": [{"key": "a.pt", "size": ' + b"1" * 5000 + b"}]}",
        "NaN": b'{"files": NaN}',
        "no UTF-8": b'{"files": "\xff\xfe"}',
        "empty": b"",
        "cut": json.dumps(listing()).encode()[:-9],
        "more after it": json.dumps(listing()).encode() + b"{}",
        "zeros": bytes(1000),
        "a web page": b"<!doctype html><html>Log in</html>",
        "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "larger than any": b" " * (transfer.MAX_LISTING_BYTES + 1),
        "files twice": b'{"files": [], ' + json.dumps(listing()).encode()[1:],
    }
    for name, text in texts.items():
        right = (RIGHT,) if name == "files twice" else ()
        yield f"listing: {name}", Given(record(text), right=right)


def contents() -> Iterator[tuple[str, Given]]:
    bomb = gzip.compress(bytes(30_000_000))
    for length in (True, False):
        said = "a length" if length else "no length"
        for name, content in {
            "another file": RIGHT[::-1],
            "a part": RIGHT[:-1],
            "more": RIGHT + b"x",
            "nothing": b"",
            "a web page": b"<html>" + bytes(len(RIGHT) - 6),
            "far more": RIGHT * 100,
        }.items():
            yield f"{name}, {said}", Given(served(content, length=length))
        for encoding in ("gzip", "deflate", "br", "gzip, gzip", "x" * 300):
            reply = served(bomb, length=length, headers={"Content-Encoding": encoding})
            yield f"compressed {encoding:.12}, {said}", Given(reply)
    yield "right file", Given(served(), right=(RIGHT,))
    yield "right file, no length", Given(served(length=False), right=(RIGHT,))
    lengths = ["-1", "0", "1", "99999999", "9" * 5000, "abc", "0x10", "1e3", "\xb2", "77, 78", " "]
    for number in lengths:
        reply = served(headers={"Content-Length": number}, length=True)
        # Without a length that can be read the bytes are those, up to the end.
        yield f"Content-Length {number:.12}", Given(reply, right=(RIGHT,))
    for status in (100, 204, 206, 300, 304, 400, 401, 403, 407, 410, 416, 418, 451, 500, 599, 999):
        right_after = (RIGHT,) if status in (206,) else ()
        yield f"status {status}", Given(served(status=status), right=right_after)
    for tag in ('W/"x"', "", "x" * 9000, "\x01", 'v"\x1b[2J"'):
        yield f"ETag {tag!r:.12}", Given(served(etag=tag), right=(RIGHT,))


def answers() -> Iterator[tuple[str, Given]]:
    """Servers that write what is no answer, or never end it."""
    ok = b"HTTP/1.1 200 OK\r\n"
    plain = ok + b"Content-Type: application/octet-stream\r\n"
    part = b"HTTP/1.1 206 Part\r\nContent-Range: bytes "
    chunked = plain + b"Transfer-Encoding: chunked\r\n\r\n"
    texts = {
        "nothing": b"",
        "garbage": bytes(range(256)) * 40,
        "HTTP/0.9": RIGHT,
        "no status": b"HTTP/1.1 \r\n\r\n",
        "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
        "long status line": b"HTTP/1.1 200 " + b"x" * 200_000 + b"\r\n\r\n",
        "long header": ok + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        "many headers": ok + b"".join(b"X%d: y\r\n" % n for n in range(5_000)) + b"\r\n",
        "control characters in the reason": b"HTTP/1.1 403 \x1b[2J\x9b\r\n\r\n",
        "control characters in headers": ok
        + b"Content-Encoding: \x1b[2J\r\nContent-Length: 0\r\n\r\n",
        "lengths that differ": plain + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + RIGHT,
        "chunk of no size": chunked + b"zz\r\n" + RIGHT,
        "chunk of negative size": chunked + b"-5\r\n" + RIGHT,
        "chunk of huge size": chunked + b"F" * 16 + b"\r\n" + RIGHT,
        "chunk of huge number": chunked + b"F" * 60_000 + b"\r\n" + RIGHT,
        "chunk cut": chunked + b"%x\r\n" % len(RIGHT) + RIGHT[:100],
        "chunks without an end": chunked + b"%x\r\n" % len(RIGHT) + RIGHT + b"\r\n",
        "chunk line without an end": chunked + b"0" * 300_000,
        "length and chunks": plain
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "other range": part + b"5-9/10\r\nContent-Length: 5\r\n\r\nabcde",
        "range of huge numbers": part + b"9" * 5000 + b"-1/2\r\nContent-Length: 5\r\n\r\nabcde",
    }
    for path, where in ((RECORD, "record"), (FILE, "file")):
        for name, text in texts.items():
            reply = Reply(act=partial(written, [text]))
            # Old servers say nothing before a file; its bytes are the right ones.
            yield f"{where}: {name}", Given({**record(listing()), path: reply}, right=(RIGHT,))
        endless = {
            "endless body": (plain + b"\r\n", b"x" * 65536, 0),
            "endless chunks": (chunked, b"10000\r\n" + b"x" * 65536 + b"\r\n", 0),
            "endless chunk of one": (chunked, b"1\r\nx\r\n", 0.01),
            "endless headers": (ok, b"X: y\r\n", 0.01),
            "endless continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
            "body by letters": (plain + b"Content-Length: %d\r\n\r\n" % len(RIGHT), b"x", 0.05),
            "headers by letters": (ok, b"X", 0.05),
            "silence": (b"", b"", 0.05),
            "silence after the headers": (plain + b"Content-Length: 9\r\n\r\n", b"", 0.05),
        }
        for name, (start, more, pause) in endless.items():
            parts = partial(dripped, start, more, pause)
            yield f"{where}: {name}", Given({**record(listing()), path: Reply(act=parts)})


def written(parts: Iterable[bytes], out: BufferedIOBase) -> None:
    for part in parts:
        out.write(part)


def dripped(start: bytes, more: bytes, pause: float, out: BufferedIOBase) -> None:
    """Write on and on, for longer than anybody should listen."""
    out.write(start)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        out.write(more)
        out.flush()
        if pause:
            time.sleep(pause)


def sent_to(place: str) -> dict[str, Reply]:
    """The file's answer is that it is elsewhere."""
    return {**record(listing()), FILE: Reply(status=302, headers={"Location": place})}


def redirects() -> Iterator[tuple[str, Given]]:
    places = [
        "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://127.0.0.1/", "javascript:1",
        "jar:file:///x", "http://example.invalid/x", "HTTP://EXAMPLE.INVALID/",
        "//example.invalid/",
        "http://127.0.0.1@example.invalid/", "https://", "https:///x", "https://[::1",
        "https://x:99999/", "https://x:ab/", "", " ", "http://\x1b[2J/", "https://a b/",
        "https://a\\@b/", "https://\u202e/",
        FILE, "http://127.0.0.1.example.invalid/", "http://2130706433/", "http://127.1/",
    ]  # fmt: skip
    for place in places:
        yield f"sent to {place!r:.40}", Given(sent_to(place))
    inner = [
        "https://127.0.0.2:{port}/x", "https://localhost:{port}/x", "http://127.0.0.2:{port}/x",
        "https://10.0.0.1/x", "https://192.168.1.1/x", "https://169.254.169.254/latest/meta-data",
        "https://[::1]:{port}/x", "https://0.0.0.0:{port}/x", "https://[::ffff:127.0.0.2]:{port}/x",
        "https://2130706434:{port}/x", "https://127.2:{port}/x", "https://0x7f000002:{port}/x",
    ]  # fmt: skip
    for place in inner:
        yield f"from out there to {place!r:.40}", Given(sent_to(place), outside=True)
    steps = {f"/{n}": Reply(status=307, headers={"Location": f"/{n + 1}"}) for n in range(9)}
    yield "sent on and on", Given({**steps, **sent_to("/0")})
    near = {"/near": Reply(RIGHT)}
    yield "sent to the right file", Given({**near, **sent_to("/near")}, right=(RIGHT,))
    yield "sent to another file", Given({"/near": Reply(RIGHT[::-1]), **sent_to("/near")})


def addresses() -> Iterator[tuple[str, Given]]:
    zenodo = [
        "file:///", "ftp://zenodo.org", "zenodo.org", "/srv/zenodo", "javascript:1", "data:,x",
        "http://zenodo.example", "https://", "https://[::1", "https://x:99999", "https://a b",
        "https://\x1b[2J", "http://127.0.0.1.example", "unix:///run/x.sock", "ws://127.0.0.1", "\n",
        "file:///me:pa55@host?token=abc",
    ]  # fmt: skip
    for cached, one in itertools.product((False, True), zenodo):
        where = "with the file here" if cached else "without"
        yield f"Zenodo at {one!r}, {where}", Given(zenodo=one, cached=cached)
    urls = [
        "http://example.invalid/x.pt", "http://10.0.0.1/x.pt", "https://x:99999/x.pt",
        "https://[::1/x.pt", "http://127.0.0.1.example.invalid/x.pt", "https://\x1b[2J/x.pt",
        "https://:443/x.pt", "http://me:pa55@example.invalid/x.pt?token=abc",
    ]  # fmt: skip
    for url in urls:
        yield f"model at {url!r:.40}", Given(source={"kind": "url", "url": url})
    for url in ("{server}/..%2f..%2fvictim%2fx.pt", "{server}/%00.pt", "{server}/%1b%5b2J.pt"):
        path = url.removeprefix("{server}")
        source = {"kind": "url", "url": url}
        yield f"model called {path}", Given({path: Reply(RIGHT)}, source=source, right=(RIGHT,))


def named(parts: Iterable[Callable[[], Iterator[tuple[str, Given]]]]) -> Iterator[Case]:
    """Cases of what the parts give by name."""
    for part in parts:
        for name, given in part():
            EXPECTED[name] = given.right
            yield Case(name, partial(_prepared, given))


EXPECTED: dict[str, tuple[bytes, ...]] = {}
"""What may be served, by case."""


def _prepared(given: Given, room: Room) -> Given:
    for name, content in given.files.items():
        path = room.out / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)
    return given


def give(given: Given, room: Room) -> bytes:
    """Ask for the model's file, for the list of models, or for an entry to be added."""
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        _limited(patch, given, room, server)
        entry = index.find(PLANARIA)
        if given.cached:
            server.record({"model_best.pt": RIGHT})
            pull.local_file(entry)
        patch.setenv(ZENODO_VARIABLE, given.zenodo or server.url)
        port = server.url.rpartition(":")[2]
        for path, reply in given.replies.items():
            headers = {n: v.replace("{port}", port) for n, v in reply.headers.items()}
            server.replies[path] = Reply(**{**vars(reply), "headers": headers})
        if given.ask == "add":
            return adding.add_entry(room.out / "home" / "given.json").id.encode()
        if given.ask == "list":
            return b"listed" if PLANARIA in index.entries() else b"lost"
        if given.source:
            source = {n: v.replace("{server}", server.url) for n, v in given.source.items()}
            document = entry.model_dump(mode="json") | {"source": source}
            entry = parse_entry(json.dumps(document), "x")
        there = pull.local_file(entry)
        if not there.resolve().is_relative_to(room.out.resolve()):
            return b"outside: " + str(there).encode()
        return there.read_bytes()


def _limited(patch: pytest.MonkeyPatch, given: Given, room: Room, server: Server) -> None:
    patch.setenv(directories.HOME_VARIABLE, str(room.out / "home"))
    patch.setenv(directories.CACHE_VARIABLE, str(room.out / "cache"))
    patch.setenv("NO_PROXY", "*")
    patch.setenv(ZENODO_VARIABLE, server.url)
    for module, values in LIMITS.items():
        for name, value in values.items():
            patch.setattr(module, name, value)
    if given.outside:
        patch.setattr(web_address, "is_inner", lambda one: one != "127.0.0.1" and is_inner(one))


def lie(case: Case, came: bytes) -> str | None:
    """Whether something else was served than the model's file."""
    if came in EXPECTED[case.name]:
        return None
    return f"served {came[:60]!r}, expected {'the file' if EXPECTED[case.name] else 'a refusal'}"


PARTS = (listings, contents, answers, redirects, addresses)
KIND = HostileKind("zoo server: record, listing, file", lambda: named(PARTS), give, lie)

"""Requests that reach for files, sessions and pages that are not theirs, or are hardly HTTP."""

import base64
from collections.abc import Iterator

from tests.hostile.raw_requests import Ask, form, request, upload

PASSWORD = "correct horse battery"
PARTS_OF_JOBS = ("", "/events", "/result", "/input", "/report")
NO_IDS = {
    "above": "..",
    "far above": "../../../../victim/precious.txt",
    "escaped": "%2e%2e%2f%2e%2e%2f%2e%2e%2fvictim%2fprecious.txt",
    "escaped twice": "%252e%252e%252fvictim",
    "backslashes": "..%5c..%5cvictim%5cprecious.txt",
    "an absolute path": "%2f{victim}",
    "zero byte": "{own}%00.tif",
    "line end": "{own}%0d%0ax-injected:%20yes",
    "no UTF-8": "%ff%fe%c0%af",
    "a star": "*",
    "a question": "{own}%3fx=1",
    "a folder of jobs": ".",
    "own, above, foreign": "{own}%2f..%2f{foreign}",
    "long": "a" * 20_000,
    "capitals": "ABCDEF0123456789ABCDEF0123456789",
    "nothing": "",
    "null": "null",
    "a number": "-1",
    "wide digits": "%EF%BC%91" * 32,
}


def paths() -> Iterator[tuple[str, Ask]]:
    """Ids of jobs that are paths, or another's."""
    for number, (name, one) in enumerate(NO_IDS.items()):
        part = PARTS_OF_JOBS[number % len(PARTS_OF_JOBS)]
        yield f"{name}{part}", Ask((request("GET", f"/api/jobs/{one}{part}"),))
        yield f"{name}, deleted", Ask((request("DELETE", f"/api/jobs/{one}"),))
    for part in PARTS_OF_JOBS:
        yield f"another's{part}", Ask((request("GET", f"/api/jobs/{{foreign}}{part}"),))
        path = f"/api/jobs/{{foreign}}{part}"
        yield f"another's{part}, without a session", Ask((request("GET", path, cookie=False),))
    yield "another's, deleted", Ask((request("DELETE", "/api/jobs/{foreign}"),))
    yield "another's reliability", Ask((request("GET", "/api/jobs/{foreign}/reliability"),))
    yield "all of another's", Ask((request("GET", "/api/jobs?session={foreign}"),), may=(200,))


def places() -> Iterator[tuple[str, Ask]]:
    """Files beside the page, the samples and the models."""
    for path in (
        "/../serve/server", "/../../victim/precious.txt", "/%2e%2e/%2e%2e/victim/precious.txt",
        "/..%2f..%2fvictim%2fprecious.txt", "/..%5c..%5cvictim%5cprecious.txt", "//etc/passwd",
        "/assets/../../serve/jobs/{foreign}/image.tif", "/%2e%2e/serve/jobs/{foreign}/job.json",
        "/{victim}", "/%2f{victim}", "/index.html%00.js", "/.git/config", "/%2e%2e%00/", "/%",
        "/index.html/../../../victim/precious.txt", "file://{victim}", "http://evil.example/",
        "/api/samples/..%2f..%2fdata", "/api/samples/%2e%2e", "/api/samples/sr.tif",
        "/api/samples/" + "s" * 5000, "/api/models/..%2f..%2fvictim", "/api/models/%2fetc%2fpasswd",
        "/api/models/%0d%0ax-injected: yes", "/api/models/" + "m" * 5000, "/api/", "/api",
        "/api//jobs",
    ):  # fmt: skip
        # An address of another server in the first line is this server's path all the same.
        may = (200,) if path in ("http://evil.example/", "file://{victim}") else ()
        yield path[:60], Ask((request("GET", path),), may=may)


def methods() -> Iterator[tuple[str, Ask]]:
    """Methods that a route does not have."""
    for method in ("PUT", "PATCH", "POST", "TRACE", "CONNECT", "PROPFIND", "X" * 3000, "get"):
        yield method[:20], Ask((request(method, "/api/jobs/{own}"),))
    yield "HEAD of a result", Ask((request("HEAD", "/api/jobs/{foreign}/result"),))
    yield "GET to restore", Ask((request("GET", "/api/restore"),))
    yield "GET to sign in", Ask((request("GET", "/api/sign-in"),))


def hosts() -> Iterator[tuple[str, Ask]]:
    """Names that are not this server's, as a page elsewhere has whose name leads here."""
    for host in (
        b"evil.example", b"evil.example:80", b"", b"127.0.0.1.evil.example",
        b"localhost.evil.example",
        b"evil@127.0.0.1", b"localhost@evil.example", b"[::1", b"127.0.0.1 evil.example",
        b"0x7f000001.",
        b"\xff\xfe", b"localhost\tevil", b"e" * 5000, b"127.0.0.1/..", b"2130706433.evil.example",
    ):  # fmt: skip
        name = host.decode("latin-1")[:40]
        yield f"asked, {name!r}", Ask((request("GET", "/api/jobs", host=host),))
        yield f"given, {name!r}", Ask((upload(form()).replace(b"{host}", host),))
    yield "none", Ask((request("GET", "/api/jobs", host=None),))
    yield "two", Ask((request("GET", "/api/jobs", "host: evil.example"),))
    forwarded = request("GET", "/api/jobs", "x-forwarded-host: localhost", host=b"evil.example")
    yield "forwarded", Ask((forwarded,))


def origins() -> Iterator[tuple[str, Ask]]:
    """What other sites' pages let a browser send."""
    said = (
        "origin: http://evil.example", "origin: null", "origin: http://{host}.evil.example",
        "origin: http://127.0.0.1:1", "origin: http://localhost", "origin: file://",
        "origin: http://evil.example/{host}", "origin: http://{host}@evil.example",
        "sec-fetch-site: cross-site", "sec-fetch-site: same-site", "sec-fetch-site: CROSS-SITE",
        "sec-fetch-site: x", "sec-fetch-site: same-origin, cross-site", "origin: ",
    )  # fmt: skip
    for one in said:
        yield f"restore, {one}", Ask((upload(form(), one),))
        yield f"delete, {one}", Ask((request("DELETE", "/api/jobs/{own}", one),))
    both = ("origin: http://evil.example", "sec-fetch-site: cross-site")
    yield "sign in", Ask((request("POST", "/api/sign-in", *both),))
    simple = upload(form(), both[1], kind="text/plain")
    yield "a form that needs no preflight", Ask((simple,))
    asked = ("access-control-request-method: POST", *both)
    yield "a preflight", Ask((request("OPTIONS", "/api/restore", *asked),))


def cookies() -> Iterator[tuple[str, Ask]]:
    """Cookies that are guessed, copied, or many."""
    for name, value in {
        "empty": "", "short": "a", "a path": "../../{foreign}", "another's id": "{foreign}",
        "a star": "*" * 43, "SQL": "' OR 1=1 --", "guessed": "A" * 43, "long": "A" * 50_000,
        "escaped": "%41" * 43, "a hash": "0" * 64, "quoted": '"' + "A" * 43 + '"',
        "no ASCII": "\xe9" * 43,
    }.items():  # fmt: skip
        line = f"cookie: unifmir-session={value}".encode("latin-1")
        yield name, Ask((request("GET", "/api/jobs/{foreign}/input", line, cookie=False),))
        listed = request("GET", "/api/jobs", line, cookie=False)
        yield f"{name}, listed", Ask((listed,), may=(200,))
    two = b"cookie: {cookie}; unifmir-session=" + b"A" * 43
    yield "two", Ask((request("GET", "/api/jobs/{foreign}", two, cookie=False),))
    many = "; ".join(f"a{number}=b" for number in range(2000))
    yield "many", Ask((request("GET", "/api/jobs/{foreign}", f"cookie: {many}", cookie=False),))


def passwords() -> Iterator[tuple[str, Ask]]:
    """Requests of who has not signed in."""
    options = {"password": PASSWORD}
    basic = base64.b64encode(b":wrong").decode()
    for name, line in {
        "none": "", "wrong": "authorization: Bearer wrong", "empty": "authorization: ",
        "half": f"authorization: Bearer {PASSWORD[:-1]}",
        "longer": f"authorization: Bearer {PASSWORD}x",
        "no Basic": "authorization: Basic %%%", "wrong Basic": f"authorization: Basic {basic}",
        "long": "authorization: Bearer " + "x" * 40_000,
        "Digest": f"authorization: Digest {PASSWORD}",
        "forged": "cookie: unifmir-signed-in=" + "0" * 64,
        "no cookie": "cookie: unifmir-signed-in=",
        "no ASCII": "authorization: Bearer \xff\xfe", "in the address": "x-password: " + PASSWORD,
    }.items():  # fmt: skip
        lines = (line.encode("latin-1"),) if line else ()
        asked = request("GET", f"/api/jobs?password={PASSWORD[:3]}", *lines)
        yield name, Ask((asked,), options=options)
    for path in ("/api/docs", "/api/openapi.json", "/api/about", "/api/samples/sr", "/api/x"):
        yield path, Ask((request("GET", path),), options=options)
    yield "an upload", Ask((upload(form()),), options=options)
    yield "signing in", Ask((request("POST", "/api/sign-in"),), options=options)


def ranges() -> Iterator[tuple[str, Ask]]:
    """Parts of a result that are none, or very many."""
    for name, value in {
        "all": "bytes=0-", "the end": "bytes=-1", "behind": "bytes=99999999-",
        "turned": "bytes=5-2",
        "letters": "bytes=a-b", "other units": "lines=0-1", "empty": "bytes=", "none": "bytes=-",
        "negative": "bytes=--5", "huge": "bytes=0-" + "9" * 400,
        "many": "bytes=" + ",".join(["0-"] * 3000),
        "one byte many times": "bytes=" + ",".join(f"{n}-{n}" for n in range(2000)),
        "commas": "bytes=" + "," * 9000, "zero": "bytes=0-0",
        "spaces": "bytes=" + " " * 9000 + "0-",
        "not whole": "bytes=0.5-1.5", "injected": "bytes=0-1\r\n x-injected: yes",
    }.items():  # fmt: skip
        asked = request("GET", "/api/jobs/{own}/result", f"range: {value}")
        yield name, Ask((asked,), may=(200, 206))
    asked = request("GET", "/api/jobs/{foreign}/result", "range: bytes=0-3", 'if-range: "*"')
    yield "another's", Ask((asked,))


def events() -> Iterator[tuple[str, Ask]]:
    """Streams of events that are another's, left, or asked for in odd ways."""
    path = "/api/jobs/{own}/events"
    for name, line in {
        "a long last id": "last-event-id: " + "9" * 9000, "an id of letters": "last-event-id: ../x",
        "nothing accepted": "accept: image/png", "a range": "range: bytes=0-1",
    }.items():  # fmt: skip
        yield name, Ask((request("GET", path, line),), may=(200,))
    left = tuple(request("GET", path) for _ in range(30))
    yield "left at once", Ask(left, half=True)
    yield "asked for thirty times over one connection", Ask(left, may=(200,))
    yield (
        "another's, with an id",
        Ask((request("GET", "/api/jobs/{foreign}/events", "last-event-id: 1"),)),
    )
    yield "posted", Ask((request("POST", path),))


def heads() -> Iterator[tuple[str, Ask]]:
    """Heads of requests that are no HTTP, very long, or never end."""
    plain = request("GET", "/api/about")
    many = [f"x-{number}: y" for number in range(20_000)]
    raw: dict[str, tuple[bytes, tuple[int, ...]]] = {
        "many headers": (request("GET", "/api/jobs/{foreign}", *many), ()),
        "a long header": (request("GET", "/api/jobs/{foreign}", "x: " + "y" * 2_000_000), ()),
        "a long address": (request("GET", "/api/jobs/" + "a" * 300_000), ()),
        "a folded header": (request("GET", "/api/jobs/{foreign}", "x: a\r\n b"), ()),
        "a zero byte": (request("GET", "/api/jobs/{foreign}", b"x: a\0b"), ()),
        "a name of spaces": (request("GET", "/api/jobs/{foreign}", " x : a"), ()),
        "no colon": (request("GET", "/api/jobs/{foreign}", "xyz"), ()),
        "HTTP 9": (plain.replace(b"HTTP/1.1", b"HTTP/9.9"), ()),
        "no version": (plain.replace(b" HTTP/1.1", b""), ()),
        "line ends of Unix": (request("GET", "/api/jobs/{foreign}").replace(b"\r\n", b"\n"), ()),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), ()),
        "HTTP 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100), ()),
        "zeros": (bytes(100_000), ()),
        "a web socket": (
            request(
                "GET",
                "/api/jobs/{foreign}/events",
                "upgrade: websocket",
                "sec-websocket-version: 13",
            ),
            (),
        ),
        "two lengths": (upload(form(), "content-length: 5", "content-length: 900"), ()),
        "a length and chunks": (
            upload(form(), "content-length: 5", "transfer-encoding: chunked"),
            (),
        ),
        "chunks of chunks": (upload(form(), "transfer-encoding: chunked, chunked"), ()),
        "a negative length": (upload(form(), "content-length: -5"), ()),
        "a length of letters": (upload(form(), "content-length: 0x10"), ()),
        "a length of wide digits": (upload(form(), "content-length: \uff11\uff10"), ()),
        "a length of 5000 digits": (upload(form(), "content-length: " + "9" * 5000), ()),
        "a chunk without a size": (
            upload(b"zz\r\nabc\r\n0\r\n\r\n", "transfer-encoding: chunked"),
            (),
        ),
        "a chunk of all": (upload(b"f" * 16 + b"\r\nabc", "transfer-encoding: chunked"), ()),
        "an unknown coding": (upload(form(), "transfer-encoding: gzip"), ()),
        "packed": (upload(form(), "content-encoding: gzip"), (202,)),
        "waits to be asked": (upload(form(), "expect: 100-continue"), (202,)),
        "two requests in one": (
            request("GET", "/api/about").replace(b"connection: close\r\n", b"")
            + request("GET", "/api/jobs/{foreign}/input"),
            (200,),
        ),
    }
    for name, (sent, may) in raw.items():
        yield name, Ask((sent,), may=may)
    yield "never ends", Ask((plain[:40],), half=True)
    yield "letter by letter, then left", Ask(tuple(bytes([one]) for one in plain[:60]), half=True)


PARTS = (paths, places, methods, hosts, origins, cookies, passwords, ranges, events, heads)

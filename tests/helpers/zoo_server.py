"""A server on this machine in place of Zenodo, that can behave as badly as servers do."""

import contextlib
import hashlib
import io
import json
import re
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from unifmir.zoo.catalogue import directories

PLANARIA = "unifmir-denoise-planaria"
RECORD = "/api/records/10579778"
FILE = f"{RECORD}/files/model_best.pt/content"


@dataclass
class Reply:
    """What the server answers for one path."""

    content: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    etag: str | None = '"v1"'
    cut_after: int | None = None
    """Bytes after which the connection ends, once."""
    failures: list[int] = field(default_factory=list)
    """Statuses answered first, one a request."""
    ranges: bool = True
    length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    """Further ones, or others in place of the server's own."""
    act: Callable[[BufferedIOBase], None] | None = None
    """Writes all of the answer itself, line and headers included, in place of the rest."""


@dataclass
class Server:
    """A server's address, what it answers, and what it was asked."""

    url: str
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def record(self, files: dict[str, bytes], *, number: int = 10579778, **reply: Any) -> None:
        """Serve a Zenodo record with these files."""
        record = f"/api/records/{number}"
        listing = [
            {
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": "https://zenodo.invalid/elsewhere"},
            }
            for name, content in files.items()
        ]
        self.replies[record] = Reply(
            json.dumps({"id": number, "files": listing}).encode(), content_type="application/json"
        )
        for name, content in files.items():
            self.replies[f"{record}/files/{name}/content"] = Reply(content, **reply)

    def ranges(self) -> list[str | None]:
        """The Range header of each request for the file."""
        return [headers.get("Range") for path, headers in self.asked if path == FILE]


class Http(ThreadingHTTPServer):
    """The server itself, on a free port of this machine."""

    daemon_threads = True

    def __init__(self, encryption: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        scheme = "https" if encryption else "http"
        self.script = Server(f"{scheme}://127.0.0.1:{self.server_address[1]}")
        if encryption:
            self.socket = encryption.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: object) -> None:
        """Say nothing about clients that hang up: the tests make them."""


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's script says."""

    protocol_version = "HTTP/1.1"
    server: Http

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        script = self.server.script
        script.asked.append((self.path, dict(self.headers)))
        reply = script.replies.get(self.path, Reply(b"no such page", 404))
        if reply.act is not None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                reply.act(self.wfile)
            return
        if reply.failures:
            self.head(reply.failures.pop(0), {"Content-Length": "0"})
            return
        start = self.start_of(reply)
        body = reply.content[start:]
        self.head(206 if start else reply.status, self.headers_of(reply, start))
        if reply.cut_after is not None:
            body, reply.cut_after = body[: reply.cut_after], None
            self.close_connection = True
        with contextlib.suppress(OSError):  # who asked may have seen enough
            self.wfile.write(body)

    def start_of(self, reply: Reply) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, reply.etag)
        return int(wanted[1]) if wanted and reply.ranges and same else 0

    def headers_of(self, reply: Reply, start: int) -> dict[str, str]:
        end = len(reply.content)
        headers = {"Content-Type": reply.content_type}
        if reply.etag:
            headers["ETag"] = reply.etag
        if start:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{end}"
        if reply.length:
            return {**headers, "Content-Length": str(end - start), **reply.headers}
        self.close_connection = True
        return {**headers, "Connection": "close", **reply.headers}

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving(encryption: ssl.SSLContext | None = None) -> Iterator[Server]:
    """The server, running meanwhile."""
    http = Http(encryption)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield http.script
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in members.items():
            packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def left() -> list[str]:
    """Names of what lies in the cache."""
    return sorted(path.name for path in directories.cache().rglob("*") if path.is_file())

"""Requests as bytes: what a case of `request_inputs` sends, and what may come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FOREIGN = b"tiles 1\nprivate: the image of another session\n"
"""Image of another session, which a stand-in of a job restores."""
OWN = b"tiles 1\nthe caller's own image\n"


@dataclass(frozen=True)
class Ask:
    """What is sent.

    `{host}`, `{cookie}` (the caller's), `{own}` and `{foreign}` (ids of jobs), and `{victim}` (a
    path) are filled in.
    """

    pieces: tuple[bytes, ...]
    may: tuple[int, ...] = ()
    """Statuses with which it may be served; others of 4xx are refusals."""
    pause_s: float = 0.0
    """Time after each piece."""
    half: bool = False
    """Whether the connection is left in the middle."""
    real: bool = False
    """Whether the job is the real process."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the server."""


def request(
    method: str,
    path: str | bytes,
    *headers: str | bytes,
    body: bytes = b"",
    host: bytes | None = b"{host}",
    cookie: bool = True,
) -> bytes:
    """A request whose connection ends with the answer."""
    at = path.encode() if isinstance(path, str) else path
    lines = [method.encode() + b" " + at + b" HTTP/1.1"]
    lines += [b"host: " + host] if host is not None else []
    lines += [b"cookie: {cookie}"] if cookie else []
    lines += [one.encode() if isinstance(one, str) else one for one in headers]
    given = b"\n".join(lines).lower()
    if body and b"content-length" not in given and b"transfer-encoding" not in given:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"connection: close", b"", body])


def form(
    image: bytes = OWN,
    settings: bytes = b'{"task": "sr"}',
    name: bytes = b"a.tif",
    *,
    more: bytes = b"",
) -> bytes:
    """A form with the boundary B."""
    return (
        b'--B\r\ncontent-disposition: form-data; name="settings"\r\n\r\n'
        + settings
        + b'\r\n--B\r\ncontent-disposition: form-data; name="image"; filename="'
        + name
        + b'"\r\n\r\n'
        + image
        + more
        + b"\r\n--B--\r\n"
    )


def upload(
    body: bytes, *headers: str | bytes, kind: str = "multipart/form-data; boundary=B"
) -> bytes:
    """A request that gives an image."""
    return request("POST", "/api/restore", f"content-type: {kind}", *headers, body=body)

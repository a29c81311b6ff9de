"""One request to a server: over connections that are watched, to addresses that are allowed.

Redirects are followed here and not by requests, so that each address is looked at. A watchman ends
the connection where the next piece is late: a limit on each wait alone is kept by a server that
sends a byte now and then.
"""

import contextlib
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection, HTTPSConnection

from unifmir import web_address
from unifmir.errors import AddressError, ZooError
from unifmir.shown_text import without_secrets
from unifmir.web_address import checked_address, host_of, names_inner, numbers_of, require_meant
from unifmir.zoo.catalogue.connection_errors import (
    CONNECT_S,
    Interrupted,
    is_timeout,
    raise_told,
)

TIMEOUT_S = (CONNECT_S, 20.0)
"""Limits for connecting, and of each wait."""
PIECE_BYTES = 1 << 16
PIECE_S = 20.0
"""Time that the beginning of an answer, and then each piece of it, may take: 3 kB/s."""
LONGEST_S = 24 * 3600.0
"""Time that an answer may take in all."""
MAX_REDIRECTS = 5


class _WithoutSecrets(logging.Filter):
    """Keeps passwords and tokens of addresses out of what the library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record; all pass."""
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutSecrets())


class Answer:
    """A server's answer, whose bytes come in pieces, in time."""

    def __init__(self, url: str, response: requests.Response, line: "_Line") -> None:
        self.url = url
        self.status = response.status_code
        self.headers = response.headers
        self._response = response
        self._line = line

    def pieces(self) -> Iterator[bytes]:
        """Bytes as they come.

        Raises
        ------
        Interrupted
            The connection was cut.
        ZooError
            The server is too slow.
        """
        # As sent: what a server compresses though it was asked not to may unpack to anything.
        stream = self._response.raw.stream(PIECE_BYTES, decode_content=False)
        fresh = 0
        while True:
            with self._line.told(self.url):
                piece = next(stream, None)
            if piece is None:
                return
            fresh += len(piece)
            if fresh >= PIECE_BYTES:  # chunks may be of one byte
                self._line.extend()
                fresh = 0
            yield piece


@contextmanager
def answer(
    url: str,
    headers: dict[str, str],
    *,
    longest_s: float = LONGEST_S,
    named_by: str | None = None,
) -> Iterator[Answer]:
    """Ask a server, and follow it to where it sends us.

    Parameters
    ----------
    url : str
        https, or http on this machine.
    headers : dict of str
    longest_s : float
        Time that all of it may take.
    named_by : str, optional
        Address of the server that named this one, where the user did not.

    Raises
    ------
    Interrupted
        The server cannot be reached, or is busy.
    ZooError
        The address is refused, its certificate is, or the server is too slow or has no such file.
    """
    origin = place = checked_address(url)
    with _Line(longest_s, named_by=named_by) as line:
        for _ in range(MAX_REDIRECTS + 1):
            line.direct(origin, place)
            with line.told(place):
                response = line.session.get(
                    _without_user(place),
                    headers={"Accept-Encoding": "identity", **headers},
                    stream=True,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                    auth=_auth(origin, place),
                )
            with response:
                if not response.is_redirect:
                    line.extend()
                    _check_status(url, response)
                    yield Answer(url, response, line)
                    return
                place = checked_address(response.headers["Location"], redirected_from=place)
        raise ZooError(f"{url} sends us on more than {MAX_REDIRECTS} times: refused")


@contextmanager
def exchange(
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    wait_s: float,
    named_by: str | None = None,
) -> Iterator[Answer]:
    """Send a server something: it is followed nowhere, and whatever it answers is the answer.

    Parameters
    ----------
    method : str
    url : str
        https, or http on this machine.
    headers : dict of str
    body : bytes
    wait_s : float
        Time that a piece of the body may take, or the beginning of the answer.
    named_by : str, optional
        Address of the server that named this one, where the user did not.

    Raises
    ------
    Interrupted
        The server cannot be reached, is too slow, or the connection was cut: what was sent may
        have arrived.
    ZooError
        The address is refused, or its certificate is.
    """
    with _Line(LONGEST_S, wait_s=wait_s, named_by=named_by) as line:
        line.direct(url, url)
        with line.told(url):
            response = line.session.request(
                method,
                _without_user(url),
                headers={"Accept-Encoding": "identity", **headers},
                data=_Body(body, line) if body else b"",
                stream=True,
                timeout=(TIMEOUT_S[0], wait_s),
                allow_redirects=False,
                auth=_auth(url, url),
            )
        with response:
            line.extend()
            yield Answer(url, response, line)


class _Line(contextlib.AbstractContextManager["_Line"]):
    """The connections of one request, and the watchman that ends them when they are late."""

    def __init__(
        self, longest_s: float, *, wait_s: float | None = None, named_by: str | None = None
    ) -> None:
        self._wait_s = wait_s
        self._named_by = named_by
        self.session = requests.Session()
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, _Adapter(self))
        self._sockets: list[socket.socket] = []
        self._origin = self._place = ""
        self._origin_is_inner = None if named_by is None else is_in_here(named_by)
        self._end = time.monotonic() + longest_s
        self._due = min(self._end, time.monotonic() + TIMEOUT_S[0] + (wait_s or PIECE_S))
        self._refusal: AddressError | None = None
        self._is_late = False
        self._is_over = threading.Event()
        self._watchman = threading.Thread(target=self._watch, daemon=True)
        self._watchman.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watchman.join()
        self.session.close()
        for held in self._sockets:
            held.close()

    def direct(self, origin: str, place: str) -> None:
        """Say what is asked for next, and what the user asked for."""
        self._origin, self._place = self._named_by or origin, place

    def extend(self) -> None:
        """Give the server time for the next piece."""
        self._due = min(self._end, time.monotonic() + (self._wait_s or PIECE_S))

    def open(self, connect: Callable[[], socket.socket], host: str | None) -> socket.socket:
        """Open a connection and watch over it.

        Parameters
        ----------
        connect : callable
        host : str, optional
            Name of the server; None where a proxy connects to it, whose own address says nothing:
            then only a server that is named by its number is known to be in here.
        """
        if host is None:
            self._judge(names_inner(self._place))
        else:  # before anything is sent there
            self._judge_numbers(host, numbers_of(host.strip("[]")))
        opened = connect()
        # A second handle: encryption takes the first one away.
        self._sockets.append(opened.dup())
        if host is not None:
            try:
                # Not asked again: a name may stand for another machine by now.
                self._judge_numbers(host, {str(opened.getpeername()[0])})
            except OSError:
                opened.close()
                raise
        return opened

    def _judge_numbers(self, host: str, numbers: set[str]) -> None:
        self._judge(any(map(web_address.is_inner, numbers)))
        try:
            require_meant(host.strip("[]"), numbers)
        except AddressError as error:
            self._refusal = error
            raise OSError("refused") from None

    def _judge(self, inner: bool) -> None:
        """Refuse to go on where a server out there sent us into our own network."""
        if self._origin_is_inner is None:
            self._origin_is_inner = inner
        elif inner and not self._origin_is_inner:
            self._refusal = AddressError(
                f"{self._origin} sends us to {self._place}, a machine of your own network: refused"
            )
            raise OSError("refused")  # which the libraries pass on

    @contextmanager
    def told(self, url: str) -> Iterator[None]:
        """Errors of the libraries, told as ours."""
        try:
            yield
            if self._is_late:  # the end of the connection may look like that of the file
                raise TimeoutError
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,  # what the libraries cannot read of an answer, and addresses that are none
        ) as error:
            if self._refusal is not None:
                raise self._refusal from None
            if self._is_late or is_timeout(error):
                if self._wait_s is not None:  # of an exchange, which may be tried again
                    raise Interrupted(f"the server did not answer in {self._wait_s:g} s") from None
                raise ZooError(
                    f"{url}: the server is too slow: expected {PIECE_BYTES} bytes within "
                    f"{PIECE_S:g} s; try again later"
                ) from None
            raise_told(url, error)

    def _watch(self) -> None:
        while not self._is_over.wait(min(0.2, PIECE_S / 4)):
            if time.monotonic() > self._due:
                self._is_late = True
                for held in self._sockets:
                    with contextlib.suppress(OSError):
                        held.shutdown(socket.SHUT_RDWR)


class _Body(io.BytesIO):
    """Body of a request, sent in pieces that the watchman counts."""

    def __init__(self, content: bytes, line: _Line) -> None:
        super().__init__(content)
        self._line = line

    def read(self, size: int | None = -1) -> bytes:
        self._line.extend()
        return super().read(size)


class _Adapter(HTTPAdapter):
    """requests' own way to servers, with connections that the line holds."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._line, direct=True)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _pools(self._line, direct=False)
        return manager


def _pools(line: _Line, *, direct: bool) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Classes of urllib3 whose connections are held by a line from their beginning."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return line.open(super()._new_conn, self.host if direct else None)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return line.open(super()._new_conn, self.host if direct else None)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


def is_in_here(server: str) -> bool:
    """Whether a server is of the user's own network; one that cannot be found is not."""
    try:
        return any(map(web_address.is_inner, numbers_of(host_of(server))))
    except OSError:
        return False


class _NoAuth(AuthBase):
    """No password, also not the one that a .netrc file has for this server."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _auth(origin: str, place: str) -> AuthBase:
    """The name and password in the user's own address, for its own server alone."""
    first, now = urlsplit(origin), urlsplit(place)
    user, password = get_auth_from_url(origin)
    same = (first.scheme, first.hostname, first.port) == (now.scheme, now.hostname, now.port)
    return HTTPBasicAuth(user, password) if user and same else _NoAuth()


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _check_status(url: str, response: requests.Response) -> None:
    status, reason = response.status_code, str(response.reason)[:80]
    if status == requests.codes.too_many or status >= 500:
        raise Interrupted(f"the server answered {status} {reason}")
    if status in (404, 410):
        raise ZooError(f"{url} is not there ({status}): was it moved or withdrawn?")
    if status not in (200, 206, 416):
        raise ZooError(f"{url}: the server answered {status} {reason}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ZooError(
            f"{url}: the server sent it compressed ({encoding[:40]}), though it was asked not to"
        )

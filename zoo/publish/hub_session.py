"""The connections of huggingface_hub, held to what those of the zoo are held to.

The library follows redirects, pages and places of storage that a server names, with its token where
it likes, and reads answers of any length. Its session runs our hooks: before each request, also
those that it is sent on to, and where the pieces of an answer come in. The native client of its
newer storage (Xet) has no such hooks and may wait for minutes, so that files go over HTTP.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from unifmir.errors import AddressError, ZooError
from unifmir.web_address import checked_address, host_of, is_inner, require_meant
from unifmir.zoo.catalogue.connection import is_in_here
from unifmir.zoo.publish.web_service import ANSWER_S, MAX_ANSWER_BYTES


@contextmanager
def held_session(server: str) -> Iterator[None]:
    """Hold the library's connections meanwhile, for the token of one server.

    Raises
    ------
    ZooError
        An answer is too long or too slow, or leads where nobody is asked, or the token elsewhere.
    """
    from huggingface_hub import constants, get_session

    inner = is_in_here(server)

    def check(request: Any) -> None:
        place = str(request.url)
        checked_address(place, redirected_from=server)
        request.extensions["trace"] = _judge(place, server, inner=inner)
        if urlsplit(place)[:2] == urlsplit(server)[:2]:
            return
        if "authorization" in request.headers:
            raise ZooError(f"{server} sends us to {place}, another server: the token is not sent")
        if not inner and is_in_here(place):
            raise _led_inside(server, place)

    session = get_session()
    kept, native = session.event_hooks, constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True
    session.event_hooks = {
        "request": [*kept["request"], check],
        "response": [*kept["response"], _bound],
    }
    try:
        yield
    finally:
        session.event_hooks, constants.HF_HUB_DISABLE_XET = kept, native


def _judge(place: str, server: str, *, inner: bool) -> Callable[[str, dict[str, Any]], None]:
    """Look at the machine that is connected to, before anything is sent there.

    The client tells of each connection. One to a proxy is another host than the address has.
    """
    asked: list[str] = []

    def look(event: str, told: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            asked.append(str(told["host"]))
        elif event == "connection.connect_tcp.complete" and asked[-1] == host_of(place):
            number = str(told["return_value"].get_extra_info("server_addr")[0])
            try:
                require_meant(host_of(place), {number})
                if not inner and is_inner(number):
                    raise _led_inside(server, place)
            except AddressError:
                told["return_value"].close()
                raise

    return look


def _led_inside(server: str, place: str) -> AddressError:
    return AddressError(f"{server} sends us to {place}, a machine of your own network: refused")


def _bound(response: Any) -> None:
    """Have the body of an answer end in time, and before it is too long, as sent and unpacked."""
    end = time.monotonic() + ANSWER_S
    for name in ("iter_raw", "iter_bytes"):
        setattr(response, name, _bounded(getattr(response, name), str(response.url), end))


def _bounded(given: Callable[..., Iterator[bytes]], url: str, end: float) -> Any:
    def pieces(chunk_size: int | None = None) -> Iterator[bytes]:
        size = 0
        for piece in given(chunk_size):
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise ZooError(f"{url} answered with more than {MAX_ANSWER_BYTES} bytes: refused")
            if time.monotonic() > end:
                raise ZooError(f"{url}: the server is too slow: refused after {ANSWER_S:g} s")
            yield piece

    return pieces

"""Errors of the network libraries, in words for people."""

import ssl
from collections.abc import Iterator
from typing import NoReturn

import requests
import urllib3

from unifmir.errors import ZooError

CONNECT_S = 10.0
"""Limit for connecting."""


class Interrupted(Exception):  # noqa: N818 - no error: another attempt follows
    """The transfer ended early in a way that another attempt may cure."""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was made from: the libraries wrap one another's."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in found:
            continue
        found.append(one)
        waiting += [one.__cause__, one.__context__]
        waiting += [part for part in (*one.args, getattr(one, "reason", None)) if _is_error(part)]
    return iter(found)


def _is_error(value: object) -> bool:
    return isinstance(value, BaseException)


def is_timeout(error: BaseException) -> bool:
    """Whether an error of the libraries was made from a wait that was too long."""
    return any(
        isinstance(one, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError)
        for one in _causes(error)
    )


def raise_told(url: str, error: Exception) -> NoReturn:
    """Say what happened in words that a person can act on."""
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            raise ZooError(
                f"{url}: the server's certificate is refused ({one.verify_message}): it may be "
                "another server. Where your network has an authority of its own, name its file in "
                "the environment variable REQUESTS_CA_BUNDLE"
            ) from None
    if isinstance(error, requests.exceptions.ProxyError):
        raise Interrupted("the proxy cannot be reached; is HTTPS_PROXY right?") from None
    if isinstance(error, requests.exceptions.ConnectTimeout):
        raise ZooError(
            f"{url}: the server does not answer within {CONNECT_S:g} s; is there a network?"
        ) from None
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        # The exception's text is a chain of objects; the host is what a person can act on.
        raise Interrupted("the server cannot be reached (is there a network?)") from None
    if isinstance(error, requests.RequestException | ValueError):
        raise ZooError(f"{url} cannot be asked for: {str(error)[:200]}") from None
    raise Interrupted("the connection was cut") from None

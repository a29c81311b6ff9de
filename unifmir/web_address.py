"""Addresses that files and images are got from: which servers are asked.

One rule for all that is fetched. An address is https, or http on this machine. Its name leads into
the user's own network only where it says so itself, as a number or `localhost`, or where the user
names the server in `OWN_SERVERS_VARIABLE`; such a server may be asked without encryption too. What
a name stands for is looked at where it is connected to, as another answer may come the next time.

Imports no network library: addresses are looked at also where the file is on this machine.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, urljoin, urlsplit

from unifmir.errors import AddressError

OWN_SERVERS_VARIABLE = "UNIFMIR_OWN_SERVERS"
"""Environment variable with servers of the user's own network, separated by commas."""


def checked_address(url: str, *, redirected_from: str | None = None) -> str:
    """The address itself, if it is one of those that are asked.

    Parameters
    ----------
    url : str
    redirected_from : str, optional
        Address of the server that sent us there; `url` may be relative to it.

    Raises
    ------
    AddressError
        It is another kind of address, or a server elsewhere sent us into the user's own network.
    """
    if redirected_from is not None:
        url = _joined(redirected_from, url)
    if any(not letter.isprintable() or letter in " \\" for letter in url):
        raise AddressError(f"{url} cannot be asked for: an address has no spaces, \\ or controls")
    host, sent = host_of(url), f"{redirected_from} sends us to {url}" if redirected_from else url
    if _parts(url).scheme == "http" and _is_unencrypted(host):
        if redirected_from and not _is_unencrypted(host_of(redirected_from)):
            raise AddressError(f"{sent}, which is in your own network: refused")
    elif _parts(url).scheme != "https" or not host:
        raise AddressError(
            f"{sent}, which cannot be asked for: expected an address that starts with https:// "
            "(http:// only for a server on this machine). If it is a server of your own network, "
            f"name it: {OWN_SERVERS_VARIABLE}={host or 'SERVER'}"
        )
    return url


def host_of(url: str) -> str:
    """Name or number of the server in an address, in small letters; empty where it has none."""
    return _parts(url).hostname or ""


def require_meant(host: str, addresses: Iterable[str]) -> None:
    """Refuse a name that leads into the user's own network without saying so.

    Parameters
    ----------
    host : str
        Name or number of the server.
    addresses : iterable of str
        Numbers that it stands for, or the one that is connected to.

    Raises
    ------
    AddressError
    """
    inner = sorted(filter(is_inner, addresses))
    if inner and not _says_so(host):
        raise AddressError(
            f"{host} is a machine of your own network ({inner[0]}), which its name does not "
            f"say: refused. If that is meant, name it: {OWN_SERVERS_VARIABLE}={host}"
        )


def numbers_of(host: str) -> set[str]:
    """Numbers that a name stands for; OSError where there is no such server."""
    return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}


def is_inner(address: str) -> bool:
    """Whether a numeric address is one of this machine, or of a private network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return not (mapped or found).is_global


def names_inner(url: str) -> bool:
    """Whether an address names a machine of one's own network by its number."""
    try:
        return is_inner(host_of(url))
    except ValueError:
        return False


def _joined(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise _no_address(url, error) from None


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a number in range, or ValueError
    except ValueError as error:
        raise _no_address(url, error) from None
    return parts


def _no_address(url: str, error: ValueError) -> AddressError:
    return AddressError(f"{url} cannot be asked for: it is no address ({error})")


def _is_unencrypted(host: str) -> bool:
    """Whether a server may be asked without encryption."""
    number = _number(host)
    return host == "localhost" or host in _own() or (number is not None and number.is_loopback)


def _says_so(host: str) -> bool:
    return host.lower() in ("localhost", *_own()) or _number(host) is not None


def _own() -> tuple[str, ...]:
    named = os.environ.get(OWN_SERVERS_VARIABLE, "").split(",")
    return tuple(one.strip().lower() for one in named if one.strip())


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None

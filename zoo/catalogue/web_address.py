"""Addresses that files are got from, before anybody is asked: which ones are taken.

Imports no network library: the zoo looks at addresses also where the file is on this machine.
"""

import ipaddress
import os
from urllib.parse import SplitResult, urljoin, urlsplit

from unifmir.errors import ZooError

ZENODO_VARIABLE = "UNIFMIR_ZENODO_URL"
"""Address of a mirror of Zenodo."""
ZENODO_URL = "https://zenodo.org"


def zenodo_address() -> str:
    """Address of Zenodo, or of its mirror where the user names one, as `server_address`."""
    return server_address(ZENODO_VARIABLE, ZENODO_URL)


def server_address(variable: str, usual: str) -> str:
    """Address of a server: the usual one, or what an environment variable names.

    Raises
    ------
    ZooError
        What the environment variable holds is no address that servers are asked at.
    """
    named = os.environ.get(variable)
    if not named:
        return usual
    try:
        checked_address(named)
    except ZooError as error:
        raise ZooError(f"the environment variable {variable}: {error}") from None
    return named.rstrip("/")


def checked_address(url: str, *, redirected_from: str | None = None) -> str:
    """The address itself, if files are got from such ones: https, or http on this machine.

    Parameters
    ----------
    url : str
    redirected_from : str, optional
        Address of the server that sent us there; `url` may be relative to it.

    Raises
    ------
    ZooError
        It is another kind of address, or a server elsewhere sent us back to this machine.
    """
    if redirected_from is not None:
        url = _joined(redirected_from, url)
    if any(not letter.isprintable() or letter in " \\" for letter in url):
        raise ZooError(f"{url} cannot be asked for: an address has no spaces or control letters")
    parts = _parts(url)
    sent = f"{redirected_from} sends us to {url}" if redirected_from else url
    if parts.scheme == "http" and _means_this_machine(parts.hostname or ""):
        if redirected_from and not _means_this_machine(_parts(redirected_from).hostname or ""):
            raise ZooError(f"{sent}, which is on this machine: refused")
    elif parts.scheme != "https" or not parts.hostname:
        raise ZooError(
            f"{sent}, which cannot be asked for: expected an address that starts with https:// "
            "(http:// only for a server on this machine)"
        )
    return url


def is_inner(address: str) -> bool:
    """Whether a numeric address is one of this machine, or of a private network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return not (mapped or found).is_global


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


def _no_address(url: str, error: ValueError) -> ZooError:
    return ZooError(f"{url} cannot be asked for: it is no address ({error})")


def names_inner(url: str) -> bool:
    """Whether an address names a machine of one's own network by its number."""
    try:
        return is_inner(_parts(url).hostname or "")
    except ValueError:
        return False


def _means_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

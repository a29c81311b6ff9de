"""Servers that the zoo asks, which environment variables may replace."""

import os

from unifmir.errors import AddressError
from unifmir.web_address import checked_address

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
    AddressError
        What the environment variable holds is no address that servers are asked at.
    """
    named = os.environ.get(variable)
    if not named:
        return usual
    try:
        checked_address(named)
    except AddressError as error:
        raise AddressError(f"the environment variable {variable}: {error}") from None
    return named.rstrip("/")

"""Addresses of images: http and https.

An address is carried as a `Path`, which writes its two slashes as one; `url_of` gives it back.
"""

import importlib
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from unifmir.errors import ImageError, MissingExtraError

HTTP_VARIABLE = "UNIFMIR_HTTP_HOSTS"
"""Environment variable with the servers, separated by commas, that are asked without encryption."""
_SCHEMES = ("http:", "https:")


def url_of(path: Path) -> str | None:
    """The address that a path stands for; None for a file or folder."""
    scheme, *rest = path.parts or ("",)
    return f"{scheme}//{'/'.join(rest)}" if scheme.lower() in _SCHEMES and rest else None


def require_http(url: str) -> None:
    """Refuse an address that images are not read from.

    Raises
    ------
    ImageError
        It is not encrypted, and neither of this machine nor of a server that the user names.
    MissingExtraError
        What reads addresses is not installed.
    """
    _check_encrypted(url)
    try:
        importlib.import_module("fsspec.implementations.http")
    except ImportError as error:
        raise MissingExtraError(
            f"{url} needs fsspec and aiohttp: pip install 'unifmir[zarr]', or download the image"
        ) from error


def _check_encrypted(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ImageError(f"{url} is no address ({error})") from None
    named = [one.strip().lower() for one in os.environ.get(HTTP_VARIABLE, "").split(",")]
    if not host or (parts.scheme == "http" and not _is_this_machine(host) and host not in named):
        raise ImageError(
            f"{url} is not encrypted, so that anybody on the way may change the image: expected "
            f"https://. If it is a server of your own network, name it: {HTTP_VARIABLE}={host}"
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

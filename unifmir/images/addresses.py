"""Addresses of images: http and https.

An address is carried as a `Path`, which writes its two slashes as one; `url_of` gives it back.
"""

import importlib
from pathlib import Path

from unifmir.errors import MissingExtraError
from unifmir.web_address import checked_address

_SCHEMES = ("http:", "https:")


def url_of(path: Path) -> str | None:
    """The address that a path stands for; None for a file or folder."""
    scheme, *rest = path.parts or ("",)
    return f"{scheme}//{'/'.join(rest)}" if scheme.lower() in _SCHEMES and rest else None


def require_http(url: str) -> None:
    """Refuse an address that images are not read from.

    Raises
    ------
    AddressError
        It is none that is asked, as `checked_address`.
    MissingExtraError
        What reads addresses is not installed.
    """
    checked_address(url)
    try:
        importlib.import_module("fsspec.implementations.http")
    except ImportError as error:
        raise MissingExtraError(
            f"{url} needs fsspec and aiohttp: pip install 'unifmir[zarr]', or download the image"
        ) from error

"""Addresses of images: http and https.

An address is carried as a `Path`, which writes its two slashes as one; `url_of` gives it back.
"""

import importlib
from pathlib import Path

from unifmir.errors import MissingExtraError

_SCHEMES = ("http:", "https:")


def url_of(path: Path) -> str | None:
    """The address that a path stands for; None for a file or folder."""
    scheme, *rest = path.parts or ("",)
    return f"{scheme}//{'/'.join(rest)}" if scheme.lower() in _SCHEMES and rest else None


def require_http(url: str) -> None:
    """Raise MissingExtraError where what reads addresses is not installed."""
    try:
        importlib.import_module("fsspec.implementations.http")
    except ImportError as error:
        raise MissingExtraError(
            f"{url} needs fsspec and aiohttp: pip install 'unifmir[zarr]', or download the image"
        ) from error

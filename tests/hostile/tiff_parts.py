"""Images and short words that the hostile TIFF files are made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers import tiff_bytes
from tests.helpers.hostile import Room
from tests.helpers.hostile_images import ImageCase, kept_path, refused, right
from tests.helpers.tiff_bytes import (
    DESCRIPTION,
    Page,
    page,
    tiff,
)

SIDE = 48
PLANE = np.random.default_rng(8).integers(100, 900, (SIDE, SIDE), dtype=np.uint16)
STACK = np.random.default_rng(9).integers(100, 900, (3, SIDE, SIDE), dtype=np.uint16)
FLAT = np.zeros((SIDE, SIDE), np.uint16)
ADOBE_DEFLATE, LZMA, ZSTD, PACKBITS, LZW = 8, 34925, 50000, 32773, 5
JPEG, JPEG_2000, JPEG_XR, WEBP, JPEG_XL, LERC, PNG = 7, 33003, 22610, 50001, 50002, 34887, 34933


def file_of(data: bytes) -> Callable[[Room], Path]:
    return kept_path(lambda path: path.write_bytes(data), "a.tif")


def bad(name: str, *pages: Page, **keywords: Any) -> ImageCase:
    return refused(name, file_of(tiff(*pages, **keywords)))


def fine(name: str, pixels: np.ndarray, *pages: Page, **keywords: Any) -> ImageCase:
    return right(name, file_of(tiff(*pages, **keywords)), pixels)


def plane(**tags: Any) -> Page:
    """The right page, with some tags told otherwise; names are those of `tiff_bytes`."""
    return page(PLANE, tags={getattr(tiff_bytes, name): value for name, value in tags.items()})


def described(text: str | bytes, *pages: Page) -> Callable[[Room], Path]:
    data = text.encode() if isinstance(text, str) else text
    listed = list(pages) or [page(one) for one in STACK]
    first = Page(listed[0].segments, listed[0].shape, listed[0].dtype, None, {DESCRIPTION: data})
    return file_of(tiff(first, *listed[1:]))

"""Damaged files: told from good ones where possible, and reported in one way."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unifmir.errors import ImageError

MAX_BYTES = 64 * 2**30
"""Refused beyond this size once decoded, where an image is read as a whole."""
SUSPICIOUS_BYTES = 64 * 2**20
"""Decoded size from which on the file's own size is compared with it."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a reader raise into an ImageError that names the file."""
    # tifffile logs what it repairs; a file it repaired is judged by what came out.
    log = logging.getLogger("tifffile")
    was_disabled, log.disabled = log.disabled, True
    try:
        yield
    except ImageError as error:
        if str(error).startswith(path.name):
            raise
        raise ImageError(f"{path.name}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:
        # Any: readers and codecs raise whatever they stumble over (struct.error, IndexError,
        # zlib.error, imagecodecs errors, ...).
        raise ImageError(
            f"{path.name}: the image cannot be read ({type(error).__name__}: {error}). "
            "Is it complete, and does it open in Fiji?"
        ) from error
    finally:
        log.disabled = was_disabled


def check_size(path: Path, size: int) -> None:
    """Refuse to decode at once what cannot be held, or what only a damaged header claims."""
    if size > MAX_BYTES:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.0f} GiB of pixels, more than the "
            f"{MAX_BYTES // 2**30} GiB this package reads at once; crop it first"
        )
    # 2000: Deflate reaches 1032 at most, on an image that is all one value.
    if size > SUSPICIOUS_BYTES and path.is_file() and size > 2000 * path.stat().st_size:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.1f} GiB of pixels in a file of "
            f"{path.stat().st_size} bytes: it is damaged. Copy or download it again"
        )

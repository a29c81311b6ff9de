"""Damaged and hostile files: told from good ones where possible, and reported in one way."""

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unifmir.errors import ImageError, TooLittleMemoryError, UnifmirError
from unifmir.machine import available_bytes

MAX_BYTES = 64 * 2**30
"""Refused beyond this size once decoded, where an image is read as a whole."""
SUSPICIOUS_BYTES = 64 * 2**20
"""Decoded size from which on the file's own size is compared with it."""
MAX_RATIO = 2000
"""Decoded bytes for each of a file's. Deflate reaches 1032 at most, on an image that is all one
value."""
SPARSE_BYTES = 2**38
"""Images of up to 256 GiB may be empty: 20 gigapixels of double precision take 150. Larger ones
must hold something of what they claim."""
SPARSE_RATIO = 2**17
"""Decoded bytes for each of a file's where chunks are left out: an empty tile of 1 MiB costs a TIFF
its place in two tables, 16 bytes."""
MAX_METADATA_BYTES = 64 * 2**20
"""Metadata beyond this size are none: those of the largest plates take 10 MB."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a reader raise into an ImageError that names the file.

    Raises
    ------
    TooLittleMemoryError
        The reader could not have the memory that it asked for.
    """
    # tifffile logs what it repairs; a file it repaired is judged by what came out.
    log = logging.getLogger("tifffile")
    was_disabled, log.disabled = log.disabled, True
    try:
        yield
    except UnifmirError as error:
        if str(error).startswith(path.name) or not isinstance(error, ImageError):
            raise
        raise ImageError(f"{path.name}: {error}") from None
    except MemoryError as error:
        raise TooLittleMemoryError(
            f"{path.name}: reading it takes more memory than there is ({error or 'none is left'}). "
            "Close other programs, or save the image in smaller strips, tiles or chunks"
        ) from error
    except Exception as error:
        # Any: readers and codecs raise whatever they stumble over (struct.error, IndexError,
        # zlib.error, RecursionError, imagecodecs errors, ...).
        raise ImageError(
            f"{path.name}: the image cannot be read ({type(error).__name__}: "
            f"{str(error)[:300]}). Is it complete, and does it open in Fiji?"
        ) from error
    finally:
        log.disabled = was_disabled


def require_regular(path: Path) -> None:
    """Refuse what only looks like a file: opening a pipe waits, and a device never ends.

    Raises
    ------
    ImageError
        It is a pipe, a device, a socket, a folder, or cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, RuntimeError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise ImageError(f"{path.name}: cannot be looked at: {told}") from error
    if not stat.S_ISREG(mode):
        kinds = {
            stat.S_IFIFO: "a named pipe",
            stat.S_IFCHR: "a device",
            stat.S_IFBLK: "a device",
            stat.S_IFSOCK: "a socket",
            stat.S_IFDIR: "a folder",
        }
        raise ImageError(
            f"{path.name}: is {kinds.get(stat.S_IFMT(mode), 'no regular file')}, expected a "
            "regular file: copy the image into one"
        )


def require_inside(path: Path, folder: Path, *, beside: Path | None = None) -> None:
    """Refuse a file that metadata point to and that lies outside a folder, links followed.

    Parameters
    ----------
    path : Path
        It need not exist.
    folder : Path
        Files in it and below it may be read.
    beside : Path, optional
        A file: those in the folder that it leads to may be read too, as where all files of an
        image were linked into a folder.
    """
    try:
        real, roots = path.resolve(), [folder.resolve()]
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links; a null in a name
        raise ImageError(f"its part {path.name!r} leads nowhere ({error})") from error
    if beside is not None:
        roots.append(beside.resolve().parent)
    if not any(real.is_relative_to(root) for root in roots):
        raise ImageError(
            f"its part {path.name!r} leads out of the image's folder, which is not followed: "
            "copy all its files into one folder (cp -rL follows links)"
        )


def check_size(path: Path, size: int) -> None:
    """Refuse to decode at once what cannot be held, or what only a damaged header claims."""
    if size > MAX_BYTES:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.0f} GiB of pixels, more than the "
            f"{MAX_BYTES // 2**30} GiB this package reads at once; crop it first"
        )
    if path.is_file():
        check_growth(path, size, path.stat().st_size)
    check_memory(path, size)


def check_growth(path: Path, size: int, stored: int) -> None:
    """Refuse pixels of which a file holds so little that compression does not explain it.

    Parameters
    ----------
    size : int
        Decoded bytes of what the file holds, strips and chunks that it leaves out not counted.
    stored : int
        Bytes of the file.
    """
    if size > SUSPICIOUS_BYTES and size > MAX_RATIO * stored:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.1f} GiB of pixels in a file of "
            f"{stored} bytes: it is damaged. Copy or download it again"
        )


def check_sparse(path: Path, size: int, stored: int) -> None:
    """Refuse an enormous image that holds nearly nothing of what it claims.

    Parameters
    ----------
    size : int
        Decoded bytes of the whole image.
    stored : int
        Bytes that are stored of it.
    """
    if size > SPARSE_BYTES and size > SPARSE_RATIO * stored:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.0f} GiB of pixels, of which it holds {stored} "
            "bytes: it is damaged, or all but empty. Copy it again, or crop it to what it holds"
        )


def bytes_on_disk(path: Path) -> int:
    """Bytes that a file really takes: of a file with holes less than its size."""
    found = path.stat()
    blocks = getattr(found, "st_blocks", None)
    return found.st_size if blocks is None else min(found.st_size, 512 * int(blocks))


def check_memory(path: Path, size: int) -> None:
    """Refuse to decode at once more than the memory that this process may take.

    Raises
    ------
    TooLittleMemoryError
        Says how much it is, and how much there is.
    """
    # Little is always tried: what there is changes with every other program.
    if size > SUSPICIOUS_BYTES and size > (free := available_bytes()):
        raise TooLittleMemoryError(
            f"{path.name}: {size / 2**30:.2f} GiB of it must be decoded at once, and this process "
            f"may take {free / 2**30:.2f} GiB: save it in smaller strips, tiles or chunks, or use "
            "a machine with more memory"
        )

"""Checks of a TIFF file's parts against its bytes, before a reader allocates what they say."""

import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tifffile

from unifmir.errors import ImageError
from unifmir.images.base import times
from unifmir.images.codestreams import pixels_of
from unifmir.images.damage import (
    check_growth,
    check_memory,
    check_size,
    check_sparse,
    require_inside,
    require_regular,
)

MAX_PAGES = 2**19
"""Half a million planes: a file of more takes a minute to be opened."""
MAX_SEGMENTS = 2**26
"""Strips and tiles of a plane: 64 million, of 64 x 64 pixels 275 gigapixels."""
_USUAL_PAGE = 512
"""Bytes of a page's tags, mostly: one read of each page then."""
_COUNTS = (279, 325)
"""Tags of the bytes of strips and of tiles."""
_LINKS = {
    b"II*\0": ("<H", "<I", 12),
    b"MM\0*": (">H", ">I", 12),
    b"II+\0": ("<Q", "<Q", 20),
    b"MM\0+": (">Q", ">Q", 20),
}
"""Formats of a page's number of tags and of the offset of the next, and bytes of a tag."""


def check_chain(path: Path) -> int:
    """Follow the chain of a file's pages, which a reader would follow without end.

    Returns
    -------
    int
        Pages that the chain reaches before it ends, or leaves the file.

    Raises
    ------
    ImageError
        The chain leads back to a page before, or has more than `MAX_PAGES`.
    """
    require_regular(path)
    seen: set[int] = set()
    with path.open("rb", buffering=0) as file:
        start = file.read(16)
        count_format, link_format, tag_bytes = _LINKS.get(start[:4], ("", "", 0))
        if not tag_bytes:
            return 0
        head = struct.calcsize(count_format)
        size = os.fstat(file.fileno()).st_size
        at = _number(link_format, start, 8 if head == 8 else 4)
        while at is not None and 0 < at < size:
            if at in seen:
                raise ImageError(
                    f"the chain of its pages leads from page {len(seen)} back to one before it and "
                    "never ends: the file is damaged. Copy or download it again"
                )
            seen.add(at)
            if len(seen) > MAX_PAGES:
                raise ImageError(
                    f"it has more than {MAX_PAGES} pages: save it as a stack in OME-Zarr, or in "
                    "several files"
                )
            file.seek(at)
            block = file.read(_USUAL_PAGE)
            tags = _number(count_format, block, 0)
            if tags is None or at + head + tags * tag_bytes >= size:
                break
            behind = head + tags * tag_bytes
            if behind + 8 > len(block):
                file.seek(at + behind)
                block, behind = file.read(8), 0
            at = _number(link_format, block, behind)
    return len(seen)


def _number(form: str, data: bytes, at: int) -> int | None:
    return (
        int(struct.unpack_from(form, data, at)[0])
        if len(data) >= at + struct.calcsize(form)
        else None
    )


def check_neighbours(file: tifffile.TiffFile) -> None:
    """Refuse files that a stack of Micro-Manager's would open beside this one, if they are none.

    Raises
    ------
    ImageError
        One of them is no regular file, lies elsewhere, or more planes are said than can be.
    """
    path = Path(file.filehandle.path)
    folder = path.parent
    if file.is_ndtiff and (index := folder / "NDTiff.index").exists():
        names = {path.name}
        _check_neighbour(index, path)
        for _, name, *_ in tifffile.read_ndtiff_index(index):
            if name not in names:
                names.add(name)
                _check_neighbour(folder / name, path)
    if not file.is_mmstack:
        return
    said: Any = (file.micromanager_metadata or {}).get("Summary") or {}
    lengths = [int(said.get(key, 1)) for key in ("Channels", "Slices", "Positions", "Frames")]
    check_planes(lengths)
    if "_MMStack" in path.name:
        for other in folder.glob("*_MMStack*.tif"):
            _check_neighbour(other, path)


def _check_neighbour(other: Path, path: Path) -> None:
    require_inside(other, path.parent, beside=path)
    if other.exists():
        require_regular(other)


def check_planes(lengths: Sequence[int]) -> None:
    """Refuse a number of planes that no file of so many pages has, and nobody can list.

    Raises
    ------
    ImageError
        A length is below 1, or they make more than `MAX_PAGES` planes.
    """
    if min(lengths, default=1) < 1 or math.prod(lengths) > MAX_PAGES:
        raise ImageError(
            f"its metadata speak of {times(tuple(lengths))} planes, expected at least 1 and at "
            f"most {MAX_PAGES}: they are damaged"
        )


def check_pages(path: Path, pages: Sequence[Any], shape: tuple[int, ...]) -> None:
    """Hold what pages declare against the bytes they have and the memory there is.

    Parameters
    ----------
    pages : sequence of tifffile's pages
        Of one image, all there and within the file.
    shape : tuple of int
        Of the image.

    Raises
    ------
    ImageError
        There are more or fewer strips or tiles than its size implies, or they would grow more
        than compression explains.
    TooLittleMemoryError
        A strip or tile does not fit the memory.
    """
    stored = path.stat().st_size
    decoded = 0
    judged = None
    segment = 0
    for page in pages:
        key = page.keyframe
        if key is not judged:
            judged, segment = key, _segment_bytes(key)
            check_tags(key)
            expected = math.prod(key.chunked)
            if expected > MAX_SEGMENTS or len(page.dataoffsets) != expected:
                raise ImageError(
                    f"a plane of {times(key.shape)} has {expected} strips or tiles of "
                    f"{times(key.chunks)}, and the file lists {len(page.dataoffsets)}: it is "
                    "damaged. Copy or download it again"
                )
        counts = page.databytecounts
        if max(counts, default=0) > 0:
            decoded += segment * sum(1 for count in counts if count)
    if pages:
        check_memory(path, segment)
        check_growth(path, decoded, _of_all(pages, path, stored))
        check_sparse(path, math.prod(shape) * pages[0].keyframe.dtype.itemsize, stored)


def check_tags(key: Any) -> None:
    """Refuse a page whose pixels are more than its strips or tiles are said to hold.

    Raises
    ------
    ImageError
        Uncompressed pixels reach beyond them, or are to be undone in a way that their type has not.
    """
    if key.predictor == tifffile.PREDICTOR.FLOATINGPOINT and key.dtype.kind != "f":
        raise ImageError(f"its pixels are {key.dtype}, and said to be predicted as real numbers")
    said = next((found for tag in _COUNTS if (found := key.tags.valueof(tag)) is not None), None)
    listed = said if isinstance(said, tuple) else (said,)
    if key.compression != tifffile.COMPRESSION.NONE or not all(isinstance(n, int) for n in listed):
        return
    held = sum(listed)
    taken = (
        math.prod(key.shape) * key.bitspersample // 8 if isinstance(key.bitspersample, int) else 0
    )
    if 0 < held < taken:
        raise ImageError(
            f"a plane of {times(key.shape)} takes {taken} bytes, and its strips or tiles are said "
            f"to hold {held}: the file is damaged. Copy or download it again"
        )


def _segment_bytes(key: Any) -> int:
    if key.dtype is None:
        raise ImageError("its pixels are of no type that TIFF has")
    lengths = (
        key.chunks if key.is_tiled else (min(key.rowsperstrip, key.imagelength), *key.chunks[1:])
    )
    return int(math.prod(lengths)) * int(key.dtype.itemsize)


def _of_all(pages: Sequence[Any], path: Path, stored: int) -> int:
    """Bytes of all files that pages lie in."""
    others = {page.parent.filehandle.path for page in pages} - {str(path)}
    return stored + sum(Path(other).stat().st_size for other in others)


def check_segment(path: Path, key: Any, encoded: bytes) -> None:
    """Refuse a strip or tile whose own header says more pixels than the file's.

    Raises
    ------
    ImageError
        Its decoder would give more than the strip or tile has room for.
    """
    found = pixels_of(int(key.compression), encoded)
    if found is None:
        return
    room = _segment_bytes(key) // int(key.dtype.itemsize)
    # 4: codecs round up to whole blocks, and writers leave the last tile whole.
    if found > 4 * room + 2**16:
        raise ImageError(
            f"a strip or tile holds a picture of {found} pixels, and has room for {room}: the file "
            "is damaged. Copy or download it again"
        )
    check_size(path, found * int(key.dtype.itemsize))


def check_all_segments(path: Path, pages: Sequence[Any]) -> None:
    """Look at every strip and tile of pages whose codec allocates what they say themselves."""
    for page in pages:
        key = page.keyframe
        handle = page.parent.filehandle
        if handle.closed:
            handle.open()
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if count:
                handle.seek(offset)
                check_segment(path, key, handle.read(count))

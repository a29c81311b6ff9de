"""Whether a TIFF file holds all the planes that it speaks of."""

import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tifffile

from unifmir.errors import ImageError
from unifmir.images.base import described
from unifmir.images.ome_sets import named_files
from unifmir.plain_text_values import parse_json

AnyPage = tifffile.TiffPage | tifffile.TiffFrame
_AGAIN = "Copy or download it again"
_CHAINED = ("generic", "uniform")
"""Kinds of series whose planes are those of the file's chain of pages, and nothing else counts."""


@contextmanager
def pages_counted(file: tifffile.TiffFile) -> Iterator[None]:
    """Turn what tifffile raises at a broken page into an ImageError that says how many are whole.

    tifffile reads the pages of some files only when they are asked for.
    """
    try:
        yield
    except (tifffile.TiffFileError, IndexError) as error:
        raise _broken(file, _whole_pages(file)) from error


def image_series(file: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """All images of a file.

    Raises
    ------
    ImageError
        The file holds none, or ends before the planes that it speaks of.
    """
    series = file.series
    if not series:
        raise ImageError("the TIFF file holds no image")
    said, held = _said_planes(file), _planes(series)
    if said is not None and held < said:
        raise _too_few(said, held)
    if any(one.kind in _CHAINED for one in series) and not file.is_ndpi:
        _check_chain(file)
    return list(series)


def chosen_image(series: Sequence[tifffile.TiffPageSeries], wanted: int | None) -> int:
    """Which image to read: the one asked for, or the only one beside its own reduced copies."""
    count = len(series)
    if wanted is not None:
        if not 0 <= wanted < count:
            raise ImageError(f"has no image number {wanted}: it holds 0 to {count - 1}")
        return wanted
    own = [n for n, one in enumerate(series) if not _is_reduced(one)]
    if len(own) > 1:
        listed = [f"{n}: {described(series[n].shape, series[n].axes)}" for n in own]
        shown = ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
        raise ImageError(
            f"holds {len(own)} images ({shown}); choose one (--series 0 to {count - 1})"
        )
    return own[0] if own else 0


def complete_pages(pages: Sequence[AnyPage | None], file: tifffile.TiffFile) -> list[AnyPage]:
    """Pages of an image, none missing or cut short: tifffile would fill gaps with zeros."""
    there = [page for page in pages if page is not None]
    if len(there) < len(pages):
        absent = _absent_files(file)
        named = ", ".join(name if name.isprintable() else repr(name) for name in absent[:8])
        which = f" ({named} not beside it)" if absent else ""
        raise ImageError(
            f"planes are missing from the file, or files from its set{which}: its description "
            f"says {len(pages)} planes, and {len(there)} are there. {_AGAIN}"
        )
    for page in there:
        handle = page.parent.filehandle
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if offset + count > handle.size:
                check_end(Path(handle.path), offset, offset + count)
    return there


def check_planes_follow(series: tifffile.TiffPageSeries, file: tifffile.TiffFile) -> None:
    """Refuse an ImageJ stack that is read as one block although its second page lies elsewhere.

    tifffile takes the planes to follow the first wherever there is room for them, as after a long
    description.
    """
    first = series.keyframe
    if series.kind != "imagej" or math.prod(series.shape) == math.prod(first.shape):
        return
    if len(file.pages) < 2:
        return
    start, expected = file.pages[1].dataoffsets[0], first.dataoffsets[0] + first.nbytes
    if start != expected:
        raise ImageError(
            f"its second plane begins at byte {start}, and by its description (ImageJ) at "
            f"{expected}: save it again in Fiji"
        )


def check_end(path: Path, start: int, end: int) -> None:
    """Refuse a file that ends before bytes `start` to `end`, where pixels are said to lie."""
    total = path.stat().st_size
    if end > total:
        raise ImageError(
            f"the file is cut short: {total} bytes, but pixels are said to "
            f"be at {start} to {end}. {_AGAIN}"
        )


def _is_reduced(series: tifffile.TiffPageSeries) -> bool:
    key = series.keyframe
    return bool(key.is_reduced or key.is_mask)


def _planes(series: Sequence[tifffile.TiffPageSeries]) -> int:
    return sum(math.prod(one.shape) // max(1, math.prod(one.keyframe.shape)) for one in series)


def _said_planes(file: tifffile.TiffFile) -> int | None:
    """Planes that ImageJ's description, or tifffile's, speaks of."""
    if file.is_ome:
        return None  # its series has a gap for each missing plane
    if file.is_imagej:
        images = (file.imagej_metadata or {}).get("images")
        return images if isinstance(images, int) else None
    text = file.pages.first.shaped_description
    try:
        # A description for each image: what it says alone counts where there is but one.
        shape = parse_json(text)["shape"] if text and text.startswith("{") else None
        size = math.prod(int(length) for length in shape or ())
    except (ValueError, TypeError, KeyError):
        return None
    return size // max(1, math.prod(file.pages.first.shape)) if shape else None


def _check_chain(file: tifffile.TiffFile) -> None:
    """Refuse a file whose last page refers to another, which could not be read."""
    pages = len(file.pages)
    link = _next_link(file, file.pages[pages - 1].offset)
    if link and link not in {file.pages[n].offset for n in range(pages)}:
        raise _broken(file, pages, link)


def _next_link(file: tifffile.TiffFile, offset: int) -> int:
    """Offset of the page that follows the one at `offset`; 0 for the last."""
    tiff, handle = file.tiff, file.filehandle
    handle.seek(offset)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(offset + tiff.tagnosize + tags * tiff.tagsize)
    (link,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    return int(link)


def _whole_pages(file: tifffile.TiffFile) -> int:
    count = 0
    try:
        for _ in file.pages:
            count += 1
    except tifffile.TiffFileError:
        return count
    return count


def _too_few(said: int, held: int) -> ImageError:
    are = "is" if held == 1 else "are"
    return ImageError(
        f"the file is cut short: its description says {said} planes, and {held} {are} there. "
        f"{_AGAIN}"
    )


def _broken(file: tifffile.TiffFile, pages: int, link: int | None = None) -> ImageError:
    said = _said_planes(file) if pages else None
    if said is not None and said > pages:
        return _too_few(said, pages)
    size = file.filehandle.size
    at = f" at byte {link}" if link is not None else ""
    return ImageError(
        f"the file is cut short: of its {size} bytes {pages} whole planes can be read, and the "
        f"next one, which should be{at}, cannot. {_AGAIN}"
    )


def _absent_files(file: tifffile.TiffFile) -> list[str]:
    """Files that OME metadata names and that do not lie beside the one that is read."""
    folder = Path(file.filehandle.dirname)
    names = named_files(file.ome_metadata or "")
    return [name for name in names if not (folder / name).exists()]

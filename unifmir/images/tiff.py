"""TIFF files read by regions: plain, ImageJ, OME, BigTIFF; strips or tiles, compressed or not."""

import math
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unifmir.errors import ImageError
from unifmir.images.base import ImageInfo, PathSource, Pixels, Region, Shape, check_region, times
from unifmir.images.damage import bytes_on_disk, check_size, check_sparse, reading
from unifmir.images.layout import find_layout
from unifmir.images.ome_sets import check_described, metadata_elsewhere, renamed_metadata
from unifmir.images.tiff_completeness import (
    AnyPage,
    check_end,
    check_planes_follow,
    chosen_image,
    complete_pages,
    image_series,
    pages_counted,
)
from unifmir.images.tiff_metadata import tiff_info
from unifmir.images.tiff_pixels import PixelMeaning, pixel_meaning
from unifmir.images.tiff_structure import (
    check_all_segments,
    check_chain,
    check_neighbours,
    check_pages,
    check_segment,
    check_tags,
)

_HEADER_BYTES = 8
"""Size of a TIFF header: a file that is shorter is cut short."""
_CHEAP_BYTES = 4 * 2**20
"""Size of the chunks that a file without chunks of its own is said to have."""
_MAPPED_BYTES = 2**28
"""Pixels of up to 256 MiB are mapped all at once."""
_CACHE_BYTES = 64 * 2**20
"""Decoded strips and tiles kept: neighbouring regions share them."""


class TiffSource(PathSource):
    """An image of a TIFF file.

    Parameters
    ----------
    path : Path
        Level 0 is read of pyramids; OME files that are spread over several files, or whose
        metadata lie in another, are read whole, if all are there.
    axes : str, optional
        The axes, where the file says them wrongly or not at all.
    series : int, optional
        Which of the file's images. Needed where it holds several, reduced copies not counted.

    Raises
    ------
    ImageError
        The file is damaged or cut short, holds no image or several, is a colour picture, or has
        axes that are none of T, C, Z, Y, X.
    """

    def __init__(self, path: Path, *, axes: str | None = None, series: int | None = None) -> None:
        super().__init__(path, axes=axes, series=series)
        self._lock = Lock()
        self._cache = _Segments()
        with reading(path), _opened(path) as file, pages_counted(file):
            images = image_series(file)
            self._index = chosen_image(images, series)
            found = images[self._index]
            if file.is_ome and found.kind != "ome" and axes is None:
                raise ImageError(
                    "its OME metadata do not fit its planes, so that what they are would be "
                    f"guessed: name the axes of {times(found.shape)} (--axes zyx, say)"
                )
            self._layout = find_layout(found.axes, found.shape, wanted=axes)
            self.shape: Shape = self._layout.image_shape
            self._meaning: PixelMeaning = pixel_meaning(file, found.keyframe)
            self.dtype: np.dtype[Any] = self._meaning.dtype
            self._stored = self._meaning.stored.newbyteorder(file.byteorder)
            info = tiff_info(file, self._index, path.name, self._layout)
            self.info: ImageInfo = self._meaning.shown(info)
            self._offset = None if found.is_multifile else found.dataoffset
            self._pages: list[AnyPage] = []
            if self._offset is not None:
                size = math.prod(found.shape) * self.dtype.itemsize
                check_end(path, self._offset, self._offset + size)
                check_sparse(path, size, bytes_on_disk(path))
                check_tags(found.keyframe)
                check_planes_follow(found, file)
            else:
                pages = complete_pages(list(found.pages), file)
                check_pages(path, pages, found.shape)
                self._pages = pages if _in_planes(found, len(pages)) else []
            self.chunks: Shape = self._layout.image_lengths(self._file_chunks())

    def read(self, region: Region) -> Pixels:
        """The intensities of a region, in the machine's byte order; no more than it is decoded."""
        check_region(region, self.shape)
        slices = self._layout.region(region)
        with self._lock, reading(self._path):
            if self._offset is not None:
                values = self._mapped(slices)
            elif self._pages:
                values = self._decoded(slices)
            else:
                check_size(self._path, math.prod(self.shape) * self.dtype.itemsize)
                with _opened(self._path) as file:
                    found = file.series[self._index]
                    check_all_segments(self._path, list(found.pages))
                    values = found.asarray()[slices]
        stored = self._layout.to_image(values).astype(self._meaning.stored, copy=False)
        return self._meaning.intensities(stored)

    def close(self) -> None:
        """Drop what is kept in memory; the file is open only while it is read."""
        self._cache.clear()

    def _mapped(self, slices: tuple[slice, ...]) -> NDArray[Any]:
        # Mapped anew for each region: pages of a lasting map would count as this process's memory.
        # Of a large file only the rows, one plane after the other: all of it would not fit into a
        # limited address space.
        if math.prod(self._layout.shape) * self._stored.itemsize <= _MAPPED_BYTES:
            shape = self._layout.shape
            whole = np.memmap(self._path, self._stored, "r", self._offset or 0, shape)
            return np.array(whole[slices])
        *outer, height, width = self._layout.shape
        *before, ys, xs = slices
        row_bytes = width * self._stored.itemsize
        values = np.empty(tuple(s.stop - s.start for s in slices), self._stored)
        for position in np.ndindex(*values.shape[:-2]):
            at = tuple(n + bounds.start for n, bounds in zip(position, before, strict=True))
            plane = int(np.ravel_multi_index(at, outer)) if outer else 0
            start = (self._offset or 0) + (plane * height + ys.start) * row_bytes
            rows = (ys.stop - ys.start, width)
            mapped = np.memmap(self._path, self._stored, "r", start, rows)
            values[position] = mapped[:, xs]
        return values

    def _decoded(self, slices: tuple[slice, ...]) -> NDArray[Any]:
        outer, (ys, xs) = self._layout.shape[:-2], slices[-2:]
        lengths = tuple(bounds.stop - bounds.start for bounds in slices)
        values = np.empty(lengths, self._meaning.stored)
        for position in np.ndindex(*lengths[:-2]):
            at = tuple(n + bounds.start for n, bounds in zip(position, slices, strict=False))
            index = int(np.ravel_multi_index(at, outer)) if outer else 0
            handle = self._pages[index].parent.filehandle
            try:
                values[position] = self._plane(index, ys, xs)
            finally:
                handle.close()
        return values

    def _plane(self, index: int, ys: slice, xs: slice) -> NDArray[Any]:
        page = self._pages[index]
        key = _described_by(page)
        height, width = _segment_lengths(key)
        across = math.ceil(key.imagewidth / width)
        plane = np.full((ys.stop - ys.start, xs.stop - xs.start), key.nodata, self._meaning.stored)
        for row in range(ys.start // height, math.ceil(ys.stop / height)):
            for column in range(xs.start // width, math.ceil(xs.stop / width)):
                segment = self._segment(index, page, row * across + column)
                if segment is not None:
                    _paste(plane, segment, row * height - ys.start, column * width - xs.start)
        return plane

    def _segment(self, index: int, page: AnyPage, number: int) -> NDArray[Any] | None:
        """A decoded strip or tile, (Y, X); None where the file leaves it out."""
        if (index, number) not in self._cache:
            self._cache.keep((index, number), _decode(self._path, page, number))
        return self._cache.take((index, number))

    def _file_chunks(self) -> tuple[int, ...]:
        shape = self._layout.shape
        if self._offset is not None:
            rows = max(1, _CHEAP_BYTES // (shape[-1] * self.dtype.itemsize))
            return (*(1 for _ in shape[:-2]), min(rows, shape[-2]), shape[-1])
        if self._pages:
            height, width = _segment_lengths(_described_by(self._pages[0]))
            return (*(1 for _ in shape[:-2]), min(height, shape[-2]), min(width, shape[-1]))
        return shape


class _Segments:
    """The decoded segments used last, up to a number of bytes, and the very last in any case."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], NDArray[Any] | None] = OrderedDict()
        self._bytes = 0

    def __contains__(self, at: tuple[int, int]) -> bool:
        return at in self._kept

    def take(self, at: tuple[int, int]) -> NDArray[Any] | None:
        """A segment that is kept, from now on the one used last."""
        self._kept.move_to_end(at)
        return self._kept[at]

    def keep(self, at: tuple[int, int], segment: NDArray[Any] | None) -> None:
        """Keep a segment, and drop those used longest ago if they are too many."""
        self._kept[at] = segment
        self._bytes += 0 if segment is None else segment.nbytes
        while len(self._kept) > 1 and self._bytes > _CACHE_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= 0 if dropped is None else dropped.nbytes

    def clear(self) -> None:
        """Drop all."""
        self._kept.clear()
        self._bytes = 0


def _opened(path: Path) -> tifffile.TiffFile:
    """A TIFF file, with the OME metadata of the file that it points to, or of its old name."""
    pages = check_chain(path)
    if not pages and path.stat().st_size >= _HEADER_BYTES:
        raise ImageError("the TIFF file holds no image")
    file = tifffile.TiffFile(path)
    try:
        said = (file.ome_metadata or "") if file.is_ome else ""
        xml = metadata_elsewhere(path, said) or renamed_metadata(path, said)
        check_described(path, xml or said, pages, math.prod(file.pages.first.shape))
        check_neighbours(file)
    except BaseException:
        file.close()
        raise
    if xml is None:
        return file
    file.close()
    return tifffile.TiffFile(path, omexml=xml)


def _in_planes(series: tifffile.TiffPageSeries, pages: int) -> bool:
    """Whether the pages are the image's planes, one after the other."""
    key = series.keyframe
    fits = key.shape == series.shape[-2:] and key.samplesperpixel == 1
    return fits and pages == math.prod(series.shape[:-2])


def _described_by(page: AnyPage) -> tifffile.TiffPage:
    """The page whose tags a page shares: itself, or the first of its series."""
    if page.keyframe is None:
        raise ImageError("a plane is described nowhere in the file")
    return page.keyframe


def _segment_lengths(key: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of a page's strips or tiles."""
    if key.is_tiled:
        return key.tilelength, key.tilewidth
    return min(key.rowsperstrip, key.imagelength), key.imagewidth


def _decode(path: Path, page: AnyPage, number: int) -> NDArray[Any] | None:
    key = _described_by(page)
    offset, count = page.dataoffsets[number], page.databytecounts[number]
    if count == 0:
        return None
    height, width = _segment_lengths(key)
    check_size(path, height * width * np.dtype(key.dtype).itemsize)
    handle = page.parent.filehandle
    if handle.closed:
        handle.open()
    handle.seek(offset)
    encoded = handle.read(count)
    check_segment(path, key, encoded)
    tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
    decoded, _, _ = key.decode(encoded, number, **tables)
    return None if decoded is None else decoded[0, :, :, 0]


def _paste(plane: NDArray[Any], segment: NDArray[Any], y: int, x: int) -> None:
    """Put a segment whose corner is at (y, x) into a plane, as far as it reaches into it."""
    top, left = max(0, y), max(0, x)
    part = segment[top - y : plane.shape[0] - y, left - x : plane.shape[1] - x]
    plane[top : top + part.shape[0], left : left + part.shape[1]] = part

"""csbdeep's training files: pairs of normalised patches in one `.npz`, read where they lie.

An `.npz` is a zip of `.npy` files: X, the inputs, Y, the truths, and axes, with S for samples
(csbdeep.io.save_training_data). Nothing in them is unpickled.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from unifmir.errors import ArchiveError, ImageError
from unifmir.images.base import ImageInfo, PathSource, Pixels, Region, Shape, check_region, times
from unifmir.images.damage import check_sparse, reading
from unifmir.images.layout import find_layout, pixel_dtype
from unifmir.images.staged_output import check_space
from unifmir.zip_archive import Archive, opened_zip

INPUT, TRUTH, AXES_NAME = "X.npy", "Y.npy", "axes.npy"
_SAMPLES = "s"
_FRAMES = "t"
_MAX_HEADER = 10_000
_MAX_AXES_BYTES = 4096


@contextmanager
def opened_training_archive(
    path: Path, scratch: Path, *, axes: str | None = None
) -> "Iterator[tuple[ArrayFileSource, ArrayFileSource]]":
    """Open the inputs and the truths of a training file, samples as time points.

    Parameters
    ----------
    path : Path
        An `.npz` file.
    scratch : Path
        Folder that its arrays are unpacked to; they stay there until it is removed.
    axes : str, optional
        The axes, where the file does not say them.

    Raises
    ------
    ImageError
        It is no such file, or damaged, or the axes do not fit.
    """
    with reading(path):
        try:
            with opened_zip(path, large=True) as archive:
                letters = axes or _axes(archive)
                for name in (INPUT, TRUTH):
                    if name not in archive.members:
                        told = ", ".join(list(archive.members)[:6]) or "nothing"
                        raise ImageError(
                            f"it holds {told}; expected X, Y and axes, as csbdeep's "
                            "save_training_data writes them"
                        )
                    check_space(scratch, archive.members[name].file_size)
                    archive.unpack(name, scratch / name)
        except ArchiveError as error:
            raise ImageError(f"{error}; copy or download it again") from error
        first = ArrayFileSource(scratch / INPUT, axes=letters, name=path.name)
        second = ArrayFileSource(scratch / TRUTH, axes=letters, name=path.name)
        if first.shape[0] != second.shape[0]:
            raise ImageError(
                f"it holds {first.shape[0]} inputs and {second.shape[0]} truths, expected as many"
            )
    yield first, second


def _axes(archive: Archive) -> str:
    if AXES_NAME not in archive.members:
        raise ImageError("it does not say what its axes are: name them (--axes SCZYX, say)")
    content = archive.read(AXES_NAME, most=_MAX_AXES_BYTES)
    start = content.find(b"\n") + 1
    # A text is written in UTF-32, bytes as they are; zeros fill it up.
    letters = content[start:].replace(b"\0", b"").decode("ascii", "replace")
    if not letters.isalpha() or not letters.isascii():
        raise ImageError(f"its axes are {letters[:20]!r}, expected letters such as SCZYX")
    return letters


class ArrayFileSource(PathSource):
    """An array of an `.npy` file, of which only the regions that are asked for are read.

    Parameters
    ----------
    path : Path
    axes : str
        A letter an axis of the array: S or T, C, Z, Y, X. Without X: of length 1, behind the
        others.
    name : str
        Name of the file that people know it by.

    Raises
    ------
    ImageError
        It is no array of real numbers, or has other axes, or is cut short.
    """

    def __init__(self, path: Path, *, axes: str, name: str) -> None:
        super().__init__(path, axes=axes, name=name)
        with path.open("rb") as file:
            shape, dtype, fortran = _header(file)
            self._offset = file.tell()
        size = math.prod(shape) * dtype.itemsize
        stored = path.stat().st_size
        if stored - self._offset != size:
            raise ImageError(
                f"its array of {times(shape) or 'one number'} {dtype} takes {size} bytes, and it "
                f"has {max(0, stored - self._offset)}"
            )
        check_sparse(path, size, stored)
        letters = axes.lower()
        if _FRAMES not in letters:
            letters = letters.replace(_SAMPLES, _FRAMES)
        if "x" not in letters:
            # Slices that csbdeep cut to be degraded along one axis, which is z: a plane wide.
            letters, shape = f"{letters}x", (*shape, 1)
        self._order: Any = "F" if fortran else "C"
        self._stored_dtype = dtype
        self._layout = find_layout(letters, shape)
        self.shape: Shape = self._layout.image_shape
        self.dtype: np.dtype[Any] = pixel_dtype(dtype)
        self.chunks: Shape = (1, *self.shape[1:])
        self.info = ImageInfo(name=name, axes=self._layout.image_axes)

    def read(self, region: Region) -> Pixels:
        """The intensities of a region."""
        check_region(region, self.shape)
        array: Any = np.memmap(
            self._path, self._stored_dtype, "r", self._offset, self._layout.shape, self._order
        )
        values = np.asarray(array[self._layout.region(region)])
        return self._layout.to_image(values).astype(self.dtype)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, pixel type and order of an array; the file is left at its first number."""
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(file, max_header_size=_MAX_HEADER)
    except (ValueError, KeyError, EOFError, RecursionError, MemoryError) as error:
        raise ImageError(f"it holds no array that is read ({str(error)[:200]})") from error
    if dtype.kind not in "biuf" or not dtype.isbuiltin:
        raise ImageError(f"its array holds {str(dtype)[:80]}, expected real numbers")
    if any(isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**40 for n in shape):
        raise ImageError(f"its array has the shape {str(shape)[:80]}")
    return shape, dtype, fortran

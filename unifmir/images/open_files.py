"""Image files of every kind as sources and sinks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.errors import ImageError
from unifmir.images.addresses import url_of
from unifmir.images.base import ImageInfo, Shape, Sink, Source
from unifmir.images.bioio import BioioSource, has_reader, looks_like
from unifmir.images.damage import require_regular
from unifmir.images.header_arrays import HeaderArraySource, is_header_array
from unifmir.images.one_channel import ChannelSource
from unifmir.images.plane_output import OutputRequest
from unifmir.images.png import SIGNATURE, PngSink, PngSource
from unifmir.images.tiff import TiffSource
from unifmir.images.tiff_output import TiffSink
from unifmir.images.zarr import ZarrSink, ZarrSource, is_zarr, is_zipped_zarr, lies_in_zarr

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SINKS: dict[str, Callable[[OutputRequest], Sink]] = {
    ".tif": TiffSink,
    ".tiff": TiffSink,
    ".zarr": ZarrSink,
    ".png": PngSink,
}


def open_source(
    path: Path,
    *,
    axes: str | None = None,
    series: int | None = None,
    channel: int | None = None,
) -> Source:
    """Open an image, told by its content, to be read by regions.

    Parameters
    ----------
    path : Path
        A TIFF or PNG file, an MRC (.mrc) or NIfTI-1 one (.nii, .nii.gz); the folder, archive
        (.ozx, .zarr.zip) or address (https://...) of an OME-Zarr image or a Zarr array; or a
        microscope's own file where bioio and its reader for it are installed.
    axes : str, optional
        Letters of T, C, Z, Y, X, any case, one for each axis of the file's array (or each longer
        than 1), where the file says them wrongly or not at all.
    series : int, optional
        Which image of a file that holds several, from 0.
    channel : int, optional
        The only channel that is read, from 0; all of them where not given.

    Raises
    ------
    ImageError
        There is no such file or channel, or it holds no image of these axes, or is damaged.
    MissingExtraError
        What reads such files is not installed; says what to install.
    """
    source = _opened(Path(path), axes, series)
    if channel is None:
        return source
    try:
        return ChannelSource(source, channel)
    except ImageError:
        source.close()
        raise


def _opened(path: Path, axes: str | None, series: int | None) -> Source:
    if url_of(path) is not None:
        return ZarrSource(path, axes=axes, series=series)
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if path.is_dir():
        return _of_folder(path, axes, series)
    require_regular(path)
    if has_reader(path):
        # Before TIFF: some microscopes' own files are TIFF files whose metadata lies elsewhere.
        return BioioSource(path, axes=axes, series=series)
    start = _start(path)
    if start.startswith(_TIFF_STARTS):
        return TiffSource(path, axes=axes, series=series)
    if is_zipped_zarr(path):
        return ZarrSource(path, axes=axes, series=series)
    is_png = start.startswith(SIGNATURE)
    if not (is_png or is_header_array(path)):
        raise ImageError(f"{path.name} {looks_like(start)}; expected a TIFF, PNG or OME-Zarr image")
    if series not in (None, 0):
        raise ImageError(f"{path.name} holds one image: there is no number {series}")
    return PngSource(path, axes=axes) if is_png else HeaderArraySource(path, axes=axes)


def _of_folder(path: Path, axes: str | None, series: int | None) -> Source:
    if is_zarr(path):
        return ZarrSource(path, axes=axes, series=series)
    if has_reader(path):
        return BioioSource(path, axes=axes, series=series)
    raise ImageError(
        f"{path} is a folder and no OME-Zarr image; expected one image: a TIFF or PNG file, "
        "or the folder of an OME-Zarr image"
    )


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def create_sink(
    path: Path,
    shape: Shape,
    dtype: np.dtype[Any],
    info: ImageInfo,
    *,
    chunks: Shape | None = None,
    resume: bool = True,
) -> Sink:
    """Begin an image file, or go on with one whose writing was interrupted.

    Parameters
    ----------
    path : Path
        Its suffix chooses the format: .tif or .tiff (ImageJ, or OME BigTIFF where ImageJ cannot
        hold the image; .ome.tif: OME), .zarr or .ome.zarr (OME-Zarr 0.4, as everything inside
        such a folder), .png. Nothing is under this name before `publish`, and what is there until
        then is not touched.
    shape : Shape
        (T, C, Z, Y, X); 1 along axes that `info.axes` lacks.
    dtype : dtype
        Of the pixels.
    info : ImageInfo
        Axes, pixel size, display range and names to write.
    chunks : Shape, optional
        Units that one process writes at once; those of the file where it has any.
    resume : bool
        Whether to keep what an interrupted run for the same shape, dtype, chunks and info wrote.

    Raises
    ------
    ImageError
        The format cannot hold the image, the info does not fit, or the disk lacks the room.
    MissingExtraError
        zarr is not installed.
    """
    path = Path(path)
    make = _SINKS.get(path.suffix.lower(), ZarrSink if lies_in_zarr(path) else None)
    if make is None:
        raise ImageError(
            f"{path.name}: images are written as {', '.join(_SINKS)}, not "
            f"{path.suffix or 'without a suffix'}"
        )
    if path.is_dir() and make is not ZarrSink:
        raise ImageError(f"{path} is a folder; expected the name of a file to write")
    return make(OutputRequest(path, shape, np.dtype(dtype), info, chunks, resume))

"""Microscopes' own files, through bioio where it is installed; and what other files look like."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.errors import ImageError, MissingExtraError
from unifmir.images.base import Channel, ImageInfo, PathSource, Pixels, Region, Shape, check_region
from unifmir.images.damage import reading
from unifmir.images.layout import find_layout, pixel_dtype

READERS = {
    ".czi": "bioio-czi",
    ".dv": "bioio-dv",
    ".ims": "bioio-bioformats",
    ".lif": "bioio-lif",
    ".lsm": "bioio-tifffile",
    ".nd2": "bioio-nd2",
    ".oib": "bioio-bioformats",
    ".oif": "bioio-bioformats",
    ".oir": "bioio-bioformats",
    ".r3d": "bioio-dv",
    ".sldy": "bioio-sldy",
    ".vsi": "bioio-bioformats",
}
"""Packages that read files of these suffixes, beside bioio itself."""


def has_reader(path: Path) -> bool:
    """Whether a file's name is that of a microscope's own format."""
    return path.suffix.lower() in READERS


def looks_like(start: bytes) -> str:
    """Kind of a file that is no TIFF or PNG, by its first bytes."""
    if not start:
        return "is empty"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page (was the link to the image or to its page?)"
    if text.startswith(b"<?xml"):
        return "is an XML file"
    known = {
        b"\xff\xd8\xff": "is a JPEG, whose compression alters intensities",
        b"PK\x03\x04": "is a ZIP archive: unpack it first",
        b"\x89HDF": "is an HDF5 file: save the image as TIFF (Fiji: File > Save As)",
        b"\x93NUMPY": "is a NumPy file",
        b"\xda\xce\xbe\x0a": "is a Nikon ND2 file: name it .nd2, or save the image as TIFF (Fiji: "
        "File > Save As)",
    }
    for signature, message in known.items():
        if start.startswith(signature):
            return message
    return "is not an image this package reads"


class BioioSource(PathSource):
    """An image of a file that bioio reads.

    Parameters
    ----------
    path : Path
    axes : str, optional
        The axes, where the file says them wrongly.
    series : int, optional
        Which image (bioio: scene; position, tile or series of the microscope). Needed where there
        are several.

    Raises
    ------
    MissingExtraError
        bioio, or its reader for these files, is not installed.
    ImageError
        The file is damaged, or holds several images, or a colour picture.
    """

    def __init__(self, path: Path, *, axes: str | None = None, series: int | None = None) -> None:
        super().__init__(path, axes=axes, series=series)
        image = _opened_by_bioio(path)
        with reading(path):
            _choose(image, series)
            # Delayed: a region's planes are read when it is.
            self._array = image.dask_data
            self._layout = find_layout(str(image.dims.order), tuple(self._array.shape), wanted=axes)
            self.shape: Shape = self._layout.image_shape
            self.dtype: np.dtype[Any] = pixel_dtype(np.dtype(self._array.dtype))
            self.chunks: Shape = self._layout.image_lengths(tuple(self._array.chunksize))
            self.info = _info(image, path.name, self._layout.image_axes, self.shape[1])

    def read(self, region: Region) -> Pixels:
        """The intensities of a region."""
        check_region(region, self.shape)
        with reading(self._path):
            values = np.asarray(self._array[self._layout.region(region)].compute())
        return self._layout.to_image(values).astype(self.dtype, copy=False)


def _opened_by_bioio(path: Path) -> Any:
    reader = READERS.get(path.suffix.lower(), "bioio-bioformats")
    advice = (
        f"{path.name}: {path.suffix} files need bioio: pip install bioio {reader}, or save the "
        "image as TIFF (Fiji: File > Import > Bio-Formats, then File > Save As)"
    )
    try:
        bioio = importlib.import_module("bioio")
    except ImportError as error:
        raise MissingExtraError(advice) from error
    try:
        return bioio.BioImage(path)
    except Exception as error:
        # bioio says in a class of its own that none of its readers takes the file.
        if type(error).__name__ == "UnsupportedFileFormatError":
            raise MissingExtraError(f"{advice}. bioio says: {error}") from error
        with reading(path):
            raise


def _choose(image: Any, series: int | None) -> None:
    scenes = list(image.scenes)
    if series is None and len(scenes) > 1:
        shown = ", ".join(f"{n}: {name}" for n, name in enumerate(scenes[:8]))
        more = ", ..." if len(scenes) > 8 else ""
        raise ImageError(f"holds {len(scenes)} images ({shown}{more}); choose one (--series)")
    if series is not None:
        if not 0 <= series < len(scenes):
            raise ImageError(f"has no image number {series}: it holds 0 to {len(scenes) - 1}")
        image.set_scene(series)


def _info(image: Any, name: str, axes: str, count: int) -> ImageInfo:
    sizes = image.physical_pixel_sizes
    interval: Any = getattr(image, "time_interval", None)
    seconds = interval.total_seconds() if hasattr(interval, "total_seconds") else interval
    names = image.channel_names or []
    return ImageInfo(
        name=name,
        axes=axes,
        pixel_size_um=(_positive(sizes.Y), _positive(sizes.X)),
        z_step_um=_positive(sizes.Z) if "z" in axes else None,
        frame_interval_s=_positive(seconds) if "t" in axes else None,
        channels=tuple(Channel(name=str(n)) for n in names) if len(names) == count else (),
    )


def _positive(value: Any) -> float | None:
    """Positive size in micrometres or seconds; None where bioio gives None, 0 or NaN."""
    if value is None or not np.isfinite(value) or value <= 0:
        return None
    return float(value)

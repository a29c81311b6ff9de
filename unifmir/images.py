"""Microscopy images from and to files. Nothing here imports torch."""

import logging
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unifmir.atomic import writing
from unifmir.errors import ImageError
from unifmir.normalize import checked

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_BYTES = 64 * 2**30
"""Refused beyond this size once decoded: a damaged header can claim any size."""
SUSPICIOUS_BYTES = 64 * 2**20
"""From this decoded size on, the file's own size is compared with it."""

_UNKNOWN_AXES = "QI"
"""tifffile's letters for pages of unknown meaning: taken as the one axis that is missing."""
_MICROMETRES = {"micron": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "nm": 1e-3}
_MICROMETRES |= {"nanometer": 1e-3, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "inch": 25400.0}


@dataclass(frozen=True, slots=True)
class Image:
    """A file's image with what the file says of it."""

    values: NDArray[np.float32]
    """Raw intensities in the wanted axes."""
    pixel_size_um: float | None
    """Lateral; None where the file does not say, or says different ones for x and y."""
    z_step_um: float | None
    """Distance of planes; None where the file does not say."""


@dataclass(frozen=True, slots=True)
class _Found:
    values: NDArray[Any]
    axes: str
    """Upper case, as the file names them."""
    pixel_size_um: float | None = None
    z_step_um: float | None = None


def read_image(path: Path, axes: str) -> NDArray[np.float32]:
    """Read a TIFF or PNG file in the wanted axes.

    Parameters
    ----------
    path : Path
        A TIFF (also ImageJ, OME and BigTIFF) or PNG file.
    axes : str
        The wanted axes, `TaskSpec.input_axes`: "yx" or "zyx".

    Returns
    -------
    array, float32
        Raw intensities; axes of length 1 that are not wanted are dropped.

    Raises
    ------
    ImageError
        The file is missing, is no image, is damaged, or has other axes than wanted.
    """
    return read(path, axes).values


def read(path: Path, axes: str) -> Image:
    """As `read_image`, with the pixel size where the file holds one."""
    found = _found(path)
    try:
        values = checked(_arranged(found, axes.upper()))
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from None
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ImageError(f"{path.name}: its values exceed float32; divide it by a constant first")
    return Image(narrow, found.pixel_size_um, found.z_step_um)


def write_tiff(
    path: Path,
    array: NDArray[Any],
    axes: str,
    pixel_size_um: float | None = None,
    *,
    z_step_um: float | None = None,
) -> None:
    """Write an image that opens in Fiji with its axes and pixel size, all or nothing.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    array : array, shape as `axes`
        uint8 and uint16 are kept, everything else becomes float32 (ImageJ knows no others).
    axes : str
        "yx" or "zyx".
    pixel_size_um : float, optional
        Lateral.
    z_step_um : float, optional
        Distance of planes.

    Raises
    ------
    ImageError
        The array does not have the axes named, or is empty, complex, NaN or Inf.
    """
    if array.ndim != len(axes) or set(axes.lower()) - set("zyx"):
        raise ImageError(f"cannot write {_shown(array.shape, axes)}: expected axes yx or zyx")
    for name, size in (("pixel size", pixel_size_um), ("z step", z_step_um)):
        if size is not None and not (np.isfinite(size) and size > 0):
            raise ImageError(f"the {name} is {size} um, expected more than 0")
    pixels = array if array.dtype in (np.uint8, np.uint16) else checked(array).astype(np.float32)
    if pixels.size == 0:
        raise ImageError(f"cannot write an empty image of shape {array.shape}")
    metadata: dict[str, Any] = {"axes": axes.upper()}
    resolution = None
    if pixel_size_um is not None:
        metadata["unit"] = "um"
        resolution = (1 / pixel_size_um, 1 / pixel_size_um)
    if z_step_um is not None and "z" in axes.lower():
        metadata |= {"unit": "um", "spacing": z_step_um}
    with writing(path) as aside:
        tifffile.imwrite(aside, pixels, imagej=True, resolution=resolution, metadata=metadata)


def _found(path: Path) -> _Found:
    """Whatever image is in the file."""
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if not path.is_file():
        raise ImageError(f"{path} is a folder; expected one TIFF or PNG file")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    if start.startswith(PNG_SIGNATURE):
        return _png(path)
    if start.startswith(TIFF_SIGNATURES):
        return _tiff(path)
    raise ImageError(f"{path.name} {_looks_like(start)}; expected a TIFF or PNG image")


def _looks_like(start: bytes) -> str:
    """What a file that is no TIFF or PNG begins as."""
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
        b"\xda\xce\xbe\x0a": "is a Nikon ND2 file: save the image as TIFF (Fiji: File > Save As)",
    }
    for signature, message in known.items():
        if start.startswith(signature):
            return message
    return "is not an image this package reads"


def _tiff(path: Path) -> _Found:
    # tifffile logs what it repairs; a file it repaired is judged by what came out.
    log = logging.getLogger("tifffile")
    was_disabled, log.disabled = log.disabled, True
    try:
        with tifffile.TiffFile(path) as file:
            if not file.series:
                raise ImageError(f"{path.name}: the TIFF file holds no image")
            series = file.series[0]
            size = int(np.prod(series.shape, dtype=object)) * series.dtype.itemsize
            _bounded(path, size)
            _all_there(path, series)
            if len(file.series) > 1 and file.series[1].shape == series.shape:
                raise ImageError(
                    f"{path.name}: holds {len(file.series)} images of shape "
                    f"{_times(series.shape)}; save the wanted one to a file of its own"
                )
            return _Found(series.asarray(), series.axes.upper(), *_sizes(file))
    except ImageError:
        raise
    except Exception as error:
        # Any: a damaged file makes tifffile and its codecs raise whatever they stumble over
        # (struct.error, IndexError, zlib.error, imagecodecs errors, ...).
        raise _damaged(path, error) from error
    finally:
        log.disabled = was_disabled


def _all_there(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse a file cut short, whose missing segments tifffile would fill with zeros."""
    total = path.stat().st_size
    for page in series.pages:
        if page is None:
            raise ImageError(f"{path.name}: planes are missing from the file")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if offset + count > total:
                raise ImageError(
                    f"{path.name}: the file is cut short: {total} bytes, but pixels are said to "
                    f"be at {offset} to {offset + count}. Copy or download it again"
                )


def _png(path: Path) -> _Found:
    from PIL import Image as Pillow

    try:
        _whole_png(path)
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on; what is too large is decided below.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            opened = Pillow.open(path, formats=("PNG",))
        with opened as file:
            width, height = file.size
            sample_bytes = 2 if file.mode.startswith("I") else 1
            _bounded(path, width * height * len(file.getbands()) * sample_bytes)
            if file.mode in ("P", "PA"):
                raise ImageError(
                    f"{path.name}: a PNG with a colour table; expected grey values. "
                    "Convert it to 8 or 16 bit grey (Fiji: Image > Type)"
                )
            values = np.asarray(file)
    except ImageError:
        raise
    except Pillow.DecompressionBombError as error:
        raise ImageError(
            f"{path.name}: more pixels than PNG files are read with (179 million); save it as TIFF"
        ) from error
    except Exception as error:
        # Any: a damaged file makes Pillow raise OSError, SyntaxError, ValueError and others.
        raise _damaged(path, error) from error
    return _Found(values, "YXS"[: values.ndim])


def _whole_png(path: Path) -> None:
    """Check every chunk's length and checksum: Pillow forgives some damage."""
    data = path.read_bytes()
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            break
        (recorded,) = struct.unpack(">I", data[end - 4 : end])
        if zlib.crc32(data[at + 4 : end - 4]) != recorded:
            raise ImageError(f"{path.name}: the PNG is damaged (checksum of {kind!r})")
        if kind == b"IEND":
            return
        at = end
    raise ImageError(f"{path.name}: the PNG is cut short. Copy or download it again")


def _arranged(found: _Found, wanted: str) -> NDArray[Any]:
    """The image with its axes in the wanted order, or what does not fit."""
    values, axes = found.values, found.axes
    if len(axes) != values.ndim:
        raise ImageError(f"its axes {axes} do not fit its shape {_times(values.shape)}")
    for index in reversed(range(len(axes))):
        if values.shape[index] == 1 and axes[index] not in wanted:
            values = values.squeeze(index)
            axes = axes[:index] + axes[index + 1 :]
    missing = [axis for axis in wanted if axis not in axes]
    unknown = [axis for axis in axes if axis in _UNKNOWN_AXES]
    if len(missing) == 1 and len(unknown) == 1:
        axes = axes.replace(unknown[0], missing[0])
        missing = []
    if sorted(axes) != sorted(wanted):
        raise ImageError(
            f"shape {_shown(values.shape, axes)}; expected {wanted}: {_advice(axes, wanted)}"
        )
    return values.transpose([axes.index(axis) for axis in wanted])


def _advice(axes: str, wanted: str) -> str:
    if "S" in axes:
        return "this is a colour picture: convert it to grey (Fiji: Image > Type > 16-bit)"
    if "C" in axes:
        return "choose a channel and save it alone (Fiji: Image > Color > Split Channels)"
    if "T" in axes and "Z" in wanted and "Z" not in axes:
        return "if its frames are planes, say so (Fiji: Image > Properties) and save it again"
    if "T" in axes:
        return "choose a time point and save it alone (Fiji: Image > Duplicate)"
    if "Z" in wanted and "Z" not in axes:
        return "this is a single plane, and the task needs a stack"
    if "Z" not in wanted:
        return "choose a plane and save it alone, or project the stack"
    return "save it with these axes alone (Fiji: Image > Properties)"


def _sizes(file: tifffile.TiffFile) -> tuple[float | None, float | None]:
    """Lateral pixel size and z step in micrometres, each None where not said."""
    if file.is_ome and file.ome_metadata:
        return _ome_sizes(file.ome_metadata)
    if not file.is_imagej or not file.imagej_metadata:
        return None, None
    # Resolution of files that ImageJ did not write is dots per inch of a print: not of interest.
    factor = _MICROMETRES.get(str(file.imagej_metadata.get("unit", "")).lower())
    if factor is None:
        return None, None
    tags = file.pages.first.tags
    lateral = [_per_unit(tags.valueof(name)) for name in ("XResolution", "YResolution")]
    step = file.imagej_metadata.get("spacing")
    return _square(*(None if n is None else factor / n for n in lateral)), _length(step, factor)


def _ome_sizes(xml: str) -> tuple[float | None, float | None]:
    described: Any = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    first = described[0] if isinstance(described, list) else described
    pixels = first.get("Pixels", {})
    sizes = {}
    for axis in "XYZ":
        factor = _MICROMETRES.get(str(pixels.get(f"PhysicalSize{axis}Unit", "um")).lower())
        sizes[axis] = None if factor is None else _length(pixels.get(f"PhysicalSize{axis}"), factor)
    return _square(sizes["X"], sizes["Y"]), sizes["Z"]


def _per_unit(value: Any) -> float | None:
    """Pixels per unit from a TIFF fraction, or None where it says nothing."""
    if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
        return None
    return float(value[0]) / float(value[1])


def _length(value: Any, factor: float) -> float | None:
    if not isinstance(value, int | float) or not np.isfinite(value) or value <= 0:
        return None
    return float(value) * factor


def _square(x: float | None, y: float | None) -> float | None:
    # 0.1 %: TIFF stores a fraction, so equal sizes come back slightly different.
    if x is None or y is None or abs(x - y) > 1e-3 * x:
        return None
    return x


def _bounded(path: Path, size: int) -> None:
    """Refuse sizes that cannot be read, or that only a damaged header claims."""
    if size > MAX_BYTES:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.0f} GiB of pixels, more than the "
            f"{MAX_BYTES // 2**30} GiB this package reads; crop it first"
        )
    # 2000: Deflate reaches 1032 at most, on an image that is all one value.
    if size > SUSPICIOUS_BYTES and size > 2000 * path.stat().st_size:
        raise ImageError(
            f"{path.name}: claims {size / 2**30:.1f} GiB of pixels in a file of "
            f"{path.stat().st_size} bytes: it is damaged. Copy or download it again"
        )


def _damaged(path: Path, error: Exception) -> ImageError:
    return ImageError(
        f"{path.name}: the image cannot be read ({type(error).__name__}: {error}). "
        "Is it complete, and does it open in Fiji?"
    )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)


def _shown(shape: tuple[int, ...], axes: str) -> str:
    return f"{_times(shape)} with axes {axes.upper()}"

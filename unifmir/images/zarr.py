"""OME-Zarr images and plain Zarr arrays, read and written by chunks."""

import importlib
import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from unifmir.errors import ArchiveError, ImageError, MissingExtraError
from unifmir.images.addresses import require_http, url_of
from unifmir.images.base import (
    AXES,
    ImageInfo,
    PathSource,
    Pixels,
    Region,
    Shape,
    check_output,
    check_region,
    check_values,
    times,
)
from unifmir.images.damage import (
    SPARSE_BYTES,
    SPARSE_RATIO,
    check_memory,
    check_sparse,
    reading,
    require_regular,
)
from unifmir.images.layout import Layout, find_layout, pixel_dtype
from unifmir.images.ngff import (
    axis_letters,
    first_field,
    is_plate,
    level_0,
    multiscales_of,
    ngff_info,
)
from unifmir.images.plane_output import OutputRequest
from unifmir.images.pyramid import build_pyramid, create_level
from unifmir.images.staged_output import StagedOutput, staging_plan
from unifmir.output_place import written_to
from unifmir.zip_archive import is_zip, opened_zip

if TYPE_CHECKING:
    from zarr import Array, Group

NODES = (".zgroup", ".zarray", "zarr.json")
"""A folder that holds one of these is a Zarr group or array."""
_FLAT_CHUNK = (1, 1, 1, 1024, 1024)
_DEEP_CHUNK = (1, 1, 16, 256, 256)
"""Both are 4 MiB of float32: 20 gigapixels in 20,000 files. Stacks are also looked at from the
side."""


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array, whatever its name."""
    return any((path / node).is_file() for node in NODES)


def is_zipped_zarr(path: Path) -> bool:
    """Whether a file is an archive of a Zarr group or array, whatever its name."""
    try:
        return _group_in_archive(path) is not None
    except ImageError:
        return False  # no archive that can be read: what it looks like is said


def _group_in_archive(path: Path) -> str | None:
    """Folder of an archive that the outermost Zarr group or array is, empty for its top.

    Returns
    -------
    str or None
        None where there is none, or the file is no archive.
    """
    if not is_zip(path):
        return None
    try:
        with reading(path), opened_zip(path, large=True) as archive:
            nodes = [
                PurePosixPath(name)
                for name in archive.members
                if PurePosixPath(name).name in (*NODES, ".zattrs")
            ]
    except ArchiveError as error:
        raise ImageError(f"{path.name}: {error}; copy it again") from error
    if not nodes:
        return None
    outermost = min((node.parent for node in nodes), key=lambda folder: len(folder.parts))
    return "" if outermost == PurePosixPath() else outermost.as_posix()


def lies_in_zarr(path: Path) -> bool:
    """Whether a name is that of an OME-Zarr image, or of one inside a larger OME-Zarr."""
    return any(one.suffix.lower() == ".zarr" for one in (path, *path.parents))


def library() -> Any:
    """The zarr package; MissingExtraError where it is not installed."""
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise MissingExtraError(
            "zarr is not installed. OME-Zarr images need it: pip install 'unifmir[zarr]', or use "
            "TIFF files. Datasets to train on need it: pip install 'unifmir[train]'"
        ) from error


class ZarrSource(PathSource):
    """An OME-Zarr image (0.1 to 0.5, full resolution), or a Zarr array.

    Parameters
    ----------
    path : Path
        The folder of the image or array; one inside a larger Zarr, such as a field of a plate; an
        archive of one (.ozx, .zarr.zip); or an address (https://...), as `Path` writes it.
    axes : str, optional
        The axes of an array that does not say them.
    series : int, optional
        Which of the images that Bio-Formats wrote to one Zarr.

    Raises
    ------
    ImageError
        The folder holds no image, several, or one whose axes are none of T, C, Z, Y, X.
    MissingExtraError
        zarr is not installed, or what reads addresses.
    """

    def __init__(self, path: Path, *, axes: str | None = None, series: int | None = None) -> None:
        super().__init__(path, axes=axes, series=series)
        zarr = library()
        self._store = _store(path)
        with reading(path):
            node = zarr.open(store=self._store, path=_group_in_archive(path), mode="r")
            attributes: dict[str, Any] = {}
            if isinstance(node, zarr.Group):
                node, attributes = _image_group(node, series, url_of(path))
            self._array: Array[Any] = _full_resolution(node, attributes)
            # What the user says is not judged by what the file fails to say.
            letters = "_" * self._array.ndim if axes else _letters(self._array, attributes)
            self._layout = find_layout(letters, self._array.shape, wanted=axes)
            self.shape: Shape = self._layout.image_shape
            self.dtype: np.dtype[Any] = pixel_dtype(np.dtype(self._array.dtype))
            self.chunks: Shape = self._layout.image_lengths(_smaller(self._array))
            self.info: ImageInfo = ngff_info(attributes, path.name, self._layout)
            self._check_declared(path)

    def _check_declared(self, path: Path) -> None:
        """Hold what the array says against the memory, and an enormous one against its files."""
        # A chunk is decoded whole, however little of it the image needs.
        check_memory(path, math.prod(self._array.chunks) * self._array.dtype.itemsize)
        size = math.prod(self._array.shape) * self._array.dtype.itemsize
        if size <= SPARSE_BYTES or url_of(path) is not None:
            return
        if path.is_file():
            check_sparse(path, size, path.stat().st_size)
        else:
            from unifmir.images.zarr_store import stored_bytes

            folder = path / self._array.path
            check_sparse(path, size, stored_bytes(folder, size // SPARSE_RATIO + 1))

    def read(self, region: Region) -> Pixels:
        """The intensities of a region; only its chunks are decoded."""
        check_region(region, self.shape)
        with reading(self._path):
            values = np.asarray(self._array[self._layout.region(region)])
        return self._layout.to_image(values).astype(self.dtype, copy=False)

    def close(self) -> None:
        """Close the archive; of a folder nothing is kept open."""
        self._store.close()


def _store(path: Path) -> Any:
    """Open what the library reads from: a folder, an address, or an archive.

    Raises
    ------
    MissingExtraError
        zarr is not installed, or what reads addresses.
    """
    library()
    url = url_of(path)
    if url is not None:
        require_http(url)
    from unifmir.images.zarr_store import held_address, held_archive, held_folder

    with reading(path):
        if url is not None:
            return held_address(url)
        if path.is_file():
            require_regular(path)
            return held_archive(path)
        return held_folder(path)


def _smaller(array: "Array[Any]") -> tuple[int, ...]:
    return tuple(min(pair) for pair in zip(array.chunks, array.shape, strict=True))


def _image_group(
    group: "Group", series: int | None, url: str | None
) -> "tuple[Group, dict[str, Any]]":
    """The group that holds the image, and its attributes."""
    attributes = dict(group.attrs)
    if multiscales_of(attributes) is not None:
        if series not in (None, 0):
            raise ImageError(f"holds one image: there is no number {series}")
        return group, attributes
    if is_plate(attributes):
        raise ImageError(
            "is a plate, which holds an image for each field: open one of them "
            "(PLATE.zarr/A/1/0, by row, column and field)"
            if url is None
            else "is a plate (or a well of one), whose fields are not gone through at an address: "
            f"name them one by one ({url}/{first_field(attributes)}), or download the plate"
        )
    images = sorted((name for name in group.group_keys() if name.isdecimal()), key=int)
    if not images:
        return group, attributes
    if series is None and len(images) > 1:
        raise ImageError(
            f"holds {len(images)} images; choose one (--series {images[0]} to {images[-1]})"
        )
    wanted = images[0] if series is None else str(series)
    if wanted not in images:
        raise ImageError(f"has no image number {wanted}: it holds {images[0]} to {images[-1]}")
    inner = group[wanted]
    return inner, dict(inner.attrs)  # type: ignore[return-value]  # decimal names are groups


def _full_resolution(node: "Group | Array[Any]", attributes: dict[str, Any]) -> "Array[Any]":
    import zarr

    if isinstance(node, zarr.Array):
        return node
    multiscales = multiscales_of(attributes)
    if multiscales is None:
        arrays = sorted(node.array_keys())
        raise ImageError(
            "is a Zarr group without OME-Zarr metadata; expected an image. "
            + (
                f"Open one of the arrays in it: {', '.join(arrays[:8])}"
                if arrays
                else "It is empty"
            )
        )
    name = level_0(multiscales)
    found = node.get(name)
    if not isinstance(found, zarr.Array):
        raise ImageError(f"its array {name!r} of full resolution is missing: copy it again")
    return found


def _letters(array: "Array[Any]", attributes: dict[str, Any]) -> str:
    """The axes that the metadata names, those an array names itself, or the only possible ones."""
    multiscales = multiscales_of(attributes)
    said = axis_letters(multiscales, array.ndim) if multiscales is not None else None
    if said is not None:
        return said
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if isinstance(names, list | tuple) and all(isinstance(n, str) and len(n) == 1 for n in names):
        return "".join(str(name) for name in names)
    if array.ndim in (2, len(AXES)):
        return AXES[-array.ndim :]
    raise ImageError(
        f"an array of shape {times(array.shape)} that does not say what its axes are: name them "
        f"({array.ndim} of T, C, Z, Y, X: --axes zyx, say)"
    )


class ZarrSink:
    """An OME-Zarr 0.4 image with a pyramid, in compressed chunks.

    Chunks are renamed into place one by one, so that a kill leaves whole ones. Other processes
    write to an unpickled copy; only the one that made the sink publishes it.
    """

    def __init__(self, request: OutputRequest) -> None:
        library()
        check_output(request.shape, request.info)
        self.path = request.path
        self.info = request.info
        self.shape: Shape = request.shape
        self.dtype: np.dtype[Any] = pixel_dtype(np.dtype(request.dtype))
        self.chunks: Shape = _fitting(request.chunks or _default_chunks(self.shape), self.shape)
        self._layout = _zarr_layout(self.info, self.shape)
        if self.path.is_dir() and any(self.path.iterdir()) and not is_zarr(self.path):
            raise ImageError(
                f"{self.path} is a folder that is no OME-Zarr image, and is not replaced: "
                "choose another name"
            )
        self._staged = StagedOutput(
            self.path, staging_plan("ome-zarr", self.shape, self.dtype, self.info, self.chunks)
        )
        self.resumed: bool = self._staged.begin(self._create, resume=request.resume)
        self._array: Array[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_array": None}

    def write(self, region: Region, values: Pixels) -> None:
        """Write intensities to a region. Chunks it covers in part are read first."""
        check_values(region, values, self.shape, self.dtype)
        with written_to(self.path):
            if self._array is None:
                self._array = library().open_array(store=str(self._staged.path / "0"), mode="r+")
            self._array[self._layout.region(region)] = self._layout.to_file(values)

    def flush(self) -> None:
        """Every write has ended in files that survive this process."""

    def publish(self) -> None:
        """Compute the pyramid, then rename into place, replacing what was there."""
        for left in self._staged.path.rglob("*.partial"):
            left.unlink()  # chunks that a killed process had begun to write
        self._array = None
        with written_to(self.path):
            build_pyramid(self._staged.path, self.info, self._layout)
        self._staged.publish()

    def discard(self) -> None:
        """Delete what lies aside."""
        self._array = None
        self._staged.discard()

    def _create(self, path: Path) -> dict[str, Any]:
        group = library().create_group(store=str(path), zarr_format=2)
        create_level(group, 0, self._layout, self._layout.file_lengths(self.chunks), self.dtype)
        return {}


def _zarr_layout(info: ImageInfo, shape: Shape) -> Layout:
    lengths = dict(zip(AXES, shape, strict=True))
    return Layout(info.axes, tuple(lengths[axis] for axis in info.axes))


def _default_chunks(shape: Shape) -> Shape:
    return _FLAT_CHUNK if shape[2] == 1 else _DEEP_CHUNK


def _fitting(chunks: Shape, shape: Shape) -> Shape:
    t, c, z, y, x = (max(1, min(pair)) for pair in zip(chunks, shape, strict=True))
    return t, c, z, y, x

"""Planes that lie one after the other in a file, written by regions."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifmir.images.base import ImageInfo, Pixels, Region, Shape, check_output, check_values
from unifmir.images.layout import Layout
from unifmir.images.staged_output import StagedOutput, check_space, staging_plan, sync_file
from unifmir.output_place import written_to

_CHUNK_BYTES = 4 * 2**20

FILE_ORDER = "tzcyx"
"""Channels change before planes and times: ImageJ knows no other order."""


def file_layout(info: ImageInfo, shape: Shape) -> Layout:
    """The image as an array whose axes are those it really has, in the order of ImageJ."""
    axes = "".join(axis for axis in FILE_ORDER if axis in info.axes)
    lengths = dict(zip("tczyx", shape, strict=True))
    return Layout(axes, tuple(lengths[axis] for axis in axes))


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """An output that is to be made."""

    path: Path
    shape: Shape
    dtype: np.dtype[Any]
    info: ImageInfo
    chunks: Shape | None = None
    resume: bool = True


class PlanesSink:
    """A sink whose unfinished form is a header and then planes, uncompressed.

    Regions are written with plain file writes, not through a memory map: a full disk is then an
    error and not the end of the process. Several processes of one machine can write at once.
    """

    kind: str
    """Name of the format, for the note that lies beside the unfinished form."""

    def __init__(self, request: OutputRequest) -> None:
        check_output(request.shape, request.info)
        self.path = request.path
        self.info = request.info
        self.shape: Shape = request.shape
        self.dtype: np.dtype[Any] = np.dtype(request.dtype).newbyteorder("=")
        self._layout = file_layout(request.info, request.shape)
        self._check()
        self.chunks: Shape = request.chunks or self._rows()
        self._staged = StagedOutput(
            self.path, staging_plan(self.kind, self.shape, self.dtype, self.info, self.chunks)
        )
        self.resumed: bool = self._staged.begin(self._create_with_room, resume=request.resume)
        facts = self._staged.facts
        self._offset = int(facts["offset"])
        self._stored = self.dtype.newbyteorder(facts["byteorder"])

    def _check(self) -> None:
        """Raise ImageError for what this kind of file cannot hold."""
        raise NotImplementedError

    def _create(self, path: Path) -> dict[str, Any]:
        """Make the empty file; where its pixels begin (`offset`), and their `byteorder`."""
        raise NotImplementedError

    def write(self, region: Region, values: Pixels) -> None:
        """Write intensities to a region."""
        check_values(region, values, self.shape, self.dtype)
        with written_to(self.path):
            self._write(region, values)

    def _write(self, region: Region, values: Pixels) -> None:
        filed = np.ascontiguousarray(self._layout.to_file(values), dtype=self._stored)
        *outer, ys, xs = self._layout.region(region)
        *lengths, height, width = self._layout.shape
        with self._staged.path.open("rb+", buffering=0) as file:
            for position in np.ndindex(*filed.shape[:-2]):
                at = tuple(n + bounds.start for n, bounds in zip(position, outer, strict=True))
                index = int(np.ravel_multi_index(at, lengths)) if at else 0
                first = (index * height + ys.start) * width + xs.start
                runs = filed[position]
                if xs.stop - xs.start == width:
                    runs = runs.reshape(1, -1)
                for row, run in enumerate(runs):
                    file.seek(self._offset + (first + row * width) * self._stored.itemsize)
                    _write_all(file, run.tobytes())

    def flush(self) -> None:
        """Wait until everything written so far is on the disk."""
        with written_to(self.path):
            sync_file(self._staged.path)

    def publish(self) -> None:
        """Rename into place, replacing what was there."""
        self.flush()
        self._staged.publish()

    def discard(self) -> None:
        """Delete what lies aside."""
        self._staged.discard()

    def _create_with_room(self, path: Path) -> dict[str, Any]:
        check_space(path.parent, math.prod(self.shape) * self.dtype.itemsize)
        return self._create(path)

    def _rows(self) -> Shape:
        *_, y, x = self.shape
        return 1, 1, 1, min(y, max(1, _CHUNK_BYTES // (x * self.dtype.itemsize))), x


def _write_all(file: Any, data: bytes) -> None:
    """An unbuffered write may take only part of the bytes (2 GiB at once, or a full disk)."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]

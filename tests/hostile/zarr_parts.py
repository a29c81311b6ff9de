"""Zarr images of one chunk, with any metadata."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.hostile import Room
from tests.helpers.microscope_files import multiscales

SIDE = 32
PLANE = np.random.default_rng(8).integers(100, 900, (SIDE, SIDE), dtype=np.uint16)
FLAT = np.zeros_like(PLANE)
RAW = PLANE.tobytes()
ARRAY: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [SIDE, SIDE],
    "chunks": [SIDE, SIDE],
    "dtype": "<u2",
    "compressor": None,
    "fill_value": 0,
    "order": "C",
    "filters": None,
}
ARRAY_3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [SIDE, SIDE],
    "data_type": "uint16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SIDE, SIDE]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "attributes": {},
}
LITTLE = ARRAY_3["codecs"][0]
ATTRIBUTES = multiscales("yx", (0.1, 0.1))
Making = Callable[[Path, Room], Any]


def image_2(
    array: dict[str, Any] | bytes,
    chunk: bytes | Making | None = RAW,
    *,
    attributes: Any = ATTRIBUTES,
    make: Making | None = None,
    name: str = "a.zarr",
) -> Callable[[Room], Path]:
    """An OME-Zarr of Zarr 2: metadata of its array, and its one chunk."""

    def write(room: Room) -> Path:
        path = room.given / name
        (path / "0").mkdir(parents=True)
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        text = attributes if isinstance(attributes, bytes) else json.dumps(attributes).encode()
        (path / ".zattrs").write_bytes(text)
        said = array if isinstance(array, bytes) else json.dumps(ARRAY | array).encode()
        (path / "0" / ".zarray").write_bytes(said)
        _put(path / "0" / "0.0", chunk, room)
        if make is not None:
            make(path, room)
        return path

    return write


def image_3(
    array: dict[str, Any] | bytes, chunk: bytes | Making | None = RAW
) -> Callable[[Room], Path]:
    """An array of Zarr 3, and its one chunk."""

    def write(room: Room) -> Path:
        path = room.given / "a.zarr"
        (path / "c" / "0").mkdir(parents=True)
        said = array if isinstance(array, bytes) else json.dumps(ARRAY_3 | array).encode()
        (path / "zarr.json").write_bytes(said)
        _put(path / "c" / "0" / "0", chunk, room)
        return path

    return write


def _put(path: Path, chunk: bytes | Making | None, room: Room) -> None:
    if callable(chunk):
        chunk(path, room)
    elif chunk is not None:
        path.write_bytes(chunk)

"""Zarr images whose metadata, chunks and names lie."""

import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.helpers import hostile_images
from tests.helpers.hostile import HostileKind, Room
from tests.helpers.hostile_images import ImageCase, refused, right, special_files
from tests.hostile import zarr_chunk_cases, zarr_metadata_cases
from tests.hostile.zarr_parts import FLAT, PLANE, RAW, Making, image_2, image_3


def linked(target: str) -> Making:
    return lambda path, _room: path.symlink_to(target)


def pipe(path: Path, _room: Room) -> None:
    os.mkfifo(path)


def others_pixels(path: Path, room: Room) -> None:
    secret = room.victim / "pixels"
    secret.write_bytes(RAW)
    path.symlink_to(secret)


def swapped(part: str, how: Making) -> Making:
    """Something else in place of a part."""

    def make(path: Path, room: Room) -> None:
        (path / part).unlink()
        how(path / part, room)

    return make


def moved_away(path: Path, room: Room) -> None:
    shutil.move(path / "0", room.victim / "0")
    (path / "0").symlink_to(room.victim / "0")


def pipe_beside(name: str) -> Making:
    return lambda path, _room: os.mkfifo(path / name)


def special_parts() -> Iterator[ImageCase]:
    """Files of a Zarr that are none, or lie elsewhere."""
    for name, chunk in (
        ("a named pipe", pipe),
        ("a folder", lambda path, _room: path.mkdir()),
        ("a link to /dev/zero", linked("/dev/zero")),
        ("a link to the file of another", linked("../../../victim/precious.txt")),
        ("a link to itself", linked("0.0")),
    ):
        expected = FLAT if name == "a folder" else None
        yield ImageCase(f"a chunk that is {name}", image_2({}, chunk), expected)
        yield ImageCase(f"3: a chunk that is {name}", image_3({}, chunk), expected)

    yield refused("a chunk that is a link to another's pixels", image_2({}, others_pixels))

    for part in (".zattrs", ".zgroup", "0/.zarray"):
        for name, how in (
            ("a named pipe", pipe),
            ("a link to /dev/zero", linked("/dev/zero")),
            ("a link to the text of another", linked("/etc/hostname")),
            ("a link to itself", linked(Path(part).name)),
            ("empty", lambda path, _room: path.touch()),
        ):
            yield refused(f"{part} is {name}", image_2({}, make=swapped(part, how)))

    yield refused("the array is a link to another's", image_2({}, make=moved_away))

    for name in ("zarr.json", ".zmetadata", "0/zarr.json"):
        yield right(
            f"{name} is a named pipe beside the right ones",
            image_2({}, make=pipe_beside(name)),
            PLANE,
        )


Packing = Callable[[zipfile.ZipFile, str, bytes], Any]


def packed_zarr(change: Packing) -> Callable[[Room], Path]:
    """An archive of the right image, each of whose parts is written by a function."""

    def write(room: Room) -> Path:
        folder = image_2({}, name="inside.zarr")(room)
        path = room.given / "a.ozx"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    change(archive, file.relative_to(folder).as_posix(), file.read_bytes())
        shutil.rmtree(folder)
        return path

    return write


def plain(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(name, data)


def grown(part: str) -> Packing:
    """One part is 128 MiB of zeros."""
    return lambda archive, name, data: archive.writestr(
        name, bytes(2**27) if name.endswith(part) else data
    )


def twice(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(name, data)
    if name.endswith("0.0"):
        archive.writestr("0/0.1", data[::-1])


def renamed(room: Room) -> Path:
    """An archive of two chunks of one name."""
    path = packed_zarr(twice)(room)
    path.write_bytes(path.read_bytes().replace(b"0/0.1", b"0/0.0"))
    return path


def patched(form: str, value: int, at: int, mark: bytes) -> Callable[[Room], Path]:
    """An archive with a number told otherwise, so many bytes behind each mark."""

    def write(room: Room) -> Path:
        path = packed_zarr(plain)(room)
        data = bytearray(path.read_bytes())
        place = data.index(mark)
        while place >= 0:
            struct.pack_into(form, data, place + at, value)
            place = data.find(mark, place + 4)
        path.write_bytes(data)
        return path

    return write


def archives() -> Iterator[ImageCase]:
    """Archives of a Zarr."""
    yield right("an archive, right", packed_zarr(plain), PLANE)
    for part in (".zattrs", ".zarray", "0.0"):
        yield refused(f"an archive whose {part} is 128 MiB of zeros", packed_zarr(grown(part)))
    yield refused("an archive of two chunks of one name", renamed)

    central, local, end = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
    # What the directory says counts, and what is said twice is taken from there.
    begin = patched("<H", 77, 8, local)
    yield right("an archive whose members begin otherwise", begin, PLANE)
    yield right("an archive of 65535 members", patched("<H", 65535, 10, end), PLANE)
    for name, form, value, at, mark in (
        ("encrypted", "<H", 1, 8, central),
        ("of an unknown method", "<H", 77, 10, central),
        ("of members of 4 GiB", "<I", 2**32 - 2, 24, central),
        ("of members elsewhere", "<I", 2**31, 42, central),
        ("of another checksum", "<I", 7, 16, central),
        ("of names of 65535 letters", "<H", 65535, 28, central),
        ("of a directory elsewhere", "<I", 2**31, 16, end),
    ):
        yield refused(f"an archive {name}", patched(form, value, at, mark))


def cases() -> Iterable[ImageCase]:
    """All cases."""
    yield from special_files("a.zarr", b"{}")
    parts = (
        zarr_metadata_cases.grids,
        zarr_metadata_cases.types,
        zarr_metadata_cases.codecs,
        zarr_chunk_cases.bombs,
        zarr_chunk_cases.shards,
        special_parts,
        zarr_metadata_cases.descriptions,
        zarr_metadata_cases.plates,
        archives,
    )
    for part in parts:
        yield from part()


KIND = HostileKind("Zarr image", cases, hostile_images.give, hostile_images.lie)

"""TIFF files whose tags, chains, compression and metadata lie."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tests.helpers import hostile_images
from tests.helpers.hostile import HostileKind, Room
from tests.helpers.hostile_images import ImageCase, refused, special_files
from tests.helpers.tiff_bytes import (
    COUNTS,
    LENGTH,
    LONG,
    LONG8,
    OFFSETS,
    ROWS,
    WIDTH,
    Page,
    page,
    tiff,
)
from tests.hostile import tiff_codec_cases, tiff_metadata_cases, tiff_structure_cases
from tests.hostile.tiff_parts import PLANE


def disks() -> Iterator[ImageCase]:
    def with_a_hole(room: Room) -> Path:
        # A terabyte of one hole behind a right header.
        side = 2**20
        tags = {
            WIDTH: (LONG8, [side]),
            LENGTH: (LONG8, [side]),
            ROWS: (LONG, [side]),
            COUNTS: (LONG8, [side * side * 2]),
        }
        data = tiff(Page([b"\0\0"], (side, side), PLANE.dtype, None, tags), big=True)
        path = room.folder / "a.tif"  # not in `given`, whose files are hashed
        path.write_bytes(data)
        os.truncate(path, 2**41 + 16)
        return path

    yield refused("2 TiB of a hole", with_a_hole)

    def large(room: Room) -> Path:
        side = 20_000
        tags = {COUNTS: (LONG, [side * side])}
        data = tiff(
            Page([b""], (side, side), np.dtype(np.uint8), None, tags | {OFFSETS: (LONG, [1024])})
        )
        path = room.folder / "a.tif"  # not in `given`, whose files are hashed
        path.write_bytes(data)
        os.truncate(path, 1024 + side * side)
        return path

    yield ImageCase(
        "400 megapixels that are there, right", large, corner=np.zeros((8, 8), np.uint8)
    )


def cases() -> Iterable[ImageCase]:
    """All cases."""
    yield from special_files("a.tif", tiff(page(PLANE)))
    for part in (
        tiff_structure_cases.sizes,
        tiff_structure_cases.offsets,
        tiff_structure_cases.tiles,
        tiff_structure_cases.chains,
        tiff_structure_cases.big_tiffs,
        tiff_codec_cases.bombs,
        tiff_metadata_cases.words,
        tiff_metadata_cases.ome_numbers,
        tiff_metadata_cases.ome_text_tricks,
        tiff_metadata_cases.file_names,
        tiff_metadata_cases.neighbours,
        tiff_metadata_cases.other_microscopes,
        disks,
    ):
        yield from part()


KIND = HostileKind("TIFF image", cases, hostile_images.give, hostile_images.lie)

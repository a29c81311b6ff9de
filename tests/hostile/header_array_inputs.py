"""MRC and NIfTI files whose headers, sizes and packing lie."""

import gzip
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.helpers import hostile_images
from tests.helpers.hostile import HostileKind, Room
from tests.helpers.hostile_images import ImageCase, kept_path, refused, right, special_files

RNG = np.random.default_rng(12)
STACK = RNG.integers(100, 900, (3, 12, 16), dtype=np.uint16)
LARGE = 2**31 - 1
Order = Literal["<", ">"]


def mrc(pixels: np.ndarray = STACK, mode: int = 6, order: Order = "<", **said: Any) -> bytes:
    """An MRC file; `said` has other header words, by their number counted from 1."""
    words = [0] * 256
    sizes = (1, *pixels.shape)[-3:][::-1]
    words[0:3], words[3], words[7:10] = sizes, mode, sizes
    for name, value in said.items():
        words[int(name.removeprefix("word_")) - 1] = value
    packed = struct.pack(f"{order}256i", *words)
    return packed + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


def nifti(pixels: np.ndarray = STACK, *, code: int = 512, order: Order = "<", **said: Any) -> bytes:
    """A NIfTI-1 file; `said` has other bytes, by the place where they begin."""
    header = bytearray(352)
    header[0:4] = struct.pack(f"{order}i", 348)
    lengths = [pixels.ndim, *pixels.shape[::-1], *[1] * (7 - pixels.ndim)]
    header[40:56] = struct.pack(f"{order}8h", *lengths)
    header[70:74] = struct.pack(f"{order}2h", code, 8 * pixels.itemsize)
    header[76:108] = struct.pack(f"{order}8f", 1, 0.1, 0.1, 0.5, 1, 1, 1, 1)
    header[108:120] = struct.pack(f"{order}3f", 352, 0, 0)
    header[123] = 3
    header[344:348] = b"n+1\0"
    for name, value in said.items():
        at = int(name.removeprefix("at_"))
        header[at : at + len(value)] = value
    return bytes(header) + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


def bad(name: str, suffix: str, data: bytes) -> ImageCase:
    return refused(f"{suffix} {name}", kept_path(lambda path: path.write_bytes(data), f"a{suffix}"))


def fine(name: str, suffix: str, data: bytes, pixels: np.ndarray) -> ImageCase:
    return right(
        f"{suffix} {name}", kept_path(lambda path: path.write_bytes(data), f"a{suffix}"), pixels
    )


def mrc_cases() -> Iterator[ImageCase]:
    for word in (1, 2, 3):
        for value in (0, -1, 1, 2, 11, 13, 17, 1000, 2**24, LARGE):
            yield bad(
                f"{value} in word {word}", ".mrc", mrc(STACK, 6, "<", **{f"word_{word}": value})
            )
    for mode in (-1, 0, 2, 3, 4, 5, 7, 13, 16, 101, LARGE):
        yield bad(f"mode {mode} of data of 16 bits", ".mrc", mrc(mode=mode))
    for extended in (-1, 1, 1024, 2**24, 2**24 + 1, LARGE):
        yield bad(f"{extended} more bytes of header", ".mrc", mrc(word_24=extended))
    whole = mrc()
    for cut in (0, 1, 56, 1023, 1024, 1025, len(whole) // 2, len(whole) - 1):
        yield bad(f"cut after {cut} bytes", ".mrc", whole[:cut])
    yield bad("a byte more", ".mrc", whole + b"\0")
    yield bad("of noise", ".mrc", bytes(RNG.integers(0, 256, 4096, dtype=np.uint8)))
    yield fine("right", ".mrc", whole, STACK)
    yield fine("of the other order, right", ".mrc", mrc(order=">"), STACK)
    for place in (8, 9, 10, 11, 12, 13):
        for value in (0, -1, 0x7F800000, 0x7FC00000, LARGE):
            yield fine(
                f"{value} in word {place}",
                ".mrc",
                mrc(STACK, 6, "<", **{f"word_{place}": value}),
                STACK,
            )

    def hole(room: Room) -> Path:
        path = room.folder / "a.mrc"  # not in `given`, whose files are hashed
        path.write_bytes(mrc(word_1=2**20, word_2=2**20, word_3=1)[:1024])
        os.truncate(path, 1024 + 2**41)
        return path

    yield refused("2 TiB of a hole as MRC", hole)


def nifti_cases() -> Iterator[ImageCase]:
    for count in (-1, 0, 1, 2, 4, 6, 7, 8, 32767):
        said = struct.pack("<8h", count, 16, 12, 3, 2, 1, 1, 1)
        yield bad(f"{count} axes", ".nii", nifti(at_40=said))
    for axis in (0, 1, 2):
        for value in (0, -1, 1, 13, 32767):
            lengths = [16, 12, 3]
            lengths[axis] = value
            packed = struct.pack("<8h", 3, *lengths, 1, 1, 1, 1)
            yield bad(f"{value} along axis {axis}", ".nii", nifti(at_40=packed))
    for code in (-1, 0, 1, 2, 8, 32, 64, 128, 1536, 1792, 2048, 2304):
        yield bad(f"type {code} of data of 16 bits", ".nii", nifti(code=code))
    for offset in (-1, 0, 347, 351, 352.5, 353, 1e9, 3e38, float("inf"), float("nan")):
        packed = struct.pack("<f", offset)
        yield bad(f"pixels from byte {offset}", ".nii", nifti(at_108=packed))
    for scale in (float("inf"), float("nan"), -float("inf")):
        yield bad(f"a slope of {scale}", ".nii", nifti(at_112=struct.pack("<2f", scale, 0)))
        yield bad(f"an intercept of {scale}", ".nii", nifti(at_112=struct.pack("<2f", 1, scale)))
    whole = nifti()
    for cut in (0, 3, 4, 347, 348, 352, len(whole) // 2, len(whole) - 1):
        yield bad(f"cut after {cut} bytes", ".nii", whole[:cut])
        packed = gzip.compress(whole)
        yield bad(f"packed, cut after {cut % len(packed)}", ".nii.gz", packed[: cut % len(packed)])
    yield bad("without its magic", ".nii", nifti(at_344=b"ni1\0"))
    yield bad("a byte more", ".nii", whole + b"\0")
    yield bad("not packed", ".nii.gz", whole)
    yield bad("packed twice", ".nii.gz", gzip.compress(gzip.compress(whole)))
    yield bad("a gigabyte of zeros", ".nii.gz", gzip.compress(whole[:352] + bytes(2**28)) * 4)
    yield fine("right", ".nii", whole, STACK)
    yield fine("of the other order, right", ".nii", nifti(order=">"), STACK)
    yield fine("packed, right", ".nii.gz", gzip.compress(whole), STACK)
    doubled = nifti(at_112=struct.pack("<2f", 2, 10))
    yield fine("scaled, right", ".nii", doubled, STACK.astype(np.float32) * 2 + 10)
    for distance in (0.0, -1.0, float("inf"), float("nan")):
        packed = struct.pack("<3f", distance, distance, distance)
        yield fine(f"distances of {distance}", ".nii", nifti(at_80=packed), STACK)


def cases() -> Iterable[ImageCase]:
    """All cases."""
    yield from special_files("a.mrc", mrc())
    yield from mrc_cases()
    yield from nifti_cases()


KIND = HostileKind("MRC, NIfTI", cases, hostile_images.give, hostile_images.lie)

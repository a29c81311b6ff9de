"""Training files (.npz) that lie: archives, arrays and axes."""

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

RNG = np.random.default_rng(16)
X = RNG.random((3, 1, 2, 16, 16)).astype(np.float32)
Y = (X + 0.1 * RNG.random(X.shape)).astype(np.float32)
Entry = tuple[str, bytes, bool]
"""Name, content, and whether the pairs in it may be kept."""


def array_file(array: Any, **changes: Any) -> bytes:
    """An .npy file; `changes` replace what its header says."""
    buffer = io.BytesIO()
    if not changes:
        np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=True)
        return buffer.getvalue()
    header = np.lib.format.header_data_from_array_1_0(array) | changes
    text = header.pop("text", None) or repr(header)
    text = text.ljust(118 - 1) + "\n"
    packed = text.encode()
    numbers: bytes = array.tobytes()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(packed)) + packed + numbers


def archive(
    first: bytes | None = None,
    second: bytes | None = None,
    axes: bytes | str | None = "SCZYX",
    *,
    packed: bool = False,
    others: Mapping[str, bytes] | None = None,
) -> bytes:
    """A training file of these members; None leaves the right one, empty leaves it out."""
    members = {
        "X.npy": array_file(X) if first is None else first,
        "Y.npy": array_file(Y) if second is None else second,
        "axes.npy": array_file(np.array(axes)) if isinstance(axes, str) else axes or b"",
        **(others or {}),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else 0) as file:
        for name, content in members.items():
            if content:
                file.writestr(name, content)
    return buffer.getvalue()


@cache
def good() -> bytes:
    rng = np.random.default_rng(17)
    first = rng.random(X.shape).astype(np.float32)
    return archive(array_file(first), array_file(first + np.float32(0.1)))


def archives() -> Iterator[Entry]:
    """All of them."""
    yield from _whole()
    yield from _arrays()
    yield from _axes()


def _whole() -> Iterator[Entry]:
    whole = archive()
    yield "right", whole, True
    yield "packed, right", archive(packed=True), True
    for cut in (0, 1, 4, 30, 100, 300, len(whole) // 2, len(whole) - 100, len(whole) - 22):
        yield f"cut after {cut} bytes", whole[:cut], False
    for at in (0, 8, 14, 18, 26, 40, 120, 170, len(whole) - 10, len(whole) - 6):
        broken = bytearray(whole)
        broken[at] ^= 0x41
        # What stands before a member is told again at the end, which counts.
        yield f"byte {at} changed", bytes(broken), at > 4
    flipped = bytearray(whole)
    flipped[1000] ^= 0x10
    yield "a bit of its numbers changed", bytes(flipped), False
    yield "a page", b"<html>", False
    yield "bytes before the archive", b"#!/bin/sh\n" + whole, False
    zeros = np.zeros((1, 1, 2, 16, 16 * 2**16), np.float32)
    yield "128 MiB of zeros", archive(array_file(zeros), packed=True), False
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in ("X.npy", "Y.npy", "axes.npy", "../../victim/precious.txt"):
            file.writestr(name, array_file(X))
    yield "a member that leads out", buffer.getvalue(), False
    for name in ("X", "Y.npy/x", "arr_0.npy"):
        yield f"a member {name}", archive(b"", others={name: array_file(X)}), False


def _arrays() -> Iterator[Entry]:
    for name in ("first", "second"):

        def of(content: bytes, name: str = name) -> bytes:
            return archive(content) if name == "first" else archive(None, content)

        where = "X" if name == "first" else "Y"
        yield f"no {where}", archive(b"", None) if name == "first" else archive(None, b""), False
        whole = array_file(X)
        for cut in (1, 6, 8, 10, 60, 128, 200, len(whole) - 1):
            yield f"{where} cut after {cut} bytes", of(whole[:cut]), False
        yield f"{where} with a byte more", of(whole + b"\0"), False
        yield f"{where} of objects", of(array_file(np.array([1, "a"], object))), False
        yield f"{where}, a pickle", of(pickle.dumps(X)), False
        for shape in ((), (0,), (3,), (2**40, 1, 2, 16, 16), (-3, 1, 2, 16, 16), (3, 1, 2, 16, 17)):
            yield f"{where} said to be {shape}", of(array_file(X, shape=shape)), False
        for kind in ("<c16", "|O", "|S4", "<U1", "<M8[s]", "|V4", "<f8", "nonsense", "<f4,<f4"):
            yield f"{where} said to be of {kind}", of(array_file(X, descr=kind)), False
        for text in ("{", "{}", "__import__('os').system('x')", "[" * 3000, "{'descr': 1}", "\0"):
            yield f"{where} with a header {text[:12]!r}", of(array_file(X, text=text)), False
        spoiled = X.copy()
        spoiled[1, 0, 0, 3, 4] = np.nan
        yield f"{where} with NaN", of(array_file(spoiled)), False
        yield f"{where} constant", of(array_file(np.ones_like(X))), False
        yield f"{where} of counts", of(array_file(X * 60000)), False
        yield f"{where} of two samples", of(array_file(X[:2])), False
        yield f"{where} in Fortran's order", of(array_file(np.asfortranarray(X))), True


def _axes() -> Iterator[Entry]:
    for axes in (
        "",
        "SCYX",
        "SCZYXT",
        "SCZYY",
        "ABCDE",
        "ZYXSC",
        "CSZYX",
        "szcyx",
        "S" * 5,
        "12345",
    ):
        yield f"axes {axes!r}", archive(axes=axes or array_file(np.array(""))), axes == "CSZYX"
    yield "no axes", archive(axes=b""), False
    yield "axes of objects", archive(axes=array_file(np.array(["a"], object))), False
    yield "axes of 1 MB", archive(axes="S" * 250_000), False
    yield "axes that clear the screen", archive(axes="\x1b[2JS"), False

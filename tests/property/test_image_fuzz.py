"""Damaged image files: an ImageError or a valid array, never another exception."""

import io
import os
import time
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow

from tests.helpers.microscope_files import multiscales, zarr_image
from unifmir.errors import ImageError, TooLittleMemoryError
from unifmir.images import read_image_file

STACK = np.random.default_rng(5).integers(0, 4000, (5, 12, 16), dtype=np.uint16)
KINDS = ("plain", "zlib", "imagej", "ome", "png", "big")
STARTS = (
    b"",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0",
    b"\x89PNG\r\n\x1a\n",
)
"""Headers behind which a reader goes on: TIFF of both byte orders, BigTIFF, PNG."""
DTYPES = st.sampled_from([np.dtype(code) for code in "?BHILbhilefdFD"])


@cache
def valid(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "png":
        Pillow.fromarray(STACK[0]).save(buffer, format="PNG")
    elif kind == "imagej":
        tifffile.imwrite(buffer, STACK, imagej=True, metadata={"axes": "ZYX", "unit": "um"})
    elif kind == "ome":
        tifffile.imwrite(buffer, STACK, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.1})
    else:
        compression = "zlib" if kind == "zlib" else None
        tifffile.imwrite(buffer, STACK, compression=compression, bigtiff=kind == "big")
    return buffer.getvalue()


def assert_refused_or_valid(path: Path, wanted: str) -> None:
    try:
        found = read_image_file(path, wanted)
    except (ImageError, TooLittleMemoryError):
        return
    assert found.values.dtype == np.float32
    assert found.values.ndim == len(wanted)
    assert np.isfinite(found.values).all()
    for size in (found.pixel_size_um, found.z_step_um):
        assert size is None or (np.isfinite(size) and size > 0)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    # Headers are where parsers break: half of the changes go to the first 400 bytes.
    changes=st.lists(
        st.tuples(
            st.one_of(st.floats(0, 1), st.integers(0, 399)),
            st.one_of(st.integers(0, 255), st.binary(min_size=2, max_size=4)),
        ),
        max_size=6,
    ),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    wanted=st.sampled_from(["yx", "zyx"]),
)
def test_damaged_files_give_an_image_error_or_a_valid_image(
    tmp_path: Path,
    kind: str,
    changes: list[tuple[float | int, int | bytes]],
    keep: float,
    wanted: str,
) -> None:
    data = bytearray(valid(kind))
    for where, value in changes:
        new = bytes([value]) if isinstance(value, int) else value
        at = where if isinstance(where, int) else int(where * (len(data) - 1))
        data[at : at + len(new)] = new
    path = tmp_path / "damaged.tif"
    path.write_bytes(data[: int(keep * len(data))])
    assert_refused_or_valid(path, wanted)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(STARTS), st.binary(min_size=1, max_size=400), st.sampled_from(["yx", "zyx"]))
def test_random_bytes_give_an_image_error_or_a_valid_image(
    tmp_path: Path, start: bytes, rest: bytes, wanted: str
) -> None:
    path = tmp_path / "random.tif"
    path.write_bytes(start + rest)
    assert_refused_or_valid(path, wanted)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    DTYPES.flatmap(
        lambda dtype: arrays.arrays(
            dtype, arrays.array_shapes(min_dims=2, max_dims=5, min_side=1, max_side=5)
        )
    ),
    st.sampled_from(["yx", "zyx"]),
)
def test_whole_files_of_any_shape_and_pixel_type_are_read_or_refused(
    tmp_path: Path, image: np.ndarray, wanted: str
) -> None:
    path = tmp_path / "any.tif"
    tifffile.imwrite(path, image, photometric="minisblack")
    assert_refused_or_valid(path, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_undamaged_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "valid.tif"
    path.write_bytes(valid(kind))
    wanted = "yx" if kind == "png" else "zyx"
    expected = STACK[0] if kind == "png" else STACK
    assert np.array_equal(read_image_file(path, wanted).values, expected)


MUTATION_SECONDS = 20.0
"""Time of the loop for each kind of file."""
INTERESTING = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with some of its parts told otherwise: bytes, numbers, pieces moved or left out."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(out)) if rng.random() < 0.5 else rng.integers(min(400, len(out))))
        size = int(2 ** rng.integers(0, 7))
        match int(rng.integers(5)):
            case 0:
                out[at] ^= 1 << int(rng.integers(8))
            case 1:
                value, width = int(rng.choice(INTERESTING)), int(rng.choice([2, 4]))
                order = "little" if rng.random() < 0.5 else "big"
                out[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, order)
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + size]
            case _:
                other = int(rng.integers(len(out)))
                out[at : at + size] = out[other : other + size]
        if not out:
            return b""
    return bytes(out)


def archived_zarr(folder: Path) -> bytes:
    """An OME-Zarr in an archive, as it is stored."""
    image = zarr_image(folder / "valid.zarr", STACK, multiscales("zyx", (1, 1, 1)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(image.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(image).as_posix())
    return buffer.getvalue()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of libraries, on what damaged files hold
@pytest.mark.parametrize("kind", [*KINDS, "zarr"])
def test_files_mutated_for_a_while_are_refused_or_valid(tmp_path: Path, kind: str) -> None:
    seed = int(os.environ.get("UNIFMIR_FUZZ_SEED", time.time_ns() % 2**32))
    rng = np.random.default_rng(seed)
    whole = archived_zarr(tmp_path) if kind == "zarr" else valid(kind)
    path = tmp_path / ("mutated.ozx" if kind == "zarr" else "mutated.tif")
    ends = time.monotonic() + MUTATION_SECONDS
    tried = 0
    while time.monotonic() < ends:
        data = mutated(whole, rng)
        path.write_bytes(data)
        began = time.monotonic()
        try:
            assert_refused_or_valid(path, "yx" if kind == "png" else "zyx")
        except Exception as error:
            (tmp_path / "found").write_bytes(data)
            raise AssertionError(f"seed {seed}, file {tried}: {tmp_path / 'found'}") from error
        assert time.monotonic() - began < 30, f"seed {seed}, file {tried}"
        tried += 1
    assert tried > 20

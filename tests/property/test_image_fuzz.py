"""Damaged image files: an ImageError or a valid array, never another exception."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow

from unifmir.errors import ImageError
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
    except ImageError:
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

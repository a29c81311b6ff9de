"""Regions in any order and partition give the image back, whatever the format."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.quick_rows import few_quick
from unifmir.images import AXES, Channel, ImageInfo, create_sink, open_source, whole_region

SIZES = st.one_of(st.none(), st.floats(1e-3, 1e3))
"""Micrometres or seconds; None where a file does not say."""
NAMES = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyz 0123456789-", min_size=1, max_size=12).map(str.strip),
    min_size=3,
    max_size=3,
    unique=True,
).filter(all)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own for every example."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


@st.composite
def partitions(draw: st.DrawFn) -> tuple[Any, str, list[Any]]:
    """A shape, its axes, and a partition of it into regions in a random order."""
    outer = draw(st.sets(st.sampled_from("tcz")))
    axes = "".join(axis for axis in AXES if axis in outer or axis in "yx")
    shape = tuple(
        draw(st.integers(1, 20 if axis in "yx" else 4)) if axis in axes else 1 for axis in AXES
    )
    cuts = []
    for length in shape:
        inner = draw(st.sets(st.integers(1, length - 1), max_size=3)) if length > 1 else set()
        ends = [0, *sorted(inner), length]
        cuts.append([slice(a, b) for a, b in pairwise(ends)])
    return shape, axes, draw(st.permutations(list(product(*cuts))))


@pytest.mark.parametrize("name", few_quick(["a.tif", "a.ome.tif", "a.zarr"], ["a.ome.tif"]))
@settings(max_examples=25, deadline=None)
@given(
    parts=partitions(),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    seed=st.integers(0, 1000),
)
def test_any_partition_in_any_order_is_read_back(
    name: str, parts: tuple[Any, str, list[Any]], dtype: type, seed: int
) -> None:
    shape, axes, regions = parts
    image = np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)
    chunks: Any = tuple(min(n, 7) for n in shape)
    with folder() as place:
        info = ImageInfo("a", axes)
        sink = create_sink(place / name, shape, np.dtype(dtype), info, chunks=chunks)
        for region in regions:
            sink.write(region, image[region])
        assert not (place / name).exists()
        sink.publish()
        source = open_source(place / name)
        assert source.shape == shape
        assert source.dtype == dtype
        assert np.array_equal(source.read(whole_region(shape)), image)
        for region in regions:
            assert np.array_equal(source.read(region), image[region])


def test_a_channel_called_by_a_number_keeps_its_name(tmp_path: Any) -> None:
    info = ImageInfo("a", "cyx", channels=tuple(Channel(name) for name in ("0", "1e2", "00")))
    create_sink(tmp_path / "a.ome.tif", (1, 3, 1, 4, 5), np.dtype("f4"), info).publish()
    found = open_source(tmp_path / "a.ome.tif").info
    assert [channel.name for channel in found.channels] == ["0", "1e2", "00"]


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.zarr"])
@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(SIZES, SIZES),
    step=SIZES,
    interval=SIZES,
    names=NAMES,
    colors=st.lists(st.integers(0, 0xFFFFFF), min_size=3, max_size=3),
    lows=st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3),
    spans=st.lists(st.floats(1, 1e5), min_size=3, max_size=3),
)
def test_what_is_known_of_an_image_is_read_back(
    name: str, size: Any, step: Any, interval: Any, names: Any, colors: Any, lows: Any, spans: Any
) -> None:
    displays = [(low, low + span) for low, span in zip(lows, spans, strict=True)]
    channels = tuple(
        Channel(*said)
        for said in zip(names, [f"{color:06X}" for color in colors], displays, strict=True)
    )
    info = ImageInfo("a", "tczyx", size, step, interval, channels)
    shape = (2, 3, 2, 4, 5)
    with folder() as place:
        create_sink(place / name, shape, np.dtype("f4"), info).publish()
        found = open_source(place / name).info
    y, x = size
    if name == "a.tif":
        # ImageJ has one unit for y and x, and two 32-bit fractions.
        expected: Any = (None, None) if y is x is None else (y or x, x or y)
    else:
        expected = size
    assert found.pixel_size_um == (
        expected[0] and pytest.approx(expected[0], rel=1e-5),
        expected[1] and pytest.approx(expected[1], rel=1e-5),
    )
    assert found.z_step_um == (step and pytest.approx(step))
    assert found.frame_interval_s == (interval and pytest.approx(interval))
    assert [c.name for c in found.channels] == names
    assert [c.color for c in found.channels] == [c.color for c in channels]
    if name != "a.ome.tif":  # OME-TIFF has no display range
        assert [c.display for c in found.channels] == displays

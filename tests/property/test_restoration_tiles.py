"""Tiles: every pixel once, on the window grid, and no seam that can be measured."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import (
    SMALL,
    options_for,
    picture,
    predictor_of,
    seam_over_range,
    small,
)
from unifmir.images.arrays import ArraySource
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import restore_array
from unifmir.restoration.geometry import even_pitch, fitting_pitch, halves, largest_read
from unifmir.restoration.tile_plan import plan_restoration
from unifmir.tasks import TASKS

BAR = 1e-4
"""Of the result's range."""

QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of_task(task: str) -> Predictor:
    def run(image: np.ndarray) -> np.ndarray:
        return image[:, :1]

    return Predictor(run, SMALL.single(task))


@given(
    task=st.sampled_from(["sr", "denoise", "isotropic"]),
    depth=st.integers(1, 40),
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    tile=st.integers(1, 80),
    halo=st.integers(0, 30),
)
@QUICK
def test_tiles_cover_every_pixel_once_and_start_on_the_window_grid(
    task, depth, rows, columns, tile, halo
):
    depth = max(2, depth) if TASKS[task].isotropic_sampling else depth
    image = picture((2, depth, rows, columns))
    source = ArraySource(image, "czyx")
    plan = plan_restoration(source, of_task(task), options_for(task, tile=tile, halo=halo))
    written = np.zeros(plan.out_shape, dtype=np.uint8)
    scale = plan.geometry.scale
    for index, part in enumerate(plan.tiles):
        assert part.index == index
        written[part.write] += 1
        for axis in (3, 4):
            read, write, length = part.read[axis], part.write[axis], plan.shape[axis]
            assert read.start % 8 == 0
            assert read.stop % 8 == 0 or read.stop == length
            assert read.start <= max(0, write.start // scale - halo)
            assert read.stop >= min(length, write.stop // scale + halo)
            assert write.start % plan.tile_shape[axis] == 0
    assert (written == 1).all()
    assert len(plan.tiles) == index + 1


@given(
    length=st.integers(1, 3000),
    parts=st.integers(1, 40),
    step=st.sampled_from([1, 8, 16, 88]),
    halo=st.integers(0, 15),
)
def test_parts_are_even(length, parts, step, halo):
    pitch = even_pitch(length, parts, step)
    count = -(-length // pitch)
    assert count <= parts
    assert pitch % step == 0 or pitch == length
    assert pitch - length / parts < step
    reads = [
        min(length, start + pitch + halo * step) - max(0, start - halo * step)
        for start in range(0, length, pitch)
    ]
    assert max(reads) <= largest_read(length, pitch, halo * step)


@given(rows=st.integers(8, 2000), columns=st.integers(8, 2000), area=st.integers(4000, 10**6))
def test_the_pitch_fits_where_anything_does(rows, columns, area):
    halo = (0, 16, 16)

    def fits(read: tuple[int, int, int]) -> bool:
        return bool(read[1] * read[2] <= area)

    size, step = (1, rows, columns), (1, 8, 8)
    pitch = fitting_pitch(size, step, halo, (1, 2), fits)
    z, y, x = (largest_read(size[a], pitch[a], halo[a]) for a in (0, 1, 2))
    assert fits((z, y, x))


def test_a_stack_is_cut_so_that_little_is_read_twice():
    # 2 parts of 508 x 626: each reads 40 pixels of the other.
    pitch = fitting_pitch(
        (1, 626, 1015), (1, 8, 8), (0, 40, 40), (1, 2), lambda r: r[1] * r[2] < 370_000
    )
    assert pitch == (1, 626, 512)


@given(st.tuples(*[st.tuples(st.integers(0, 50), st.integers(1, 60))] * 3))
def test_halves_meet_on_the_grid_and_make_the_whole(spans):
    z, y, x = ((start, start + length) for start, length in spans)
    box = (z, y, x)
    parts = halves(box, (8, 8, 8))
    if parts is None:
        assert not any(m % 8 == 0 for start, stop in box for m in range(start + 1, stop))
        return
    first, second = parts
    (axis,) = (axis for axis in range(3) if first[axis] != box[axis])
    assert first[axis][1] == second[axis][0]
    assert first[axis][1] % 8 == 0
    assert (first[axis][0], second[axis][1]) == box[axis]
    assert [box[other] for other in range(3) if other != axis] == [
        second[other] for other in range(3) if other != axis
    ]


SHAPES = {
    "sr": (100, 93),
    "denoise": (1, 71, 86),
    "isotropic": (50, 58, 6),
    "volume": (66 * 3, 9 * 3),
}
LARGEST = {"sr": 100, "denoise": 86, "isotropic": 58, "volume": 66 * 3}


@pytest.fixture(scope="module")
def untiled():
    """By task: the predictor, the image, and its result in one tile."""
    made = {}
    for task, shape in SHAPES.items():
        predictor, image = predictor_of(small(task)), picture(shape, seed=len(task))
        whole = restore_array(image, predictor, options=options_for(task))
        made[task] = predictor, image, whole
    return made


ANY_TIME = settings(deadline=None, suppress_health_check=list(HealthCheck))


def same_in_tiles(untiled, task: str, part: float) -> None:
    """Hold tiles of a part of the largest side to the bar."""
    predictor, image, whole = untiled[task]
    tile = max(1, round(part * LARGEST[task]))
    tiled = restore_array(image, predictor, options=options_for(task, tile=tile))
    assert seam_over_range(whole, tiled) <= BAR


@pytest.mark.parametrize("task", few_quick(SHAPES, ["denoise"]))
@given(part=st.floats(0.02, 1))
@example(part=0.3)
@settings(ANY_TIME, max_examples=3)
def test_a_tiled_result_is_the_untiled_one(untiled, task, part):
    same_in_tiles(untiled, task, part)


@pytest.mark.slow  # the same, with more sizes of tiles
@pytest.mark.parametrize("task", SHAPES)
@given(part=st.floats(0.02, 1))
@settings(ANY_TIME, max_examples=10)
def test_a_tiled_result_is_the_untiled_one_for_many_tiles(untiled, task, part):
    same_in_tiles(untiled, task, part)


@pytest.mark.parametrize("task", SHAPES)
def test_without_overlap_the_seam_is_seen(untiled, task):
    # Otherwise the property above would hold for any tiles.
    predictor, image, whole = untiled[task]
    tiled = restore_array(
        image, predictor, options=options_for(task, tile=LARGEST[task] // 3, halo=0)
    )
    assert seam_over_range(whole, tiled) > 10 * BAR

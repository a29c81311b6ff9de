"""Sizes of a verification: fixed ones, those of tiles, and new ones from a seed."""

from math import prod

import pytest

from unifmir.export.case_sizes import SIZES, SizedCase, sized_cases, verified_shapes
from unifmir.interfaces import interface_of
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import Size
from unifmir.restoration.memory_budget import run_bytes_per_pixel, usable_bytes
from unifmir.restoration.tile_size import largest_tile
from unifmir.tasks import TASKS

TILE = (5, 504, 504)


@pytest.fixture
def config(tiny_config):
    return tiny_config.single("sr")


def of(config, seed: int, *, whole_tiles: bool = False, tile: Size = TILE) -> tuple[SizedCase, ...]:
    return sized_cases(config, "image", tile, seed=seed, whole_tiles=whole_tiles)


def test_one_case_is_as_long_as_a_tile(config):
    (tile,) = (one for one in of(config, 1) if one.sizing == "tile")
    assert tile.shape == (1, 1, 8, 504)


@pytest.mark.parametrize("side", [280, 504])
def test_one_case_is_as_long_as_a_tile_of_a_projected_stack(side, tiny_config):
    found = of(tiny_config.single("projection"), 1, tile=(1, side, side))
    assert [one.shape[-2:] for one in found if one.sizing == "tile"] == [(8, side)]
    assert all(max(one.shape[-2:]) <= 104 for one in found if one.sizing != "tile")


def test_a_seed_gives_the_same_sizes_and_another_gives_new_ones(config):
    assert of(config, 1) == of(config, 1)
    drawn = [one.shape for seed in range(50) for one in of(config, seed) if one.sizing == "new"]
    assert len(drawn) == 50
    assert len(set(drawn)) > 40
    fixed = {one.shape for one in of(config, 1) if one.sizing == "fixed"}
    assert fixed < set(verified_shapes(config, "image"))
    assert not fixed & set(drawn)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("interface", ["image", "network"])
def test_new_sizes_cost_what_the_ones_they_replace_did(task, interface, tiny_config):
    config = tiny_config.single(task)
    # A row that is not divided costs no more than before anything was.
    undivided = interface_of(config).whole_row
    shapes = verified_shapes(config, "network" if undivided else interface)
    before = 2 * sum(prod(padded(config, s)) for s in shapes)
    for seed in range(20):
        found = sized_cases(config, interface, (16, 5000, 5000), seed=seed, whole_tiles=False)
        cost = sum(len(one.sources) * prod(padded(config, one.shape)) for one in found)
        assert cost <= 1.02 * before
        assert len(found) == len(SIZES) + 1


def padded(config, shape: tuple[int, ...]) -> list[int]:
    """Sizes as the network continues them: whole windows, of lenses where there are some."""
    rows = interface_of(config)
    step = 8 * (rows.lens_px(config.signature) if shape[1] == 1 else 1)
    return [*shape[:-2], *(-(-length // step) * step for length in shape[-2:])]


def test_whole_tiles_reach_from_the_default_to_the_largest(config):
    found = of(config, 1, whole_tiles=True)[len(of(config, 1)) :]
    default, first, second, largest = found
    # 1024 pixels in three parts of whole windows.
    assert default.shape == (1, 1, 344, 344)
    assert largest.shape == (1, 1, 504, 504)
    for drawn in (first, second):
        assert drawn.sizing == "new"
        assert all(8 <= length <= 504 for length in drawn.shape[-2:])


@pytest.mark.parametrize("task", TASKS)
def test_the_largest_tile_is_what_the_memory_takes(task, tiny_config):
    predictor = Predictor(lambda image: image, tiny_config.single(task), "image")
    depth, height, width = largest_tile(predictor)
    assert height == width
    volumes = 2 * depth if interface_of(predictor.config).cuts_depth else 1
    needed = run_bytes_per_pixel(predictor) * volumes * height * width
    assert 0.7 * usable_bytes("cpu") < needed <= usable_bytes("cpu")

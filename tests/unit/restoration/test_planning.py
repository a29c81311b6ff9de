"""How much a network needs and how far it looks: estimates and bounds hold what is measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.restoration_cases import SMALL, picture, predictor_of, small, weighted
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.interfaces import InputKind
from unifmir.networks.volume import VolumeRestoration
from unifmir.restoration.base import Predictor
from unifmir.restoration.memory_budget import estimated_bytes_per_pixel
from unifmir.restoration.percentiles import measure_range
from unifmir.restoration.placed_network import PlacedNetwork
from unifmir.restoration.receptive_field import bound_of_reach, measure_reach, reach_from_response
from unifmir.restoration.resampling import StackView
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import plan_restoration
from unifmir.tasks import TASKS

PAPER = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig())


def measured(task: str, shape: tuple[int, ...], interface: InputKind = "network"):
    image = picture(shape)
    stack = StackView(ArraySource(image, "zyx"[-image.ndim :]), 0, 0)
    scaling = measure_range(stack, TASKS[task].normalization).scaling
    return measure_reach(predictor_of(small(task), interface), stack, scaling)


@pytest.mark.parametrize("interface", ["network", "image"])
@pytest.mark.parametrize(
    ("task", "shape"), [("sr", (90, 90)), ("denoise", (5, 90, 90)), ("isotropic", (24, 80, 80))]
)
def test_the_layers_bound_the_reach_that_is_measured(task, shape, interface):
    reach = measured(task, shape, interface)
    assert reach.measured is not None
    assert 0 < reach.measured <= reach.bound
    assert reach.halo <= reach.bound
    assert reach.halo % 8 == 0
    assert not reach.is_global


def test_the_reach_of_a_light_field_network_is_bounded_too():
    reach = measured("volume", (66 * 3, 10 * 3))
    assert reach.measured <= reach.bound
    assert reach.halo % (8 * 3) == 0


def test_sums_over_the_tile_are_found():
    assert measured("projection", (4, 120, 120)).is_global


def test_the_reach_at_the_papers_size():
    assert [bound_of_reach(PAPER.single(task)) for task in TASKS] == [88, 80, 80, None, 32 * 11]


def test_a_response_gives_the_halo_with_a_step_to_spare():
    curve = np.full(64, 1e-6, np.float32)
    curve[:13] = 1e-3
    assert reach_from_response(curve, 8, 80).halo == 24
    assert reach_from_response(curve, 8, 16).halo == 16
    floor = np.full(64, 4e-3, np.float32)
    floor[:20] = 0.1
    found = reach_from_response(floor, 8, None)
    assert (found.is_global, found.measured, found.halo) == (True, 20, 32)


def test_a_light_field_tile_is_computed_as_a_part_of_the_whole():
    network = small("volume")
    views = torch.rand(1, 9, 72, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    placed = PlacedNetwork(network)
    with torch.inference_mode():
        whole = network(views)
        extent = float(whole.max() - whole.min())
        same = placed(views, (0, 0), (72, 16))
        part = placed(views[:, :, 16:], (16, 0), (72, 16))
        alone = network(views[:, :, 16:])
    kept = whole[..., 3 * 48 :, :]
    assert float((same - whole).abs().max()) <= 1e-5 * extent
    assert float((part[..., 3 * 32 :, :] - kept).abs().max()) <= 1e-4 * extent
    # The reason it must be told where it lies.
    assert float((alone[..., 3 * 32 :, :] - kept).abs().max()) > 1e-3 * extent


def test_only_light_field_networks_are_placed():
    assert isinstance(PlacedNetwork(small("volume")).network, VolumeRestoration)
    with pytest.raises(ValueError, match="reads no light fields"):
        PlacedNetwork(small("sr"))


def test_graphs_need_more_than_modules_and_wider_networks_more_than_narrow_ones():
    paper, narrow = PAPER.single("denoise"), SMALL.single("denoise")
    as_graph = estimated_bytes_per_pixel(paper, body_maps=16, holds_attention=True)
    assert as_graph > 2 * estimated_bytes_per_pixel(paper)
    assert estimated_bytes_per_pixel(paper) > estimated_bytes_per_pixel(narrow)


def test_tiles_are_as_large_as_the_memory_allows():
    source = ArraySource(picture((1, 400, 600)), "zyx")
    network = weighted(replace(SMALL.single("denoise"), in_channels=1))
    inner = predictor_of(network)
    predictor = Predictor(inner.run, inner.config, bytes_per_pixel=1000)

    def read(memory: int | None) -> tuple[int, int]:
        options = Options(max_memory_bytes=memory, halo=16, intensity="percentile")
        plan = plan_restoration(source, predictor, options)
        sizes = [
            (tile.read[3].stop - tile.read[3].start) * (tile.read[4].stop - tile.read[4].start)
            for tile in plan.tiles
        ]
        return len(sizes), max(sizes)

    assert read(10**9) == (1, 400 * 600)
    count, largest = read(50 * 10**6)
    assert 1 < count < 12
    assert 0.5 * 50_000 < largest <= 50_000


@pytest.mark.parametrize("task", TASKS)
def test_an_image_whose_result_would_be_infinite_is_refused(task):
    image = np.linspace(0, 1e300, 4 * 16 * 16).reshape(4, 16, 16)
    stack = StackView(ArraySource(image, "zyx"), 0, 0)
    with pytest.raises(ImageError, match="span too far for float32"):
        measure_range(stack, TASKS[task].normalization)

"""Tile sizes, halos and scales, and the measurement the halo comes from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.compat.packages import TINY, image, network
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.export.formats.bioimageio.halo import measure_halo
from unifmir.export.formats.bioimageio.package_axes import axes_of, tile_rule, trial_axes
from unifmir.interfaces import interface_of
from unifmir.tasks import TASKS

PAPER = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig())


@pytest.mark.parametrize("config", [TINY, PAPER], ids=["tiny", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_every_allowed_halo_gives_valid_axes(task: str, config: MultiTaskConfig):
    single = config.single(task)
    rule = tile_rule(single)
    for halo in range(rule.step, rule.largest_halo + 1, rule.step):
        axes = axes_of(single, halo)
        by_id = {axis.id: axis for axis in axes.inputs}
        for axis in axes.outputs:
            if axis.fixed:
                continue
            reference = by_id[axis.id]
            factor = reference.scale / axis.scale
            assert factor == axis.scale
            halo_in = axis.halo / factor
            assert halo_in == int(halo_in)
            assert 2 * halo_in % reference.step == 0
            assert reference.minimum - 2 * halo_in >= 1
            assert reference.minimum % reference.step == 0
            assert reference.minimum <= max(rule.largest, single.in_channels)


@pytest.mark.parametrize("config", [TINY, PAPER], ids=["tiny", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_axes_for_a_trial_take_the_test_image_and_sizes_around_a_window(
    task: str, config: MultiTaskConfig
):
    single = config.single(task)
    rule = tile_rule(single)
    declared = axes_of(single, rule.step)
    trial = trial_axes(single, declared)
    assert {axis.halo for axis in trial.outputs} == {0}
    for size, axis in zip(declared.test_sizes, trial.inputs, strict=True):
        assert axis.fixed == size or (size - axis.minimum) % axis.step == 0 <= size - axis.minimum
    grid = interface_of(single).grid_px(single)
    tried = [trial.inputs[-1].minimum + n * trial.inputs[-1].step for n in range(3)]
    assert tried == [grid - rule.unit, grid, grid + rule.unit]


def test_the_smallest_tiles_of_the_paper_size():
    assert tile_rule(PAPER.single("sr")).smallest == 64
    assert tile_rule(PAPER.single("volume")).smallest == 8 * 11
    assert tile_rule(PAPER.single("volume")).step == 11


def test_a_light_field_has_no_halo_because_it_must_be_restored_whole():
    assert [axis.halo for axis in axes_of(PAPER.single("volume"), 55).outputs] == [0, 0, 0]


def test_super_resolution_has_the_scale_pair_that_all_consumers_read_alike():
    axes = axes_of(PAPER.single("sr"), 16)
    assert [axis.scale for axis in axes.inputs] == [4.0, 4.0]
    assert [axis.scale for axis in axes.outputs] == [2.0, 2.0]
    assert [axis.halo for axis in axes.outputs] == [32, 32]


def test_a_denoising_stack_has_free_depth_and_half_a_window_of_halo_along_it():
    z, *_ = axes_of(PAPER.single("denoise"), 16).inputs
    assert (z.id, z.minimum, z.step) == ("z", 5, 1)
    assert axes_of(PAPER.single("denoise"), 16).outputs[0].halo == 2


def test_planes_without_neighbours_have_no_depth():
    config = replace(PAPER.single("denoise"), in_channels=1)
    assert [axis.id for axis in axes_of(config, 16).inputs] == ["y", "x"]


def test_a_projection_loses_the_depth_and_a_volume_gains_it():
    assert [axis.id for axis in axes_of(PAPER.single("projection"), 8).outputs] == ["y", "x"]
    depth, *_ = axes_of(PAPER.single("volume"), 11).outputs
    assert (depth.id, depth.fixed) == ("z", 61)


class Blur(nn.Module):
    """Averages over `reach` pixels on every side, and magnifies as the network it stands for."""

    def __init__(self, reach: int, scale: int) -> None:
        super().__init__()
        self.blur = nn.AvgPool2d(2 * reach + 1, 1, reach, count_include_pad=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blur(x[:, :1])
        return out.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


@pytest.mark.parametrize(("task", "reach"), [("sr", 3), ("sr", 9), ("denoise", 6)])
def test_the_measured_reach_is_that_of_a_network_whose_reach_is_known(task: str, reach: int):
    config = TINY.single(task)
    measured = measure_halo(
        Blur(reach, interface_of(config).scale(config.signature, "network")), config, image(task)
    )
    # The farthest ring of an average over (2 r + 1)**2 pixels may stay under the threshold.
    assert reach - 1 <= measured.measured_px <= reach
    assert measured.halo_px == -(-measured.measured_px // 4) * 4
    assert not measured.capped


def test_a_reach_beyond_the_largest_halo_is_capped_and_said():
    config = TINY.single("sr")
    measured = measure_halo(Blur(31, 2), config, image("sr"))
    assert measured.capped
    assert measured.halo_px == measured.largest_halo_px == tile_rule(config).largest_halo


class Mean(nn.Module):
    """Whole-image statistics and nothing else."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] + x.mean(dim=(1, 2, 3), keepdim=True)


def test_whole_image_statistics_are_told_from_the_local_reach():
    measured = measure_halo(Mean(), TINY.single("projection"), image("projection"))
    assert measured.floor > measured.threshold
    assert measured.measured_px == 0
    assert measured.limit == pytest.approx(2 * measured.floor)


def test_outside_the_halo_a_tile_equals_the_whole_image():
    model = network("sr")
    halo = measure_halo(model, model.config, image("sr"))
    x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, tile = model(x), model(x[..., 32:])
    kept = 2 * halo.halo_px
    difference = (whole[..., 64 + kept :] - tile[..., kept:]).abs().max()
    assert float(difference) <= halo.threshold * float(whole.max() - whole.min())


def test_the_curve_is_kept_as_data():
    model = network("denoise")
    measured = measure_halo(model, model.config, image("denoise")).to_dict()
    assert len(measured["curve"]) == tile_rule(model.config).largest // 2
    assert np.isfinite(measured["curve"]).all()

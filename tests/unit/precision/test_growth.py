"""Where the rules are not enough, islands grow by what is measured, or the plan says it fails."""

import json
from functools import partial

import pytest
import torch
from torch import nn

from tests.helpers.precision_cases import image
from unifmir.compare import Tolerance
from unifmir.precision.planning import Trial, plan_precision


class Cancelling(nn.Module):
    """Takes the difference of two nearly equal numbers, which no rounding survives."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Conv2d(1, 2, 1, bias=False)
        self.subtract = nn.Conv2d(2, 1, 1)
        with torch.no_grad():
            self.spread.weight.copy_(torch.tensor([1.0, 1.0 + 2**-14]).view(2, 1, 1, 1))
            self.subtract.weight.copy_(torch.tensor([-(2.0**14), 2.0**14]).view(1, 2, 1, 1))

    def forward(self, x):
        return self.subtract(self.spread(x))


def test_a_network_that_cannot_pass_says_so_and_where():
    plan = plan_precision(Cancelling().eval(), "bf16", [image(1, 1, 16, 16)])
    assert not plan.passed
    assert plan.islands == {}
    assert plan.worst_psnr_db("computing") < 60
    assert plan.blame.startswith("the largest error comes from 'subtract'")
    assert any("PSNR" in text for text in plan.failures)
    assert plan.steps
    assert json.loads(json.dumps(plan.to_dict(), allow_nan=False))["passed"] is False


class Ratio(nn.Module):
    """Divides two numbers that vanish in fp16: 0 / 0, though no number is large."""

    def forward(self, x):
        small = x * 1e-9
        return small / (small + 1e-9)


class WithRatio(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.ratio = Ratio()
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return self.last(self.ratio(self.first(x).square()))


def test_islands_grow_over_the_part_that_gives_nan():
    torch.manual_seed(0)
    network = WithRatio().eval()
    plan = plan_precision(network, "fp16", [image(1, 1, 16, 16)])
    assert plan.passed, plan.failures
    assert list(plan.islands) == ["ratio"]
    (step,) = plan.steps
    assert step.part == "'ratio'"
    assert step.to_dict()["alone_psnr_db"] is None
    assert step.psnr_db is not None
    assert step.psnr_db >= 60
    assert "NaN" in plan.islands["ratio"]


class WithGain(nn.Module):
    """Its values are rounded most in the first layers, its gain only in the last."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(1, 1, 1)
        self.lower = nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")
        self.gain = nn.Conv2d(1, 1, 1)
        self.load_state_dict(
            {
                "lift.weight": torch.ones(1, 1, 1, 1),
                "lift.bias": torch.tensor([10.0]),
                "lower.weight": nn.functional.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1)),
                "lower.bias": torch.tensor([-10.0]),
                # The nearest fp16 number is 1: a gain error of 4.8e-4.
                "gain.weight": torch.full((1, 1, 1, 1), 1 + 0.98 * 2**-11),
                "gain.bias": torch.zeros(1),
            }
        )

    def forward(self, x):
        return self.gain(self.lower(self.lift(x)))


class WithGains(nn.Module):
    """Three gains whose errors in fp16 are 4.7e-4, -4.0e-4 and -3.0e-4: -2.3e-4 together."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.less, self.least = (nn.Conv2d(1, 1, 1, bias=False) for _ in range(3))
        for layer, above in ((self.most, 0.52), (self.less, 0.41), (self.least, 0.31)):
            # Numbers of fp16 beyond 1 are 2^-10 apart.
            layer.weight.data.fill_(1 + above * 2**-10)
        for layer in (self.most, self.less):
            layer.register_parameter("unused", nn.Parameter(torch.ones(1000)))

    def forward(self, x):
        return self.least(self.less(self.most(x)))


class Darker(nn.Module):
    """Takes one off what another module gives."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x) - 1


def test_a_part_that_later_steps_make_needless_is_given_back():
    slope = Tolerance("slope", "a gain must not change", slope=2e-4)
    plan = plan_precision(WithGain().eval(), "fp16", [image(1, 1, 128, 128)], tolerance=slope)
    assert plan.passed, plan.failures
    assert list(plan.islands) == ["gain"]
    taken = [step for step in plan.steps if step.psnr_db is not None]
    assert len(taken) > 1
    assert [step.given_back for step in taken] == [True] * (len(taken) - 1) + [False]
    assert taken[-1].part == "'gain'"
    assert "slope" in taken[0].failures[0]


def test_where_the_largest_errors_hide_others_the_part_goes_to_fp32_after_which_least_is_missed():
    slope = Tolerance("slope", "a gain must not change", slope=2e-4)
    plan = plan_precision(
        WithGains().eval(), "fp16", [image(1, 1, 32, 32)], tolerance=slope, variants=["stored"]
    )
    assert plan.passed, plan.failures
    (step,) = plan.steps
    assert (step.part, list(plan.islands)) == ("'least'", ["least"])
    assert plan.acceptance["stored"][0].slope == pytest.approx(1 + 0.7e-4, abs=1e-5)


def test_islands_grow_until_an_image_tried_besides_passes_with_room_to_spare():
    network, x = WithGain().eval(), image(1, 1, 128, 128)
    # The error of the gain is 4.8e-4: within the bar, and not within three quarters.
    slope = Tolerance("slope", "a gain must not change", slope=6e-4)
    planned = partial(plan_precision, network, "fp16", [x], variants=["stored"])
    assert planned(tolerance=slope).islands == {}
    with torch.no_grad():
        trial = Trial(lambda module: module, x.numpy(), network(x).numpy())
    plan = planned(tolerance=slope, trials=[trial])
    assert plan.passed, plan.failures
    assert list(plan.islands) == ["gain"]
    assert [len(rows) for rows in plan.acceptance.values()] == [2]


def test_trials_are_run_behind_their_interface():
    network, x = WithGain().eval(), image(1, 1, 16, 16)
    planned = partial(plan_precision, network, "fp16", [x], variants=["stored"])
    assert planned(trials=[Trial(Darker, x.numpy(), x.numpy() - 1)]).passed
    assert not planned(trials=[Trial(Darker, x.numpy(), x.numpy())]).passed


def test_nan_that_cannot_be_helped_is_located():
    torch.manual_seed(0)
    network = WithRatio().eval()
    # Nearly all parameters live where the NaN is, so that fp16 would be fp16 in name only.
    network.ratio.register_parameter("unused", nn.Parameter(torch.ones(1000)))
    plan = plan_precision(network, "fp16", [image(1, 1, 16, 16)])
    assert not plan.passed
    assert plan.blame.startswith("NaN or Inf first in 'ratio'")
    assert plan.to_dict()["acceptance"]["computing"][0]["finite"] is False

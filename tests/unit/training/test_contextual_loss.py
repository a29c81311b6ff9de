"""Contextual bilateral loss: its formula, what it sees and L1 does not, and trainings by it."""

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from tests.helpers.task_rows import change_task
from tests.helpers.vgg_weights import trunk_weights, vgg_weights
from unifmir.errors import CheckpointError
from unifmir.tasks import TASKS
from unifmir.training import contextual_loss, training_run
from unifmir.training.configuration import TrainingConfig
from unifmir.training.contextual_loss import MOST_PLACES, SPATIAL_WEIGHT, contextual_bilateral
from unifmir.training.training_record import read_training_record, record_path
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest
from unifmir.training.vgg_features import VggFeatures, read_vgg_features

WATCH = TrainingCallbacks(lambda _task: None, lambda _step, _task, _loss: None)


@pytest.fixture(scope="module")
def features() -> VggFeatures:
    return VggFeatures(vgg_weights())


def spots(blur_px: float = 1.0) -> Tensor:
    """Twelve spots on 64 x 64 pixels, whose image goes on at the other side."""
    places = np.random.default_rng(0).integers(0, 64, (2, 12))
    image = np.zeros((64, 64), np.float32)
    image[tuple(places)] = 1
    sharp = gaussian_filter(image, 1.0, mode="wrap").max()
    return torch.from_numpy(gaussian_filter(image, blur_px, mode="wrap") / sharp)[None, None]


class TestFormula:
    def test_is_equation_3_written_out(self, features: VggFeatures) -> None:
        rng = torch.Generator().manual_seed(1)
        restored, truth = (torch.rand(1, 1, 8, 12, generator=rng) for _ in range(2))
        losses = []
        for given, wanted in zip(features(restored), features(truth), strict=True):
            for q, p in zip(given, wanted, strict=True):
                _, height, width = p.shape
                mean = p.mean(dim=(1, 2))
                sums = []
                for i in range(height * width):
                    y, x = divmod(i, width)
                    candidates = []
                    for j in range(height * width):
                        v, u = divmod(j, width)
                        alike = F.cosine_similarity(p[:, y, x] - mean, q[:, v, u] - mean, dim=0)
                        away = np.hypot((y - v) / height, (x - u) / width)
                        candidates.append(float(1 - alike + SPATIAL_WEIGHT * away))
                    sums.append(min(candidates))
                losses.append(np.mean(sums))
        found = float(contextual_bilateral(restored, truth, features))
        assert found == pytest.approx(np.mean(losses), rel=1e-5)

    def test_is_nothing_for_the_same(self, features: VggFeatures) -> None:
        assert float(contextual_bilateral(spots(), spots(), features)) == pytest.approx(0, abs=1e-6)

    def test_in_parts_it_is_the_same(
        self, features: VggFeatures, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved = spots().roll(3, dims=3)
        whole = contextual_bilateral(moved, spots(), features)
        monkeypatch.setattr(contextual_loss, "MOST_DISTANCES", 7 * 64 * 64)
        assert float(contextual_bilateral(moved, spots(), features)) == float(whole)

    def test_gradients_are_those_of_finite_differences(self) -> None:
        wide = VggFeatures(vgg_weights()).double()
        truth = spots()[..., :16, :16].double()
        rng = torch.Generator().manual_seed(2)
        restored = torch.rand(1, 1, 16, 16, generator=rng, dtype=torch.float64)
        restored.requires_grad_(True)
        contextual_bilateral(restored, truth, wide).backward()
        slope = restored.grad
        assert slope is not None
        step = 1e-6 * torch.randn(restored.shape, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            after, before = (
                float(contextual_bilateral(restored + sign * step, truth, wide)) for sign in (1, -1)
            )
        assert after - before == pytest.approx(2 * float((slope * step).sum()), rel=1e-3)

    @pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 32), (256, 256), (1, 5000)])
    def test_places_are_bounded(self, height: int, width: int) -> None:
        step = contextual_loss._grid_step(height, width)
        lengths = (
            len(range(length)[contextual_loss._every(step, length)]) for length in (height, width)
        )
        places = prod(lengths)
        assert 0 < places <= MOST_PLACES
        assert (step == 1) == (height * width <= MOST_PLACES)


class TestMisalignment:
    SHIFTS = (20, 16, 12, 8, 4)
    """Multiples of 4 pixels, the sampling of the coarsest features: others are pooled otherwise."""

    def test_it_falls_with_decreasing_misalignment_where_l1_does_not(
        self, features: VggFeatures
    ) -> None:
        moved = [spots().roll(shift, dims=2) for shift in self.SHIFTS]
        cobi = [float(contextual_bilateral(one, spots(), features)) for one in moved]
        l1 = [float(F.l1_loss(one, spots())) for one in moved]
        assert cobi == sorted(cobi, reverse=True)
        assert cobi == pytest.approx([0.0618, 0.0558, 0.0495, 0.0478, 0.0350], abs=0.002)
        assert l1 == pytest.approx([0.0328, 0.0338, 0.0330, 0.0339, 0.0315], abs=0.0005)

    def test_a_blurred_image_is_worse_than_a_sharp_one_beside_unlike_with_l1(
        self, features: VggFeatures
    ) -> None:
        beside, blurred = spots().roll(4, dims=2), spots(blur_px=2.0)
        near, far = (
            float(contextual_bilateral(one, spots(), features)) for one in (beside, blurred)
        )
        assert far > 4 * near
        assert float(F.l1_loss(blurred, spots())) < 0.6 * float(F.l1_loss(beside, spots()))

    def test_an_empty_image_is_no_way_out(self, features: VggFeatures) -> None:
        nothing, beside = torch.zeros(1, 1, 64, 64), spots().roll(20, dims=2)
        empty, near = (contextual_bilateral(one, spots(), features) for one in (nothing, beside))
        assert float(empty) > 3 * float(near)

    def test_with_the_features_of_a_trained_network_too(self) -> None:
        trunk = VggFeatures(trunk_weights())
        moved = [spots().roll(shift, dims=2) for shift in self.SHIFTS]
        cobi = [float(contextual_bilateral(one, spots(), trunk)) for one in moved]
        assert cobi == sorted(cobi, reverse=True)
        beside, blurred, nothing = (
            float(contextual_bilateral(one, spots(), trunk))
            for one in (moved[-1], spots(blur_px=2.0), torch.zeros(1, 1, 64, 64))
        )
        assert blurred > 2 * beside
        assert nothing > 3 * beside


class TestFeatures:
    def test_are_the_layers_that_torchvision_numbers(self, features: VggFeatures) -> None:
        layers: list[nn.Module] = []
        for number in range(13):
            key = f"features.{number}.weight"
            if key in vgg_weights():
                weight = vgg_weights()[key]
                convolution = nn.Conv2d(weight.shape[1], len(weight), 3, padding=1)
                bias = torch.zeros(len(weight))
                convolution.load_state_dict({"weight": weight, "bias": bias})
                layers.append(convolution)
            else:
                layers.append(nn.MaxPool2d(2, 2) if number in (4, 9) else nn.ReLU())
        colour = torch.rand(1, 1, 20, 24).expand(1, 3, 20, 24)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = (colour - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        expected = []
        for number, layer in enumerate([*layers, nn.ReLU()]):
            x = layer(x)
            if number in (3, 8, 13):
                expected.append(x)
        for found, wanted in zip(features(colour[:, :1]), expected, strict=True):
            torch.testing.assert_close(found, wanted)

    def test_a_published_file_has_more_than_is_used(self, tmp_path: Path) -> None:
        more = {"features.14.weight": torch.zeros(4, 48, 3, 3), "classifier.0.bias": torch.zeros(2)}
        torch.save(
            {**vgg_weights(), **more}, tmp_path / "vgg.pth", _use_new_zipfile_serialization=False
        )
        assert read_vgg_features(tmp_path / "vgg.pth").sha256 == VggFeatures(vgg_weights()).sha256

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("features.5.weight", None),
            ("features.5.weight", torch.zeros(32, 15, 3, 3)),
            ("features.5.weight", torch.zeros(32, 16, 3, 3, dtype=torch.float64)),
            ("features.5.weight", torch.zeros(0, 16, 3, 3)),
            ("features.5.weight", torch.full((32, 16, 3, 3), torch.nan)),
            ("features.5.bias", torch.zeros(31)),
            ("features.5.bias", 3),
            ("features.0.weight", torch.tensor(1.0)),
        ],
    )
    def test_other_files_are_refused(self, tmp_path: Path, key: str, value: object) -> None:
        weights = {**vgg_weights(), key: value}
        if value is None:
            del weights[key]
        torch.save(weights, tmp_path / "vgg.pth")
        with pytest.raises(CheckpointError, match=f"vgg.pth is no file of VGG-19's .*{key}"):
            read_vgg_features(tmp_path / "vgg.pth")


class TestTraining:
    CONFIG = TrainingConfig("pretrain", ["sr", "projection"], steps=2, loss="cobi")

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for task in self.CONFIG.tasks:
            recipe = replace(TASKS[task].training, scene_size=24, scenes=1, patch=16, batch=1)
            change_task(monkeypatch, task, training=recipe)

    @pytest.mark.parametrize(
        "tasks",
        # Stacks are simulated for the second.
        [["sr"], pytest.param(["sr", "projection"], marks=pytest.mark.slow)],
        ids=str,
    )
    def test_learns_by_it_and_says_so(
        self, tmp_path: Path, features: VggFeatures, tasks: list[str]
    ) -> None:
        losses: list[float] = []
        watch = replace(WATCH, on_step=lambda _step, _task, loss: losses.append(loss))
        config = replace(self.CONFIG, tasks=tasks)
        request = TrainingRequest(tmp_path / "m.safetensors", config, features=features)
        training_run.train(request, watch)
        assert len(losses) == 2
        assert all(0.1 < loss < 2 for loss in losses)
        record = read_training_record(record_path(request.out))
        assert record.loss == (
            f"contextual bilateral loss of VGG features (weights {features.sha256[:16]})"
        )
        assert record.loss_settings == {"spatial_weight": 0.1}

    def test_stacks_are_refused(self, tmp_path: Path, features: VggFeatures) -> None:
        config = replace(self.CONFIG, tasks=["sr", "volume"])
        request = TrainingRequest(tmp_path / "m.safetensors", config, features=features)
        with pytest.raises(CheckpointError, match="results for volume are stacks"):
            training_run.train(request, WATCH)

    def test_features_of_another_loss_are_refused(self) -> None:
        with pytest.raises(CheckpointError, match="`features` are for the loss `cobi`"):
            replace(self.CONFIG, loss="l1", features="vgg.pth").checked()

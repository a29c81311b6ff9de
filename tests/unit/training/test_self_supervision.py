"""Learning from noisy images alone: what is hidden, what is compared, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch

from tests.helpers.lab_folders import noisy, structure, write
from unifmir.config import MultiTaskConfig
from unifmir.datasets.pairing import PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.errors import ImageError, NotHelpedError
from unifmir.model import build
from unifmir.training import training_run
from unifmir.training.configuration import RecipeChange, TrainingConfig
from unifmir.training.self_supervision import (
    HIDDEN_SHARE,
    REACH_PX,
    Evidence,
    blind_spot_loss,
    fitted_errors,
    hide_pixels,
    require_white_noise,
    whiteness,
)
from unifmir.training.training_record import read_training_record
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest


def hidden() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch of windows of distinct values, with pixels hidden, and what is compared."""
    inputs = torch.arange(2 * 3 * 40 * 30, dtype=torch.float32).reshape(2, 3, 40, 30)
    inputs[1, 0] = inputs[1, 1]  # at the end of a stack the slice stands in for its neighbour
    shown, targets = hide_pixels(inputs, inputs[:, 1:2], np.random.default_rng(0))
    return inputs, shown, targets


class TestHiding:
    def test_few_pixels_are_hidden_and_all_others_are_as_they_were(self) -> None:
        inputs, shown, targets = hidden()
        mask = targets[:, 1].bool()
        assert 0.5 * HIDDEN_SHARE < float(mask.float().mean()) < 2 * HIDDEN_SHARE
        assert torch.equal(targets[:, 0], inputs[:, 1])
        assert torch.equal(shown[:, 1] != inputs[:, 1], mask)
        assert torch.equal(shown[:, 2], inputs[:, 2])

    def test_a_copy_of_the_slice_does_not_tell_what_is_hidden(self) -> None:
        inputs, shown, _ = hidden()
        assert torch.equal(shown[1, 0], shown[1, 1])
        assert torch.equal(shown[0, 0], inputs[0, 0])

    def test_a_neighbour_within_reach_stands_in(self) -> None:
        inputs, shown, targets = hidden()
        for image, y, x in targets[:, 1].nonzero():
            place = int(shown[image, 1, y, x] - inputs[image, 1, 0, 0])
            assert abs(place // 30 - int(y)) <= REACH_PX
            assert abs(place % 30 - int(x)) <= REACH_PX

    def test_the_loss_is_of_hidden_pixels_alone(self) -> None:
        targets = torch.zeros(1, 2, 4, 4)
        targets[0, 1, 0, 0] = targets[0, 1, 1, 1] = 1
        restored = torch.full((1, 1, 4, 4), 9.0)
        restored[0, 0, 0, 0], restored[0, 0, 1, 1] = 1, 3
        assert blind_spot_loss(restored, targets) == (1 + 9) / 2


class TestNoise:
    def test_white_noise_on_smooth_structure_is_learned_from(self) -> None:
        rng = np.random.default_rng(0)
        image = noisy(rng, structure(rng, (4, 64, 64))).astype(np.float32)
        assert whiteness(image, -1) == pytest.approx(1, abs=0.05)
        require_white_noise([image], "cells.zarr")

    @pytest.mark.parametrize(("axis", "word"), [(-1, "row"), (-2, "column")])
    def test_noise_that_neighbours_share_is_refused(self, axis: int, word: str) -> None:
        rng = np.random.default_rng(0)
        noise = scipy.ndimage.gaussian_filter1d(rng.standard_normal((4, 64, 64)), 0.7, axis=axis)
        with pytest.raises(ImageError, match=f"neighbouring pixels of a {word} is alike"):
            require_white_noise([noise.astype(np.float32)], "cells.zarr")


def test_units_of_a_model_are_forgiven_and_errors_are_not() -> None:
    recorded = torch.tensor([0.0, 1.0, 2.0, 3.0])
    in_other_units = [(7 * recorded[:2] - 3, recorded[:2]), (7 * recorded[2:] - 3, recorded[2:])]
    assert fitted_errors(in_other_units) == pytest.approx((0, 0), abs=1e-12)
    # Of the mean of all, 1.5, which is all that a constant can give.
    constant = [(torch.ones(2), recorded[:2]), (torch.ones(2), recorded[2:])]
    assert fitted_errors(constant) == pytest.approx(((1.5**2 + 0.5**2) / 2,) * 2)


def test_a_gain_within_its_error_has_not_helped() -> None:
    assert Evidence((1.0, 1.1, 1.2), (0.9, 1.0, 1.05), False).has_helped
    assert not Evidence((1.0, 1.1, 1.2), (0.5, 1.5, 1.2), False).has_helped
    assert not Evidence((1.0, 1.1, 1.2), (1.1, 1.2, 1.35), False).has_helped
    assert not Evidence((1.0, 1.1, 1.2), (0.9999, 1.0999, 1.1999), False).has_helped


@pytest.mark.slow
class TestTraining:
    def request_for(self, folder: Path, config: MultiTaskConfig, rate: float) -> TrainingRequest:
        for number in range(3):
            rng = np.random.default_rng(number)
            image = noisy(rng, structure(rng, (8, 32, 32)))
            write(folder / "lab" / "noisy" / f"{number}.tif", image, "zyx")
        store = folder / "noisy.zarr"
        rules = (PairRule("noisy"),)
        prepare(PreparationRequest(folder / "lab", store, "denoise", rules, patch=16))
        torch.manual_seed(1)
        wanted = TrainingConfig(
            "self-supervised",
            supervision="blind-spots",
            tasks=["denoise"],
            init="any",
            data=[str(store)],
            steps=60,
            learning_rate=rate,
            precision="fp32",
            recipes={"denoise": RecipeChange(batch=2, patch=16)},
        )
        return TrainingRequest(folder / "m.safetensors", wanted, build(config))

    def test_what_has_helped_is_written_with_its_figures(
        self, tmp_path: Path, tiny_config: MultiTaskConfig
    ) -> None:
        request = self.request_for(tmp_path, tiny_config, 3e-3)
        source = training_run.train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
        assert source.path == request.out
        record = read_training_record(tmp_path / "m.safetensors.training.json")
        assert "hidden pixels of held-out images" in record.data
        assert record.loss == "L2 at hidden pixels (Noise2Void)"

    def test_what_has_not_helped_is_not_written(
        self, tmp_path: Path, tiny_config: MultiTaskConfig
    ) -> None:
        request = self.request_for(tmp_path, tiny_config, 1e-9)
        with pytest.raises(NotHelpedError, match="has not helped: mean square error of hidden"):
            training_run.train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
        assert not request.out.exists()
        assert not (tmp_path / "m.safetensors.state.pt").exists()

    def test_repeated_frames_are_predicted_from_others(
        self, tmp_path: Path, tiny_config: MultiTaskConfig
    ) -> None:
        request = self.request_for(tmp_path, tiny_config, 3e-3)
        request = replace(request, config=replace(request.config, supervision="repeats"))
        training_run.train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
        record = read_training_record(tmp_path / "m.safetensors.training.json")
        assert "other frames" in record.data

"""Learning from noisy images alone: what is hidden, what is compared, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from tests.helpers.lab_folders import noisy, structure, write
from unifmir.config import MultiTaskConfig
from unifmir.datasets.pairing import PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset, StoredPatches
from unifmir.errors import ImageError, NotHelpedError
from unifmir.model import build
from unifmir.tasks.denoise import DENOISE
from unifmir.training import self_supervision, training_run
from unifmir.training.configuration import RecipeChange, TrainingConfig
from unifmir.training.pool import Pool
from unifmir.training.schedule import Schedule
from unifmir.training.self_supervision import (
    HIDDEN_SHARE,
    REACH_PX,
    Evidence,
    blind_spot_loss,
    diagonal_halves,
    fitted_errors,
    hide_pixels,
    noisy_pools,
    require_white_noise,
    whiteness,
)
from unifmir.training.trainer import Training
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

    def test_of_a_few_pixels_one_is_hidden(self) -> None:
        plane = torch.arange(16.0).reshape(1, 1, 4, 4)
        for seed in range(20):
            shown, targets = hide_pixels(plane, plane, np.random.default_rng(seed))
            assert 1 <= targets[:, 1].sum() <= 2
            assert torch.equal(shown != plane, targets[:, 1:].bool())

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


def test_halves_of_the_pixels_show_the_same_and_share_no_noise() -> None:
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    first, second = diagonal_halves((3 * y + 5 * x)[None, None])
    cells = 3 * (2 * y[:3, :4] + 0.5) + 5 * (2 * x[:3, :4] + 0.5)
    assert torch.equal(first[0, 0], cells)
    assert torch.equal(second[0, 0], cells)
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal((1, 1, 512, 512), dtype=np.float32))
    first, second = (half.flatten() for half in diagonal_halves(noise))
    assert float(first.var()) == pytest.approx(0.5, abs=0.01)
    assert float((first * second).mean()) == pytest.approx(0, abs=0.01)


def test_halves_judge_as_the_truth_does_where_hidden_pixels_would_not() -> None:
    # One filter looks at the pixel itself, the other at its neighbours alone, as a network does
    # that learned to fill hidden pixels. The first one is nearer to the truth.
    rng = np.random.default_rng(1)
    rough, noise = torch.from_numpy(rng.standard_normal((2, 1, 1, 256, 256), dtype=np.float32))
    truth = torch.from_numpy(scipy.ndimage.gaussian_filter(rough.numpy(), (0, 0, 6, 6)))
    truth = truth / truth.std()
    image = truth + 0.3 * noise
    ring = torch.ones(1, 1, 3, 3)
    whole = ring / 9
    ring[..., 1, 1] = 0
    ring = ring / 8

    def error(kernel: Tensor, given: Tensor, wanted: Tensor) -> float:
        return float((conv2d(given, kernel, padding="same") - wanted).square().mean())

    first, second = diagonal_halves(image)
    assert error(whole, image, truth) < error(ring, image, truth)
    assert error(whole, first, second) < error(ring, first, second)
    # Hidden behind a neighbour, the pixel is missed by the filter that looks at it.
    hidden, places = image.clone(), torch.from_numpy(rng.random(image.shape) < 0.02)
    hidden[places] = hidden.roll((1, 2), (2, 3))[places]
    filled = [conv2d(hidden, kernel, padding="same")[places] for kernel in (whole, ring)]
    misses = [float((one - image[places]).square().mean()) for one in filled]
    assert misses[0] > misses[1]


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


def noisy_store(folder: Path, *, files: int, side: int, planes: int = 8) -> Path:
    """A dataset of noisy stacks of 8 planes, so many of them others, in patches of 16 pixels."""
    for number in range(files):
        rng = np.random.default_rng(number)
        truth = structure(rng, (planes, side, side)).repeat(8 // planes, axis=0)
        image = noisy(rng, truth)
        write(folder / "lab" / "noisy" / f"{number}.tif", image, "zyx")
    store, rules = folder / "noisy.zarr", (PairRule("noisy"),)
    prepare(PreparationRequest(folder / "lab", store, "denoise", rules, patch=16, foreground=0))
    return store


class TestHeldOut:
    @pytest.mark.parametrize(
        ("files", "side", "found"),
        [
            # 16 patches of the same files, every fifth held out; or one file of five with 4.
            (4, 32, r"12 patches to learn from and 4 held out to judge by \(of the same files\)"),
            (5, 32, r"12 patches to learn from and 4 held out to judge by \(of other files\)"),
        ],
    )
    def test_too_few_to_tell_are_refused(
        self, tmp_path: Path, files: int, side: int, found: str
    ) -> None:
        dataset = StoredDataset(noisy_store(tmp_path, files=files, side=side))
        with pytest.raises(ImageError, match=f"{found}; .*5 held out.*more images, or .*--patch"):
            noisy_pools(dataset, 5, repeats=False)

    def test_of_many_so_many_are_judged_from_first_to_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self_supervision, "MOST_HELD_OUT", 6)
        dataset = StoredDataset(noisy_store(tmp_path, files=5, side=48))
        (file,) = dataset.manifest.of("validation")
        _, held_out = noisy_pools(dataset, 5, repeats=False)
        assert isinstance(held_out.images, StoredPatches)
        assert [patch.pair for patch in held_out.images.patches] == [file] * 6
        assert [patch.number for patch in held_out.images.patches] == [0, 1, 3, 4, 6, 7]
        assert "judged by 6 of other files" in held_out.origin

    def test_each_counts_once_and_is_judged_by_the_same_pixels_again(
        self, tiny_config: MultiTaskConfig
    ) -> None:
        rng = np.random.default_rng(0)
        images = [noisy(rng, structure(rng, (3, 16, 16))).astype(np.float32) for _ in range(7)]
        pool = Pool("denoise", images, images)
        torch.manual_seed(0)
        recipes = {"denoise": replace(DENOISE.training, patch=8, batch=2)}
        run = Training(
            build(tiny_config.single("denoise")),
            *({"denoise": pool}, recipes, Schedule(1e-3, 1), 0, ("denoise",)),
            supervision="blind-spots",
        )
        found = run.errors(run.network, pool)
        assert len(found) == 7
        assert run.errors(run.network, pool) == found
        # One patch that is seven, and not seven values of one.
        assert len(run.errors(run.network, replace(pool, images=images[:1]))) == 1


@pytest.mark.slow
class TestTraining:
    def request_for(
        self, folder: Path, config: MultiTaskConfig, rate: float, planes: int = 8
    ) -> TrainingRequest:
        store = noisy_store(folder, files=3, side=48, planes=planes)
        torch.manual_seed(1)
        wanted = TrainingConfig(
            "self-supervised",
            supervision="blind-spots",
            tasks=["denoise"],
            init="any",
            data=[str(store)],
            steps=120,
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
        assert source is not None
        assert source.path == request.out
        record = read_training_record(tmp_path / "m.safetensors.training.json")
        assert "the other half of the pixels of 6 held-out patches" in record.data
        assert record.loss == "L2 at hidden pixels (Noise2Void)"

    def test_what_has_not_helped_is_not_written(
        self, tmp_path: Path, tiny_config: MultiTaskConfig
    ) -> None:
        request = self.request_for(tmp_path, tiny_config, 1e-9)
        with pytest.raises(
            NotHelpedError, match="has not helped: mean square error of the other half"
        ):
            training_run.train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
        assert not request.out.exists()
        assert not (tmp_path / "m.safetensors.state.pt").exists()

    def test_repeated_frames_are_predicted_from_others(
        self, tmp_path: Path, tiny_config: MultiTaskConfig
    ) -> None:
        request = self.request_for(tmp_path, tiny_config, 3e-3, planes=1)
        request = replace(request, config=replace(request.config, supervision="repeats"))
        training_run.train(request, TrainingCallbacks(lambda _: None, lambda *_: None))
        record = read_training_record(tmp_path / "m.safetensors.training.json")
        assert "other frames" in record.data

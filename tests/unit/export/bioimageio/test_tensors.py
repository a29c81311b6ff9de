"""Test images, the declared preprocessing, files that hold the numbers, covers."""

import io

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

from tests.compat.packages import TINY, image, network
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio import cover, tensors
from unifmir.export.formats.bioimageio.cover import LIMIT_BYTES, cover_png
from unifmir.model import image_interface
from unifmir.normalize import normalize
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.tasks.base import CARE_PERCENTILES, Normalization
from unifmir.zip_archive import write_zip


def test_the_crop_with_most_contrast_is_taken():
    picture = np.zeros((100, 100), np.float32)
    picture[60:80, 60:80] = np.random.default_rng(0).random((20, 20)) * 100
    crop = tensors.test_image(picture, (32, 32))
    assert crop.shape == (1, 1, 32, 32)
    assert crop.max() > 50


@pytest.mark.parametrize("percent", [0.0, 2.0, 50.0, 99.8, 100.0])
def test_nearest_rank_takes_a_value_of_the_image(percent: float):
    values = np.random.default_rng(0).permutation(1000).astype(np.float32)
    assert tensors.nearest_rank(values, percent) == min(int(1000 * (percent / 100)), 999)


def test_a_crop_on_which_percentiles_agree_is_preferred_to_one_of_more_contrast():
    picture = np.zeros((64, 32), np.float32)
    picture[:32] = np.random.default_rng(0).random((32, 32)) * 100
    picture[32:, :16] = 50  # two grey levels: all ranks of a level are equal
    of_most = tensors.test_image(picture, (32, 32))
    agreeing = tensors.test_image(picture, (32, 32), normalization=CARE_PERCENTILES)
    assert not tensors.percentiles_agree(of_most, (2.0, 99.8))
    assert tensors.percentiles_agree(agreeing, (2.0, 99.8))
    assert agreeing.std() < of_most.std()
    extremes = Normalization("percentile")
    assert np.array_equal(tensors.test_image(picture, (32, 32), normalization=extremes), of_most)


def test_where_percentiles_agree_on_no_crop_the_one_of_most_contrast_is_taken():
    picture = np.random.default_rng(0).random((40, 32)).astype(np.float32)
    picture[:20] *= 3
    crop = tensors.test_image(picture, (32, 32), normalization=CARE_PERCENTILES)
    assert np.array_equal(crop[0, 0], picture[:32])


@pytest.mark.parametrize("task", [name for name in TASKS if not TASKS[name].normalization.inside])
def test_the_shipped_samples_have_crops_on_which_percentiles_agree(task: str):
    rule = TASKS[task].normalization
    whole = sample(task).image
    crop = tensors.test_image(whole, [min(32, one) for one in whole.shape], normalization=rule)
    assert tensors.percentiles_agree(crop, (rule.low_percent, rule.high_percent))


def test_a_small_image_is_continued_by_reflection():
    picture = np.arange(12, dtype=np.float32).reshape(3, 4)
    crop = tensors.test_image(picture, (4, 4))[0, 0]
    assert np.array_equal(crop[3], crop[2])


def test_light_field_crops_start_with_a_whole_lens():
    rows = np.repeat(np.arange(90, dtype=np.float32)[:, None] % 3, 90, axis=1)
    crop = tensors.test_image(rows, (48, 48), multiple_of=3)[0, 0]
    assert np.array_equal(crop[:3, 0], [0, 1, 2])


@pytest.mark.parametrize("task", TASKS)
def test_the_declared_preprocessing_is_the_normalisation_of_the_task(task: str):
    raw, rule = image(task), TASKS[task].normalization
    expected, _ = normalize(raw, rule)
    # 1e-6 is added to a span of some thousands.
    assert np.allclose(tensors.preprocess(raw, rule), expected, rtol=0, atol=1e-6)


def test_tiff_and_npy_hold_the_same_numbers():
    array = np.random.default_rng(0).random((1, 1, 3, 8, 9), dtype=np.float32)
    assert np.array_equal(np.load(io.BytesIO(tensors.npy_bytes(array))), array)
    assert np.array_equal(tifffile.imread(io.BytesIO(tensors.tiff_bytes(array))), array[0, 0])


def test_weights_are_narrowed_only_where_nothing_is_lost(tmp_path):
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": torch.tensor([[0.5, 0.25]]), "bias": torch.tensor([0.1])})
    tensors.write_state_dict(layer, torch.float16, tmp_path / "w.pt")
    state = torch.load(tmp_path / "w.pt")
    assert state["weight"].dtype == torch.float16
    assert state["bias"].dtype == torch.float32
    assert type(state) is dict


def test_an_output_too_small_to_test_is_refused():
    with pytest.raises(ExportError, match="trained"):
        tensors.check_testable(np.full((1, 1, 4, 4), 1e-5, np.float32))


class Broken(nn.Module):
    """Gives NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.nan


def test_an_output_with_nan_is_refused():
    with pytest.raises(ExportError, match="NaN"):
        tensors.restore(Broken(), np.ones((1, 1, 4, 4), np.float32), TASKS["volume"].normalization)


@pytest.mark.parametrize("task", TASKS)
def test_covers_are_two_to_one_and_small(task: str):
    data = cover_png(image_interface(network(task)), TINY.single(task), image(task))
    width, height = Image.open(io.BytesIO(data)).size
    assert width == 2 * height
    assert len(data) < LIMIT_BYTES


def test_the_cover_of_a_window_shows_what_the_interface_makes_of_its_middle_plane():
    config, module = TINY.single("denoise"), image_interface(network("denoise"))
    raw = tensors.test_image(image("denoise"), (config.signature.channels, 24, 40))
    whole = tensors.restore(module, raw, TASKS["denoise"].normalization)
    shown = cover.restored_view(module, config, raw)
    assert shown.shape == (1, 1, 24, 40)
    np.testing.assert_allclose(shown[0, 0], whole[0, 0, 2], atol=1e-5)
    assert np.abs(whole[0, 0, 1] - whole[0, 0, 2]).max() > 1e-3


def test_the_archive_depends_on_its_contents_alone(tmp_path):
    write_zip({"b.txt": b"2", "a.pt": b"1"}, tmp_path / "one.zip")
    write_zip({"a.pt": b"1", "b.txt": b"2"}, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

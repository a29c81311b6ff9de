"""Restored images and truths: which belong together, and which cannot be compared."""

import numpy as np
import pytest
import tifffile

from unifmir.errors import ImageError
from unifmir.images import write_tiff
from unifmir.metrics.error_picture import error_picture
from unifmir.metrics.image_pairs import MEASURED, find_image_pairs, read_pair
from unifmir.metrics.scores import score


@pytest.fixture
def folders(tmp_path):
    """Empty folders of restored images and truths."""
    restored, truth = tmp_path / "restored", tmp_path / "truth"
    restored.mkdir()
    truth.mkdir()
    return restored, truth


def image(path, *, noise: float = 0.0, shape=(32, 40), axes: str = "yx") -> None:
    """Write an image of structure, float32."""
    rng = np.random.default_rng(0)
    values = 100 + 20 * rng.random(shape) + noise * np.random.default_rng(1).normal(size=shape)
    write_tiff(path, values.astype(np.float32), axes)


def test_names_are_matched_as_restore_names_results(folders):
    restored, truth = folders
    for name in ("a.tif", "b.tif", "c.d.tif", "only.tif"):
        image(truth / name)
    for name in ("a.sr.tif", "b.tif", "c.d.denoise.tif", "lone.tif", ".hidden.tif"):
        image(restored / name)
    (restored / "notes.txt").write_text("no image")
    found = find_image_pairs(restored, truth)
    assert [(p.name, p.restored.name, p.truth.name) for p in found.pairs] == [
        ("a", "a.sr.tif", "a.tif"),
        ("b", "b.tif", "b.tif"),
        ("c.d", "c.d.denoise.tif", "c.d.tif"),
    ]
    assert {path.name for path in found.unpaired} == {"lone.tif", "only.tif"}


def test_two_results_of_one_image_are_told(folders):
    restored, truth = folders
    image(truth / "a.tif")
    for name in ("a.denoise.tif", "a.tif"):
        image(restored / name)
    found = find_image_pairs(restored, truth)
    assert len(found.pairs) == 1
    ((path, reason),) = found.unpaired.items()
    assert path.name == "a.tif"
    assert "a.denoise.tif" in reason


def test_two_truths_of_one_name_are_told(folders):
    restored, truth = folders
    for name in ("a.ome.tif", "a.tif"):
        image(truth / name)
    image(restored / "a.sr.tif")
    found = find_image_pairs(restored, truth)
    assert [pair.truth.name for pair in found.pairs] == ["a.ome.tif"]
    assert list(found.unpaired) == [truth / "a.tif"]
    assert "a.ome.tif is already the truth of this name" in found.unpaired[truth / "a.tif"]


def test_places_that_do_not_go_together_are_refused(folders):
    restored, truth = folders
    image(truth / "a.tif")
    image(restored / "b.tif")
    for one, other, told in (
        (restored, truth, "cells.TASK.tif"),
        (restored / "b.tif", truth, "is a folder"),
        (restored / "none.tif", truth / "a.tif", "no such file"),
    ):
        with pytest.raises(ImageError, match=told):
            find_image_pairs(one, other)


def test_the_figures_are_those_of_the_arrays(folders):
    restored, truth = folders
    image(truth / "a.tif")
    image(restored / "a.tif", noise=2)
    ((pair),) = find_image_pairs(restored, truth).pairs
    found = score(*read_pair(pair), MEASURED)
    assert set(found) == set(MEASURED)
    one, other = (tifffile.imread(path) for path in (pair.restored, pair.truth))
    error = float(np.square(one.astype(np.float64) - other).mean())
    span = float(other.max() - other.min())
    assert found["psnr_unfitted_db"] == pytest.approx(20 * np.log10(span) - 10 * np.log10(error))
    assert found["psnr_db"] >= found["psnr_unfitted_db"]


def test_images_that_cannot_be_held_against_each_other_are_named(folders):
    restored, truth = folders
    image(truth / "a.tif")
    image(restored / "a.tif", shape=(32, 41))
    write_tiff(truth / "flat.tif", np.full((16, 16), 7, np.uint16), "yx")
    image(restored / "flat.tif", shape=(16, 16))
    tifffile.imwrite(truth / "nan.tif", np.full((16, 16), np.nan, np.float32))
    image(restored / "nan.tif", shape=(16, 16))
    told = {"a": "32x41", "flat": "every pixel is 7", "nan": "nan.tif"}
    for pair in find_image_pairs(restored, truth).pairs:
        with pytest.raises(ImageError, match=told[pair.name]):
            read_pair(pair)


def test_planes_of_a_stack_follow_each_other(folders):
    restored, truth = folders
    for place in folders:
        image(place / "a.tif", shape=(3, 24, 20), axes="zyx")
    one, other = read_pair(find_image_pairs(restored, truth).pairs[0])
    assert one.shape == other.shape == (3, 24, 20)


def test_a_picture_shows_both_at_one_contrast_and_grey_where_nothing_differs():
    rng = np.random.default_rng(0)
    truth = rng.random((16, 16))
    picture = error_picture(truth, truth)
    assert picture.shape == (16, 3 * 16 + 16)
    np.testing.assert_array_equal(picture[:, :16], picture[:, 24:40])
    assert set(np.unique(picture[:, 48:])) == {128}
    brighter = error_picture(truth + 10, truth)
    assert set(np.unique(brighter[:, 48:])) == {255}
    assert error_picture(np.zeros((4, 3000, 20)), np.ones((4, 3000, 20))).shape[0] == 1000

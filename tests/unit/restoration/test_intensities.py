"""Intensities come back: totals, backgrounds, the same in tiles, and poor fits are said."""

import logging

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import (
    FileSink,
    by_image_interface,
    options_for,
    picture,
    predictor_of,
    restore_officially,
    seam_over_range,
    small,
)
from unifmir.errors import ImageError
from unifmir.images.arrays import ArraySource
from unifmir.normalize import FloatImage, Scaling
from unifmir.restoration import intensities, tile_plan
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import (
    RestorationProgress,
    restore,
    restore_array,
    restore_tile,
)
from unifmir.restoration.geometry import slices
from unifmir.restoration.intensities import pieces, with_lines
from unifmir.restoration.intensity_line import block_sums, fit_line
from unifmir.restoration.journal import Journal
from unifmir.restoration.lazy_image import TileLimit
from unifmir.restoration.low_frequencies import ImagePart, low_frequencies
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan, plan_restoration
from unifmir.tasks import TASKS
from unifmir.tasks.base import Intensity

SHAPES = {"sr": (140, 150), "denoise": (3, 131, 142), "isotropic": (24, 130, 20)}


@pytest.fixture
def large(monkeypatch):
    """Small images are treated as those that are not kept whole."""
    monkeypatch.setattr(tile_plan, "KEPT_VOXELS", 0)


def brightened(task: str, slope: float, offset: float) -> Predictor:
    """A predictor whose result is the image, at another slope and offset."""

    def run(image: FloatImage) -> FloatImage:
        middle = image.shape[1] // 2
        out = image[:, middle : middle + 1] * np.float32(slope) + np.float32(offset)
        scale = small(task).config.signature.scale
        return np.kron(out, np.ones((scale, scale), np.float32)).astype(np.float32)

    return Predictor(run, small(task).config)


@pytest.mark.parametrize("intensity", ["matched", "local"])
@pytest.mark.parametrize("task", ["sr", "denoise"])
def test_what_a_model_does_to_slope_and_offset_is_undone(task, intensity):
    image = picture(SHAPES[task])
    # sr limits what the network gives to [0, 1]: a slope below 1 stays inside.
    restored = restore_array(
        image, brightened(task, 0.6, 0.1), options=Options(intensity=intensity)
    )
    if task == "sr":
        restored = restored.reshape(140, 2, 150, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(restored, image, atol=1e-4 * float(image.max()))


@pytest.mark.parametrize("task", SHAPES)
def test_a_matched_total_is_the_images(task):
    image = picture(SHAPES[task])
    restored = restore_array(
        image, predictor_of(small(task)), options=options_for(task, intensity="matched")
    )
    assert restored.mean(dtype=np.float64) == pytest.approx(image.mean(), rel=1e-5)


@pytest.mark.parametrize("task", ["sr", "denoise", "isotropic"])
def test_percentile_is_what_the_official_inference_gives(task):
    network, image = small(task), picture(SHAPES[task])
    restored = restore_officially(image, predictor_of(network))
    assert seam_over_range(by_image_interface(network, image), restored) <= 1e-4


@pytest.mark.parametrize(
    ("task", "known", "intensity"),
    few_quick(
        [
            (task, known, intensity)
            for task, known in (
                ("sr", {}),
                ("denoise", {}),
                ("isotropic", {}),
                ("isotropic", {"z_factor": 2.5}),
                ("sr", {"correct_sampling": True}),
            )
            for intensity in ("matched", "local")
        ],
        [
            ("sr", {}, "local"),
            ("denoise", {}, "matched"),
            ("sr", {"correct_sampling": True}, "matched"),
        ],
    ),
)
def test_large_images_have_the_same_intensities_in_tiles_of_any_size(large, task, known, intensity):
    image, predictor = picture(SHAPES[task]), predictor_of(small(task))
    whole = restore_array(image, predictor, options=options_for(task, intensity=intensity, **known))
    options = options_for(task, intensity=intensity, tile=96, **known)
    source = ArraySource(image, "zyx"[-image.ndim :])
    assert len(plan_restoration(source, predictor, options).tiles) > 1
    assert seam_over_range(whole, restore_array(image, predictor, options=options)) <= 1e-4


def test_a_tile_says_all_that_it_reads(large):
    image, predictor = picture(SHAPES["denoise"]), predictor_of(small("denoise"))
    options = Options(tile=96)
    plan = plan_restoration(ArraySource(image, "zyx"), predictor, options)
    plan = with_lines(plan, ArraySource(image, "zyx"), predictor, TileLimit())
    tile = plan.tiles[0]
    blank = np.full_like(image, 9999)
    blank[tile.read[2:]] = image[tile.read[2:]]
    assert blank.shape != image[tile.read[2:]].shape
    expected, found = (
        restore_tile(plan, tile, ArraySource(one, "zyx"), predictor) for one in (image, blank)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_resumed_run_of_a_large_image_writes_the_same_bytes(large, tmp_path, monkeypatch):
    image, predictor = picture((1, 150, 160)), predictor_of(small("denoise"))

    def run(stop_after: int | None = None) -> None:
        def on_progress(progress: RestorationProgress) -> None:
            if stop_after is not None and progress.tiles_done >= stop_after:
                raise KeyboardInterrupt

        restore(
            ArraySource(image, "zyx"),
            lambda plan: FileSink(tmp_path / "out.raw", plan.out_shape),
            predictor,
            Options(tile=96),
            journal=Journal(tmp_path / "journal", source="s", model="m"),
            on_progress=on_progress,
        )

    run()
    expected = (tmp_path / "out.raw").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run(stop_after=1)

    def never(*args: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("unifmir.restoration.intensities.fit_line", never)
    run()
    assert (tmp_path / "out.raw").read_bytes() == expected


@pytest.mark.parametrize("sigma", sorted({task.low_frequency_px for task in TASKS.values()}))
def test_low_frequencies_bring_in_under_a_tenth_of_the_noise(sigma):
    noise = np.random.default_rng(0).normal(size=(4, 300, 300)).astype(np.float32)
    box = ((0, 4), (0, 300), (0, 300))
    low = low_frequencies(ImagePart(noise, box, (4, 300, 300)), box, sigma).values
    assert 0.05 < low[:, 20:-20, 20:-20].std() < 0.1


def test_low_frequencies_assume_nothing_beyond_the_edges():
    ramp = np.full((1, 20, 20), 7, np.float32)
    box = ((0, 1), (0, 20), (0, 20))
    low = low_frequencies(ImagePart(ramp, box, (1, 20, 20)), box, 4.0)
    np.testing.assert_allclose(low.values, 7, rtol=1e-6)


@pytest.mark.parametrize("size", [(2, 70, 90), (1, 7, 100), (3, 40, 5)])
def test_low_frequencies_are_those_of_a_gaussian_with_mirrored_edges(size):
    image = np.random.default_rng(2).normal(size=size).astype(np.float32)
    whole = ((0, size[0]), (0, size[1]), (0, size[2]))
    # To three standard deviations, as SciPy rounds them.
    expected = gaussian_filter(image, (0, 4.0, 4.0), mode="reflect", truncate=3.0)
    at_once = low_frequencies(ImagePart(image, whole, size), whole, 4.0).values
    np.testing.assert_allclose(at_once, expected, atol=1e-6)
    # A part whose surroundings end at the image's edge on one side, and are cut on the other.
    z, y, x = size
    box = ((0, z), (0, min(y, 25)), (max(0, x - 31), x))
    around = ((0, z), (0, min(y, 37)), (max(0, x - 43), x))
    part = ImagePart(image[slices(around)], around, size)
    found = low_frequencies(part, box, 4.0).values
    np.testing.assert_allclose(found, expected[slices(box)], atol=1e-6)


@pytest.mark.parametrize(
    ("task", "known"), few_quick([("sr", {}), ("isotropic", {"z_factor": 2.5})], [("sr", {})])
)
def test_rows_brought_back_in_bands_are_those_of_the_whole(large, task, known, monkeypatch):
    image, predictor = picture(SHAPES[task]), predictor_of(small(task))
    options = options_for(task, intensity="local", **known)
    whole = restore_array(image, predictor, options=options)
    monkeypatch.setattr(intensities, "BAND_VOXELS", 1)
    monkeypatch.setattr(intensities, "LEAST_ROWS", 37)
    in_bands = restore_array(image, predictor, options=options)
    assert seam_over_range(whole, in_bands) <= 1e-6


@pytest.mark.parametrize("intensity", ["matched", "local"])
@pytest.mark.parametrize("task", ["sr", "denoise"])
def test_where_nothing_can_be_fitted_the_total_is_kept(task, intensity):
    image = picture((5, 24, 26) if task == "denoise" else (24, 26))
    options, blank = Options(intensity=intensity), brightened(task, 0.0, 0.25)
    for raw in (image, np.full_like(image, 42), image[..., :1, :1]):
        restored = restore_array(raw, blank, options=options)
        assert restored.mean(dtype=np.float64) == pytest.approx(raw.mean(), rel=1e-5)


@pytest.mark.parametrize("intensity", ["matched", "local"])
@pytest.mark.parametrize("task", ["sr", "denoise", "isotropic"])
def test_a_constant_image_stays_constant(task, intensity):
    image = np.full((24, 26) if task == "sr" else (5, 24, 26), 42, np.uint16)
    restored = restore_array(
        image, predictor_of(small(task)), options=options_for(task, intensity=intensity)
    )
    np.testing.assert_allclose(restored, 42, rtol=1e-5)


def test_a_fit_that_is_poor_is_said(caplog):
    rng = np.random.default_rng(1)
    plain = predictor_of(small("denoise"))

    def run(image: FloatImage) -> FloatImage:
        return rng.random((len(image), 1, *image.shape[2:])).astype(np.float32)

    with caplog.at_level(logging.WARNING):
        restore_array(picture((3, 64, 64)), Predictor(run, plain.config))
    assert "intensities are not to be trusted" in caplog.text


def test_a_line_is_found_with_errors_that_hold():
    rng = np.random.default_rng(2)
    scaling, slopes, offsets, fits = Scaling(100.0, 50.0), [], [], []
    for _ in range(40):
        x = rng.random((2, 128, 128))
        y = 0.5 * x + 0.2 + rng.normal(0, 0.3, x.shape)
        line = fit_line([block_sums(x, y)], scaling)
        slopes.append(line.slope)
        offsets.append(line.offset)
        fits.append(line)
    assert np.mean(slopes) == pytest.approx(0.5, abs=0.005)
    # raw = 100 + 50 y, restored = 100 + 50 x
    assert np.mean(offsets) == pytest.approx(100 + 50 * 0.2 - 0.5 * 100, abs=0.5)
    for name, values in (("slope_error", slopes), ("offset_error", offsets)):
        said = np.mean([getattr(line, name) for line in fits])
        assert said == pytest.approx(np.std(values), rel=0.4)


def test_pieces_lie_in_the_image_and_are_spread_over_it():
    found = list(pieces(9, (40, 900, 700), 1, 60))
    assert len(set(found)) == len(found) == 60
    assert {t for t, _ in found} == set(range(9))
    for _, box in found:
        assert [stop - start for start, stop in box] == [1, 128, 128]
        assert all(s >= 0 and e <= n for (s, e), n in zip(box, (40, 900, 700), strict=True))
    centres = np.array([[(s + e) / 2 for s, e in box] for _, box in found])
    assert (abs(centres.mean(axis=0) / (20, 450, 350) - 1) < 0.1).all()


def test_time_points_of_a_large_image_share_a_line(large):
    series = np.stack([picture((3, 40, 40), seed) * (1 + seed) for seed in range(3)])
    plan = planned(series, "tzyx", "denoise")
    assert len({row[0].slope for row in plan.lines}) == 1
    assert len({row[0].offset for row in plan.lines}) == 3


def planned(image: np.ndarray, axes: str, task: str) -> RestorationPlan:
    source, predictor = ArraySource(image, axes), predictor_of(small(task))
    plan = plan_restoration(source, predictor, Options())
    return with_lines(plan, source, predictor, TileLimit())


@pytest.mark.parametrize("hot", [0, 1, 3])
def test_few_pixels_that_decide_the_range_are_said(caplog, hot):
    image = picture((100, 100)) // 20
    image.flat[:hot] = 60000
    with caplog.at_level(logging.WARNING):
        restore_array(image, predictor_of(small("sr")))
    assert ("decide the range" in caplog.text) == (hot > 0)
    assert ("--percentiles 0 99." in caplog.text) == (hot > 0)


def test_percentiles_take_hot_pixels_out_of_the_range():
    image = picture((100, 100))
    image.flat[0] = 60000
    plan = plan_restoration(
        ArraySource(image, "yx"), predictor_of(small("sr")), Options(percentiles=(0, 99.9))
    )
    assert plan.scalings[0][0].span < 0.1 * 60000
    assert not plan.notes


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (Options(intensity="local"), "relative"),
        (Options(percentiles=(1, 99)), "does not scale by percentiles"),
    ],
)
def test_a_volumes_values_are_relative(chosen, said):
    with pytest.raises(ImageError, match=said):
        restore_array(picture((27, 39)), predictor_of(small("volume")), options=chosen)


@pytest.mark.parametrize("percentiles", [(2.0, 1.0), (-1.0, 5.0), (0.0, 101.0)])
def test_percentiles_that_cannot_be_are_refused(percentiles):
    with pytest.raises(ImageError, match="from 0 to 100"):
        Options(percentiles=percentiles)


@pytest.mark.parametrize("intensity", ["matched", "local"])
def test_a_projection_is_held_against_the_maximum(intensity: Intensity):
    image = picture((4, 60, 70))
    restored = restore_array(
        image, predictor_of(small("projection")), options=Options(intensity=intensity)
    )
    assert restored.mean() == pytest.approx(image.max(axis=0).mean(), rel=0.01)

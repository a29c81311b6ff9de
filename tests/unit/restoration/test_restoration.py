"""Whole images through a network: right, whatever the axes and sizes, or refused with a reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import (
    SMALL,
    ChecksumSink,
    CountingSource,
    by_image_interface,
    options_for,
    picture,
    predictor_of,
    restore_officially,
    seam_over_range,
    small,
    weighted,
)
from unifmir.config import ReferenceConfig
from unifmir.errors import ImageError, TooLittleMemoryError
from unifmir.images.arrays import ArraySink, ArraySource
from unifmir.images.base import Channel, ImageInfo
from unifmir.model import build
from unifmir.restoration.base import Predictor
from unifmir.restoration.executor import (
    RestorationProgress,
    restore,
    restore_tile,
)
from unifmir.restoration.restoration_options import Options
from unifmir.restoration.tile_plan import RestorationPlan, plan_restoration
from unifmir.tasks import TASKS

SHAPES = {
    "sr": (37, 45),
    "denoise": (7, 25, 19),
    "isotropic": (19, 21, 26),
    "projection": (4, 33, 30),
    "volume": (9 * 3, 13 * 3),
}


@pytest.mark.parametrize("interface", ["network", "image"])
@pytest.mark.parametrize("task", TASKS)
def test_a_restored_image_is_what_the_image_interface_gives(task, interface):
    network, image = small(task), picture(SHAPES[task])
    restored = restore_officially(
        image, predictor_of(network, interface), options=options_for(task)
    )
    expected = by_image_interface(network, image)
    assert restored.dtype == np.float32
    assert restored.shape == expected.shape
    # isotropic: the root of rounding at 0; the others differ by the batch at most.
    assert seam_over_range(expected, restored) <= (1e-4 if task == "isotropic" else 1e-6)


@pytest.mark.parametrize("interface", ["network", "image"])
@pytest.mark.parametrize("task", few_quick(["denoise", "isotropic"], ["isotropic"]))
def test_stacks_in_tiles_are_the_same_by_both_interfaces(task, interface):
    network, image = small(task), picture((12, 60, 30) if task == "isotropic" else (7, 70, 66))
    whole = by_image_interface(network, image)
    options = options_for(task, tile=48)
    tiled = restore_officially(image, predictor_of(network, interface), options=options)
    assert seam_over_range(whole, tiled) <= 1e-4


def test_planes_without_neighbours_are_restored_one_by_one():
    network = weighted(replace(SMALL.single("denoise"), in_channels=1))
    image = picture((3, 20, 22))
    restored = restore_officially(image, predictor_of(network), options=Options(batch=2))
    assert seam_over_range(by_image_interface(network, image), restored) <= 1e-6


@pytest.mark.parametrize(
    ("model", "task", "shape"),
    [
        ("care-2d", "sr", (40, 50)),
        ("care-2d", "isotropic", (18, 20, 33)),
        ("care", "denoise", (9, 40, 50)),
        ("unet", "denoise", (3, 40, 50)),
        ("care-projection", "projection", (5, 40, 50)),
        ("vcd-net", "volume", (4 * 3, 9 * 3)),
    ],
)
def test_reference_models_restore_whole_images(model, task, shape):
    options = {"care": {"features": 4}, "care-2d": {"features": 4}, "unet": {"features": 4}}
    views = {"views": 9, "planes": 3, "stem_features": 32, "entry_features": 8}
    chosen = views | {"encoder": (8,) * 5} if model == "vcd-net" else options.get(model, {})
    known = ReferenceConfig(model, task).network_kwargs()
    pairs = tuple(sorted((k, v) for k, v in chosen.items() if k in known))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build(ReferenceConfig(model, task, pairs))
    image = picture(shape)
    restored = restore_officially(image, predictor_of(network), options=options_for(task))
    expected = by_image_interface(network, image)
    assert restored.shape == expected.shape
    assert seam_over_range(expected, restored) <= 1e-4


def test_every_time_point_and_channel_is_restored_by_itself():
    predictor = predictor_of(small("denoise"))
    series = np.stack([picture((3, 17, 18), seed) for seed in range(4)]).reshape(2, 2, 3, 17, 18)
    restored = restore_officially(series, predictor)
    for t in range(2):
        for c in range(2):
            np.testing.assert_array_equal(
                restored[t, c], restore_officially(series[t, c], predictor)
            )


@pytest.mark.parametrize(
    ("task", "axes", "shape", "axes_out", "shape_out"),
    [
        ("sr", "tyx", (2, 9, 11), "tyx", (2, 18, 22)),
        ("denoise", "yx", (9, 11), "yx", (9, 11)),
        ("projection", "tczyx", (1, 2, 4, 9, 11), "tcyx", (1, 2, 9, 11)),
        ("volume", "tyx", (2, 9, 12), "tzyx", (2, 3, 9, 12)),
    ],
)
def test_axes_are_those_of_the_image_and_the_task(task, axes, shape, axes_out, shape_out):
    image = picture(shape)
    source = ArraySource(image, axes)
    plan = plan_restoration(source, predictor_of(small(task)))
    assert plan.out_info.axes == axes_out
    assert restore_officially(image, predictor_of(small(task)), axes=axes).shape == shape_out


def test_pixel_size_and_display_range_are_carried_over():
    channels = (Channel("DAPI", "0000FF", (10.0, 90.0)),)
    info = ImageInfo("x", "zyx", (0.1, 0.1), 0.3, 2.0, channels)
    source = ArraySource(picture((4, 16, 16)), info.axes, info)

    def after(task: str) -> ImageInfo:
        return plan_restoration(source, predictor_of(small(task))).out_info

    assert after("sr") == replace(info, pixel_size_um=(0.05, 0.05))
    assert after("denoise") == info
    assert after("projection") == replace(info, axes="yx", z_step_um=None)
    assert after("isotropic").z_step_um == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 40), (2, 40, 1), (1, 8, 8), (3, 7, 9)])
@pytest.mark.parametrize("task", ["sr", "denoise", "isotropic"])
def test_thin_and_odd_images_are_restored(task, shape):
    network = small(task)
    if task == "isotropic" and shape[0] == 1:
        with pytest.raises(ImageError, match="is a single plane, and isotropic restores stacks"):
            restore_officially(np.zeros(shape), predictor_of(network), options=options_for(task))
        return
    image = picture(shape) if np.prod(shape) > 9 else np.full(shape, 7, np.uint8)
    image.flat[0] = 0 if np.prod(shape) > 9 else 7
    image = image.astype(np.float32) + np.arange(image.size).reshape(shape) * (image.size > 9)
    restored = restore_officially(image, predictor_of(network), options=options_for(task, tile=24))
    assert np.isfinite(restored).all()
    planes = [image] if task != "sr" else list(image)
    if task != "sr" or shape[0] == 1:
        expected = by_image_interface(network, planes[0])
        assert seam_over_range(expected, restored.reshape(expected.shape)) <= 1e-4


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f2", "f4", "f8", "bool"])
def test_every_kind_of_number_is_restored(dtype):
    network = small("sr")
    image = (picture((17, 18)) % 200).astype(dtype)
    restored = restore_officially(image, predictor_of(network))
    np.testing.assert_allclose(restored, by_image_interface(network, image), rtol=1e-6)


def test_a_masked_array_without_masked_pixels_is_an_array():
    image, predictor = picture((16, 16)), predictor_of(small("sr"))
    restored = restore_officially(np.ma.masked_array(image), predictor)
    np.testing.assert_array_equal(restored, restore_officially(image, predictor))


def test_a_constant_image_stays_constant():
    restored = restore_officially(
        np.full((3, 16, 16), 42, np.uint16), predictor_of(small("denoise"))
    )
    np.testing.assert_allclose(restored, 42, atol=1e-6)


@pytest.mark.parametrize(
    ("task", "image", "reason"),
    [
        ("sr", np.full((9, 9), np.nan, np.float32), "81 pixels are NaN"),
        ("sr", np.ones((9, 9), np.complex64), "complex64"),
        ("sr", np.ones((0, 9), np.uint8), "empty"),
        ("sr", np.ones(9, np.uint8), "expected Y and X"),
        ("sr", "cells.tif", "found 'cells.tif': read the file first"),
        ("sr", Path("cells.tif"), "read the file first"),
        ("sr", np.ma.masked_equal([[1, 2, 3], [1, 1, 4]], 1), "3 pixels are masked"),
        ("denoise", np.where(np.arange(9000).reshape(10, 30, 30) == 5, 9, 0), "too little"),
        ("projection", np.ones((1, 9, 9), np.uint8), "single plane; this model projects 4"),
        ("volume", np.ones((9, 10), np.uint8), "multiples of 3"),
        ("volume", np.ones((2, 9, 9), np.uint8), "single plane"),
    ],
)
def test_what_cannot_be_restored_is_refused_with_the_reason(task, image, reason):
    with pytest.raises(ImageError, match=reason):
        restore_officially(image, predictor_of(small(task)))


@pytest.mark.parametrize(
    "values", [{"tile": 0}, {"halo": -1}, {"pixel_size_um": float("nan")}, {"z_factor": 0.0}]
)
def test_options_that_cannot_be_are_refused(values):
    with pytest.raises(ImageError, match=next(iter(values))):
        Options(**values)


def test_a_light_field_by_a_file_is_restored_whole_or_refused():
    network, image = small("volume"), picture((40 * 3, 9 * 3))
    predictor = predictor_of(network, "image")
    assert (
        seam_over_range(by_image_interface(network, image), restore_officially(image, predictor))
        == 0
    )
    with pytest.raises(ImageError, match="must be restored whole"):
        restore_officially(image, predictor, options=Options(tile=72))


@pytest.mark.slow
def test_tiles_of_a_network_with_sums_over_the_tile_pass_into_each_other():
    network, image = small("projection"), picture((4, 200, 190))
    predictor = predictor_of(network)
    whole = restore_officially(image, predictor)
    plan = plan_restoration(ArraySource(image, "zyx"), predictor, Options(tile=64, halo=16))
    assert plan.reach.is_global
    assert len(plan.tiles) > 1
    tiled = restore_officially(image, predictor, options=Options(tile=64, halo=16))
    # Not the same picture, which is why it is said, but a close one, and without steps: across
    # the border of two tiles it changes as the untiled result does.
    assert seam_over_range(whole, tiled) < 0.05
    steps = np.abs(np.diff(tiled - whole, axis=0)).max(axis=1) / np.ptp(whole)
    assert steps[plan.tile_shape[3] - 1] < 0.01


@pytest.mark.slow
def test_what_neighbours_share_is_computed_once():
    network, image = small("projection"), picture((4, 200, 190))
    predictor = predictor_of(network)
    runs = []

    def run(batch: np.ndarray) -> np.ndarray:
        runs.append(batch.shape)
        return predictor.run(batch)

    counting = Predictor(run, predictor.config)
    source = ArraySource(image, "zyx")
    plan = plan_restoration(source, counting, Options(tile=64, halo=16))
    del runs[:]
    # The overlap is known: nothing is measured again.
    restore(
        source,
        lambda plan: ArraySink(plan.out_shape, np.dtype(np.float32), plan.out_info),
        counting,
        Options(tile=64, halo=16),
    )
    assert len(runs) == len(plan.tiles) > 4


class Limited:
    """A predictor whose memory holds so many pixels; remembers what it was asked for."""

    def __init__(self, task: str, pixels: int) -> None:
        self.inner = predictor_of(small(task))
        self.pixels = pixels
        self.asked: list[int] = []

    def run(self, image: np.ndarray) -> np.ndarray:
        self.asked.append(image.shape[0] * image.shape[-1] * image.shape[-2])
        if self.asked[-1] > self.pixels:
            raise MemoryError("none left")
        return self.inner.run(image)

    def predictor(self) -> Predictor:
        return Predictor(self.run, self.inner.config)


@pytest.mark.parametrize("task", few_quick(("sr", "denoise", "isotropic"), ("sr", "denoise")))
def test_out_of_memory_halves_batch_and_tile_and_goes_on(task):
    image = picture((90, 110) if task == "sr" else (30, 40, 64))
    memory = {"sr": 5000, "denoise": 2400, "isotropic": 1700}[task]
    limited = Limited(task, memory)
    whole = restore_officially(image, limited.inner, options=options_for(task))
    source = ArraySource(image, "zyx"[-image.ndim :])
    sinks: list[ArraySink] = []

    def sink_of(plan: RestorationPlan) -> ArraySink:
        sinks.append(ArraySink(plan.out_shape, np.dtype(np.float32), plan.out_info))
        return sinks[-1]

    summary = restore(
        source,
        sink_of,
        limited.predictor(),
        options_for(task, halo=24, batch=2, intensity="percentile"),
    )
    assert summary.splits >= 2
    assert seam_over_range(whole, sinks[0].values.reshape(whole.shape)) <= 1e-4
    # What failed is not tried again and again.
    assert sum(asked > memory for asked in limited.asked) == summary.splits


@pytest.mark.slow
def test_windows_that_blend_are_made_smaller_all_together():
    image = picture((4, 300, 190))
    limited = Limited("projection", 45_000)
    restored = restore_officially(image, limited.predictor())
    assert max(limited.asked) > 45_000
    whole = restore_officially(image, limited.inner)
    assert 0 < seam_over_range(whole, restored) < 0.05


def test_too_little_memory_for_the_least_is_said():
    with pytest.raises(TooLittleMemoryError, match="do not fit the memory"):
        restore_officially(
            picture((40, 40)), Limited("sr", 10).predictor(), options=Options(halo=8)
        )


def test_a_tile_restored_elsewhere_is_the_same():
    predictor, image = predictor_of(small("denoise")), picture((5, 60, 70))
    source = ArraySource(image, "zyx")
    plan = plan_restoration(source, predictor, Options(tile=48, intensity="percentile"))
    whole = restore_officially(image, predictor, options=Options(tile=48))
    tile = plan.tiles[len(plan.tiles) // 2]
    part = restore_tile(plan, tile, source, predictor)
    np.testing.assert_array_equal(part[0, 0], whole[tile.write[2:]])


def test_progress_reaches_the_end():
    told: list[RestorationProgress] = []
    restore_officially(
        picture((2, 60, 70)),
        predictor_of(small("denoise")),
        options=Options(tile=48),
        on_progress=told.append,
    )
    assert [p.tiles_done for p in told] == list(range(told[0].tiles + 1))
    assert told[0].pixels_done == 0
    assert told[0].seconds_left is None
    assert told[-1].pixels_done == told[-1].pixels == 2 * 60 * 70
    assert told[-1].seconds_left == 0
    assert told[-1].megapixels_per_second > 0


def test_a_model_that_is_not_what_it_says_is_refused():
    predictor = Predictor(lambda image: image[:, :1, :-1], SMALL.single("denoise"))
    with pytest.raises(ImageError, match="not the model for denoise"):
        restore_officially(picture((3, 16, 16)), predictor)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda x: np.where(x == x.max(), np.float32(np.nan), x), "NaN or infinite"),
        (lambda x: np.where(x == x.min(), np.float32(-np.inf), x), "NaN or infinite"),
        (lambda x: x.astype(np.float64), "pixels of float64, expected float32"),
    ],
)
def test_a_result_that_is_no_picture_is_refused(spoil, told):
    config = replace(SMALL.single("denoise"), in_channels=1)
    with pytest.raises(ImageError, match=told):
        restore_officially(picture((1, 16, 16)), Predictor(spoil, config))


def test_memory_does_not_grow_with_the_image():
    config = replace(SMALL.single("sr"), scale=1)
    options = Options(tile=512, halo=16)
    sinks = []

    def sink_of(plan) -> ChecksumSink:
        sinks.append(ChecksumSink(plan.out_shape))
        return sinks[-1]

    source = CountingSource((1, 1, 1, 5000, 4000))
    restore(source, sink_of, Predictor(lambda image: image, config), options)
    assert sinks[0].pixels == 5000 * 4000
    assert source.largest <= 2**22

import numpy as np
import pytest
import torch

from unifmir.benchmarks.plan.workloads import (
    image_of,
    image_shape,
    image_sizes,
    input_shape,
)
from unifmir.config import ReferenceConfig
from unifmir.errors import BenchmarkError
from unifmir.model import image_interface
from unifmir.tasks import TASKS
from unifmir.tasks.base import WORKLOADS


@pytest.mark.parametrize("task", list(TASKS))
def test_every_workload_names_sizes_for_every_task(task):
    for workload in WORKLOADS:
        found = dict(image_sizes(workload, task))
        assert found
        assert all(name.startswith(workload) for name in found)
    assert len(dict(image_sizes("sweep", task))) >= 4


@pytest.mark.parametrize("task", list(TASKS))
def test_a_quick_answer_takes_no_larger_images_than_a_whole_one(task):
    (_, quick), (_, patch) = next(image_sizes("quick", task)), next(image_sizes("patch", task))
    assert all(few <= many for few, many in zip(quick, patch, strict=True))


@pytest.mark.parametrize("task", list(TASKS))
def test_a_sweep_grows(task):
    pixels = [np.prod(size) for _, size in image_sizes("sweep", task)]
    assert pixels == sorted(set(pixels))


@pytest.mark.parametrize("task", list(TASKS))
def test_the_smallest_image_of_a_task_runs_through_its_model(task, tiny_single):
    network = tiny_single(task)
    _, size = next(iter(image_sizes("sweep", task)))
    shape = input_shape(network.config, size)
    image = image_of(task, shape)
    assert image.dtype == np.float32
    assert image.shape == shape
    assert image.std() > 0
    with torch.inference_mode():
        restored = image_interface(network)(torch.from_numpy(image))
    assert bool(torch.isfinite(restored).all())


def test_planes_follow_the_model(tiny_single):
    network = tiny_single("projection")
    assert input_shape(network.config, (50, 48, 48)) == (1, 1, 6, 48, 48)


def test_lenses_follow_the_model(tiny_single):
    # 9 views are 3 x 3 pixels behind a lens.
    assert input_shape(tiny_single("volume").config, (1, 15, 15)) == (1, 1, 45, 45)


def test_a_model_of_single_planes_reads_the_same_stack_as_a_batch(tiny_single):
    plane, size = ReferenceConfig("unet", "denoise"), (8, 32, 24)
    flat, deep = input_shape(plane, size), input_shape(tiny_single("denoise").config, size)
    assert flat == (8, 1, 32, 24)
    assert deep == (1, 1, 8, 32, 24)
    assert image_shape("denoise", flat) == image_shape("denoise", deep) == (8, 32, 24)
    one, other = image_of("denoise", flat), image_of("denoise", deep)
    assert np.array_equal(one[:, 0], other[0, 0])


@pytest.mark.parametrize("task", list(TASKS))
def test_a_batch_is_eight_patches_at_once(task, tiny_single):
    config = tiny_single(task).config
    ((name, size),) = image_sizes("batch", task)
    assert (name, size) == ("batch", TASKS[task].workloads.patch[0])
    one, eight = input_shape(config, size), input_shape(config, size, images=8)
    assert eight == (8, *one[1:])
    images = image_of(task, eight)
    assert images.shape == eight
    assert np.array_equal(images[0], image_of(task, one)[0])


def test_a_batch_of_stacks_is_a_batch_of_their_planes():
    plane, size = ReferenceConfig("unet", "denoise"), (8, 32, 24)
    flat = input_shape(plane, size, images=8)
    assert flat == (64, 1, 32, 24)
    assert image_shape("denoise", flat) == (64, 32, 24)


def test_an_image_larger_than_the_sample_is_continued_by_reflection():
    image = image_of("sr", (1, 1, 256, 256))
    # The sample has 160 x 160 pixels.
    assert np.array_equal(image[0, 0, 160:], image[0, 0, 64:160][::-1])


def test_an_unknown_workload_names_the_nearest():
    with pytest.raises(BenchmarkError, match="did you mean 'patch'"):
        list(image_sizes("patches", "sr"))

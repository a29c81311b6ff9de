"""Simulated pairs as files: they say the sampling that they were simulated at."""

from pathlib import Path

import pytest

from unifmir.datasets.simulated_folder import SPLIT, simulate_folder
from unifmir.images import open_source
from unifmir.images.base import ImageInfo
from unifmir.simulate import generator, simulate_pair
from unifmir.tasks import TASKS

SIDE = 16


def infos(folder: Path, task: str, side: int = SIDE) -> list[ImageInfo]:
    return [open_source(path).info for path in simulate_folder(folder, task, images=1, size=side)]


@pytest.mark.parametrize("task", [task for task in TASKS if TASKS[task].simulation.lenses])
def test_files_say_the_sampling_of_their_lens(task: str, tmp_path: Path):
    lens = simulate_pair(task, generator(task, 0, SPLIT, 0), SIDE).lens
    assert lens in TASKS[task].simulation.lenses
    image, truth = infos(tmp_path, task)
    pixel, finer = lens.pixel_um, 2 if task == "sr" else 1
    assert image.pixel_size_um == pytest.approx((pixel, pixel), rel=1e-4)
    assert truth.pixel_size_um == pytest.approx((pixel / finer, pixel / finer), rel=1e-4)
    apart = {"denoise": lens.z_step_um, "isotropic": pixel, "projection": lens.z_step_um}
    assert image.z_step_um == (pytest.approx(apart[task]) if task in apart else None)
    assert truth.z_step_um == (None if task == "projection" else image.z_step_um)


def test_light_fields_say_no_sampling_as_they_were_simulated_at_none(tmp_path: Path):
    for info in infos(tmp_path, "volume", side=3):
        assert (info.z_step_um, *info.pixel_size_um) == (None, None, None)

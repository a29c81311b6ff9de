"""The shipped images: real, whole, licensed, and of the shape their task reads."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import unifmir.samples
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.errors import ImageError, UnknownNameError
from unifmir.interfaces import interface_of
from unifmir.samples import sample
from unifmir.tasks import TASKS
from unifmir.tasks.sr import SR

DATA = Path(unifmir.samples.__file__).parent / "data"
PUBLISHED = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig())
PERMISSIVE = {"BSD-3-Clause", "CC-BY-4.0"}


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_has_a_sample_in_its_axes(task: str) -> None:
    taken = sample(task)
    spec = TASKS[task]
    assert taken.image.dtype == np.float32
    assert taken.image.ndim == len(spec.input_axes)
    assert taken.image.shape == spec.sample.shape
    assert np.isfinite(taken.image).all()
    assert taken.image.min() >= 0
    assert taken.image.std() > 0.03 * taken.image.max(), "a picture, not background"
    config = PUBLISHED.single(task)
    rule = interface_of(config).size_rule(config.signature, "image")
    assert all(n % rule.multiple_of == 0 for n in taken.image.shape[-2:])
    assert taken.file.licence in PERMISSIVE
    assert taken.file.name
    assert taken.file.source
    assert taken.file.authors


def test_the_tasks_name_every_file() -> None:
    rows = [spec.sample for spec in TASKS.values()]
    files = {row.file for row in rows} | {"NOTICE.txt"}
    assert {path.name for path in DATA.iterdir()} == files
    for row in rows:
        assert sha256((DATA / row.file).read_bytes()).hexdigest() == row.sha256


def test_the_samples_fit_in_the_wheel() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 3e6


def test_the_notice_names_sources_changes_and_licence_texts() -> None:
    notice = (DATA / "NOTICE.txt").read_text(encoding="utf-8")
    for row in [spec.sample for spec in TASKS.values()]:
        for field in (row.file, row.source, row.cut, row.licence):
            assert field in notice
        assert all(author in notice for author in row.authors)
    assert "Attribution 4.0 International" in notice
    assert "Copyright (c) 2021, STracking" in notice
    assert "Copyright (c) 2022, Geneva Schlafly" in notice


def test_a_sample_may_be_changed_by_its_caller() -> None:
    first = sample("sr").image
    first[:] = 0
    assert sample("sr").image.max() > 0


def test_the_projection_sample_has_the_planes_the_network_reads() -> None:
    assert sample("projection").image.shape[0] == 50


def test_the_denoise_sample_is_noisy() -> None:
    # White noise: neighbouring pixels of the background hardly know of each other.
    planes = sample("denoise").image[:, :20]
    left, right = planes[..., :-1].ravel(), planes[..., 1:].ravel()
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.4


def test_the_light_field_has_eleven_pixels_per_lens() -> None:
    image = sample("volume").image
    views = image.reshape(25, 11, 25, 11).transpose(1, 3, 0, 2)
    central, off = views[5, 5], views[5, 6]
    # Each view is a picture of the vesicle; at another pitch neighbours would not agree.
    assert np.corrcoef(central.ravel(), off.ravel())[0, 1] > 0.85
    # Vignetting: each lens is brightest in its middle and dark at its corners.
    assert views.mean(axis=(2, 3))[5, 5] > 2 * views.mean(axis=(2, 3))[0, 0]


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'denoise'"):
        sample("denoising")


def test_a_damaged_sample_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = replace(SR, sample=replace(SR.sample, sha256="0" * 64))
    monkeypatch.setattr("unifmir.tasks.sr.SR", damaged)
    with pytest.raises(ImageError, match=r"sr\.tif is damaged"):
        sample("sr")

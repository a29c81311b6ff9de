"""What decides chunks, workers, and whether a run is the one that was interrupted."""

import os
from math import prod
from pathlib import Path

import numpy as np
import pytest

from unifmir.devices import CPU, CUDA, Device
from unifmir.errors import UnknownNameError
from unifmir.zoo.restore import files as restoring
from unifmir.zoo.restore.files import default_workers
from unifmir.zoo.restore.outputs import Job
from unifmir.zoo.restore.restored_file import (
    MAX_CHUNK,
    model_identity,
    output_chunks,
    source_identity,
)


@pytest.mark.parametrize(
    ("tile", "chunk"),
    [
        ((1, 1, 1, 640, 1280), (1, 1, 1, 640, 640)),
        ((1, 1, 50, 96, 96), (1, 1, 50, 96, 96)),
        ((1, 1, 130, 3072, 11), (1, 1, 26, 1024, 11)),
    ],
)
def test_chunks_divide_tiles_so_that_no_two_tiles_share_one(tile, chunk):
    assert output_chunks(tile) == chunk
    assert all(a % b == 0 and b <= most for a, b, most in zip(tile, chunk, MAX_CHUNK, strict=True))


def test_a_task_that_is_not_known_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown task 'denois'; did you mean 'denoise'"):
        restoring.restore(np.ones((9, 9)), task="denois")


def test_chunks_of_a_tile_of_prime_length_are_small_but_right():
    assert prod(output_chunks((1, 1, 1, 1031, 8))) == 8


def test_another_file_model_or_axes_is_another_run(tmp_path: Path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"x")
    job = Job(path, tmp_path / "out.tif")
    before = source_identity(job)
    assert source_identity(job) == before
    assert source_identity(Job(path, job.target, "zyx")) != before
    os.utime(path, ns=(1, 1))
    assert source_identity(job) != before
    ran = {"weights": "a", "runtime": "eager", "precision": "fp32", "threads": 2}
    assert model_identity({**ran, "threads": 8}) == model_identity(ran)
    for name in ("weights", "runtime", "precision"):
        assert model_identity({**ran, name: "other"}) != model_identity(ran)


def test_an_ome_zarr_image_is_identified_by_what_describes_it(tmp_path: Path):
    folder = tmp_path / "a.ome.zarr"
    folder.mkdir()
    (folder / ".zattrs").write_text("{}")
    job = Job(folder, tmp_path / "out.ome.zarr")
    before = source_identity(job)
    (folder / "0").mkdir()
    assert source_identity(job) == before
    (folder / ".zattrs").write_text("{ }")
    assert source_identity(job) != before


def test_several_files_get_a_process_each_as_long_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(restoring, "available_cores", lambda: 4)
    monkeypatch.setattr(restoring, "find_spec", lambda _: object())
    assert [default_workers(files, Device(CPU)) for files in (1, 3, 9)] == [1, 3, 4]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [default_workers(files, Device(CUDA)) for files in (1, 9)] == [1, 2]
    monkeypatch.setattr(restoring, "find_spec", lambda _: None)
    assert default_workers(9, Device(CPU)) == 1

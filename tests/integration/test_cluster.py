"""Restoring with Dask: the local result, whatever happens to the workers."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from typer.testing import CliRunner

from tests.helpers.quick_rows import few_quick
from tests.helpers.restoration_cases import small
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.devices import CPU, CUDA, Device
from unifmir.errors import ClusterError, ImageError
from unifmir.images.open_files import open_source
from unifmir.restoration.executor import RestorationProgress
from unifmir.restoration.restoration_options import Options
from unifmir.zoo.restore.cluster import dask_run, local_workers, tile_worker
from unifmir.zoo.restore.cluster.dask_run import restore_on_cluster
from unifmir.zoo.restore.files import restore_file
from unifmir.zoo.restore.model_choice import ModelChoice
from unifmir.zoo.restore.outputs import Job, RefusedFile, plan_jobs
from unifmir.zoo.restore.predictors import predictor_for
from unifmir.zoo.restore.restored_file import RestoredFile

distributed = pytest.importorskip("distributed", reason="an extra")
pytest.importorskip("zarr", reason="an extra")

TILE = 64
OPTIONS = Options(tile=TILE, max_memory_bytes=2**28)


@pytest.fixture
def choice(tmp_path: Path) -> ModelChoice:
    """A tiny sr checkpoint."""
    path = tmp_path / "model" / "tiny.safetensors"
    path.parent.mkdir()
    save(small("sr"), path)
    return ModelChoice(model=path, task="sr", device="cpu", runtime="eager", threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of 25 tiles."""
    made = tmp_path / "images"
    made.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a", (130, 160)), ("b", (160, 160))):
        values = rng.integers(100, 4000, shape).astype(np.uint16)
        tifffile.imwrite(made / f"{name}.tif", values, imagej=True)
    return made


@pytest.fixture
def threads() -> Iterator[str]:
    """The address of a scheduler whose two workers are threads of this process."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def pixels(path: Path) -> np.ndarray:
    source = open_source(path)
    t, c, z, y, x = (slice(0, length) for length in source.shape)
    return source.read((t, c, z, y, x))


def expected(folder: Path, choice: ModelChoice, kind: str | None = None) -> list[np.ndarray]:
    """What one process makes of the images."""
    jobs = plan_jobs([str(folder)], "sr", out=folder / "local", kind=kind).jobs
    predictor = predictor_for(choice)
    assert all(restore_file(job, predictor, OPTIONS).tiles > 4 for job in jobs)
    return [pixels(job.target) for job in jobs]


def all_restored(outcomes: Iterator[RestoredFile | RefusedFile]) -> list[RestoredFile]:
    """The restored files, of a run that refuses none."""
    done = []
    for one in outcomes:
        assert isinstance(one, RestoredFile), one
        done.append(one)
    return done


class Killing:
    """A watcher of progress that now and then kills a worker process, at random."""

    def __init__(self, times: int, every: int) -> None:
        self.left, self._every, self._seen = times, every, 0
        self._random = random.Random(0)

    def __call__(self, _job: Job, _progress: RestorationProgress) -> None:
        self._seen += 1
        if not self.left or self._seen % self._every:
            return
        workers = [
            child
            for child in psutil.Process().children()
            if any("spawn_main" in word for word in child.cmdline())
        ]
        os.kill(self._random.choice(workers).pid, signal.SIGKILL)
        self.left -= 1


@pytest.mark.slow  # a scheduler's turns take seconds
@pytest.mark.parametrize("kind", ["zarr", "tiff"])
def test_a_scheduler_gives_what_one_process_gives(threads, folder, choice, kind):
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind=kind).jobs
    shares: dict[str, list[float]] = {}

    def tell(job, progress):
        shares.setdefault(job.source.name, []).append(progress.pixels_done / progress.pixels)

    outcomes = restore_on_cluster(jobs, choice, OPTIONS, scheduler=threads, on_progress=tell)
    done = all_restored(outcomes)
    assert {result.job for result in done} == set(jobs)
    for job, local_result in zip(jobs, expected(folder, choice, kind), strict=True):
        np.testing.assert_array_equal(pixels(job.target), local_result)
    for share in shares.values():
        assert share[0] == 0
        assert share[-1] == 1
        assert share == sorted(share)
    assert done[0].ran["runtime"] == "eager"
    assert done[0].peak_memory_bytes > 0
    assert not list((folder / "dask").glob(".unifmir*"))


@pytest.mark.slow  # a scheduler's turns take seconds
@pytest.mark.parametrize("kind", ["zarr", "tiff"])
def test_clipped_pixels_are_added_up_over_workers(threads, folder, choice, kind):
    (folder / "b.tif").unlink()
    values = tifffile.imread(folder / "a.tif")
    tifffile.imwrite(folder / "a.tif", values + np.uint16(61_600))
    jobs = [
        plan_jobs([str(folder)], "sr", out=folder / place, kind=kind, pixels="input").jobs
        for place in ("local", "dask")
    ]
    here = restore_file(jobs[0][0], predictor_for(choice), OPTIONS)
    (there,) = all_restored(restore_on_cluster(jobs[1], choice, OPTIONS, scheduler=threads))
    assert here.clipped == there.clipped > 0
    assert there.to_dict()["clipped_pixels"] == here.clipped


@pytest.mark.slow  # each worker that is started again loads PyTorch
def test_a_worker_that_is_killed_loses_nothing(folder, choice):
    (folder / "b.tif").unlink()
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind="zarr").jobs
    tell = Killing(times=1, every=3)
    list(restore_on_cluster(jobs, choice, OPTIONS, workers=2, on_progress=tell))
    assert tell.left == 0
    (local_result,) = expected(folder, choice, "zarr")
    np.testing.assert_array_equal(pixels(jobs[0].target), local_result)


@pytest.mark.slow
@pytest.mark.long  # each worker that is started again loads PyTorch; above one is killed
def test_three_workers_of_which_five_are_killed_give_what_one_process_gives(folder, choice):
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind="zarr").jobs
    tell = Killing(times=5, every=6)
    list(restore_on_cluster(jobs, choice, OPTIONS, workers=3, on_progress=tell))
    assert tell.left == 0
    for job, local_result in zip(jobs, expected(folder, choice, "zarr"), strict=True):
        np.testing.assert_array_equal(pixels(job.target), local_result)


@pytest.mark.slow  # a scheduler of its own, and a worker that is replaced
def test_tiles_do_not_wait_for_a_worker_that_is_gone(folder, choice, monkeypatch):
    monkeypatch.setattr(dask_run, "LOOK_AGAIN_S", 0.5)
    (folder / "b.tif").unlink()
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind="zarr").jobs
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        scheduler = cluster.scheduler
        seen: list[int] = []

        def replace_the_only_worker(_job, progress):
            seen.append(progress.tiles_done)
            if progress.tiles_done == 3:
                (gone,) = scheduler.workers
                cluster.sync(scheduler.remove_worker, gone, stimulus_id="test", close=True)
                until(lambda: gone not in scheduler.workers and scheduler.unrunnable)
                cluster.scale(2)  # another beside the one that is gone

        done = restore_on_cluster(
            jobs,
            choice,
            OPTIONS,
            scheduler=cluster.scheduler_address,
            on_progress=replace_the_only_worker,
        )
        (result,) = all_restored(done)
    assert seen == list(range(result.tiles + 1))
    (local_result,) = expected(folder, choice, "zarr")
    np.testing.assert_array_equal(pixels(jobs[0].target), local_result)


def until(holds: Callable[[], object]) -> None:
    """Wait for what other threads do."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow  # a process is killed
def test_a_run_whose_client_died_goes_on_with_its_finished_tiles(threads, folder, choice):
    (folder / "b.tif").unlink()
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind="zarr").jobs
    seen = []

    def stop(_job, progress):
        seen.append(progress.tiles_done)
        if progress.tiles_done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(restore_on_cluster(jobs, choice, OPTIONS, scheduler=threads, on_progress=stop))
    assert not jobs[0].target.exists()
    (done,) = all_restored(restore_on_cluster(jobs, choice, OPTIONS, scheduler=threads))
    assert done.tiles_resumed == 5
    (local_result,) = expected(folder, choice, "zarr")
    np.testing.assert_array_equal(pixels(jobs[0].target), local_result)


calls: list[int] = []


def failing_sometimes(work, index):
    """In place of `restore_one_tile`: the file system fails at every tile's first try."""
    calls.append(index)
    if calls.count(index) == 1:
        raise OSError("stale file handle")
    return restored(work, index)


def failing_always(_work, _index):
    raise OSError("stale file handle")


def failing_for_good(_work, _index):
    raise ValueError("a mistake in the program")


def refusing(_work, _index):
    raise ImageError("the image is damaged")


restored = tile_worker.restore_one_tile


@pytest.mark.slow  # Dask
def test_a_tile_that_fails_is_tried_again(threads, folder, choice, monkeypatch):
    calls.clear()
    (folder / "b.tif").unlink()
    monkeypatch.setattr(tile_worker, "restore_one_tile", failing_sometimes)
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind="zarr").jobs
    (done,) = all_restored(restore_on_cluster(jobs, choice, OPTIONS, scheduler=threads))
    assert sorted(calls) == sorted([*range(done.tiles)] * 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instead", "error", "told"),
    [
        (failing_always, ClusterError, r"a\.tif: a tile failed 6 times, .*stale file handle"),
        (failing_for_good, ClusterError, r"a\.tif: a worker failed with ValueError: a mistake"),
        # Among the quick tests the next has one.
        pytest.param(refusing, ImageError, "the image is damaged", marks=pytest.mark.slow),
    ],
)
def test_what_fails_again_and_again_ends_the_run_with_its_reason(
    threads, folder, choice, monkeypatch, instead, error, told
):
    monkeypatch.setattr(tile_worker, "restore_one_tile", instead)
    jobs = plan_jobs([str(folder / "a.tif")], "sr", out=folder / "dask", kind="zarr").jobs
    with pytest.raises(error, match=told):
        list(restore_on_cluster(jobs, choice, OPTIONS, scheduler=threads, fail_fast=True))
    assert not jobs[0].target.exists()


def refusing_one(work, index):
    """In place of `restore_one_tile`: a tile of the first image turns out to be damaged."""
    if work.job.source.name == "a.tif" and index == 3:
        raise ImageError("the image is damaged")
    return restored(work, index)


@pytest.mark.slow
@pytest.mark.parametrize("kind", few_quick(["zarr", "tiff"], ["tiff"]))
def test_one_image_that_fails_leaves_the_others_and_nothing_of_itself(
    threads, folder, choice, monkeypatch, kind
):
    monkeypatch.setattr(tile_worker, "restore_one_tile", refusing_one)
    work = plan_jobs([str(folder)], "sr", out=folder / "dask", kind=kind)
    outcomes = list(restore_on_cluster(work.jobs, choice, OPTIONS, scheduler=threads))
    (refused,) = (one for one in outcomes if isinstance(one, RefusedFile))
    assert refused.reason == f"{folder / 'a.tif'}: the image is damaged"
    assert {path.name for path in (folder / "dask").iterdir()} == {work.jobs[1].target.name}


@pytest.mark.slow  # a scheduler's turns take seconds
def test_workers_get_no_more_tiles_than_they_can_begin(threads, folder, choice, monkeypatch):
    most = []
    hand_out = dask_run._Run._hand_out

    def counted(self):
        hand_out(self)
        most.append(len(self._running))

    monkeypatch.setattr(dask_run._Run, "_hand_out", counted)
    (folder / "b.tif").unlink()  # 25 tiles are enough
    jobs = plan_jobs([str(folder)], "sr", out=folder / "dask", kind="zarr").jobs
    list(restore_on_cluster(jobs, choice, OPTIONS, scheduler=threads))
    assert max(most) == 2 * dask_run.IN_FLIGHT


def test_a_scheduler_without_workers_or_answer_is_told(choice, folder, monkeypatch):
    jobs = [Job(folder / "a.tif", folder / "a.sr.ome.zarr")]
    monkeypatch.setattr(dask_run, "WAIT_FOR_WORKERS_S", 0.2)
    monkeypatch.setattr(dask_run, "CONNECT_S", 1.0)
    with pytest.raises(ClusterError, match=r"no scheduler answers at tcp://127\.0\.0\.1:1"):
        list(restore_on_cluster(jobs, choice, OPTIONS, scheduler="tcp://127.0.0.1:1"))
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        run = restore_on_cluster(jobs, choice, OPTIONS, scheduler=cluster.scheduler_address)
        with pytest.raises(ClusterError, match="dask worker"):
            next(run)


@pytest.mark.slow
def test_the_command_gives_its_files_to_a_scheduler(threads, folder, choice):
    command = ["restore", str(folder), "--model", str(choice.model), "--tile", str(TILE)]
    options = ["--device", "cpu", "--threads", "1", "--scheduler", threads]
    done = CliRunner().invoke(app, [*command, *options, "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {Path(one["output"]).name for one in told} == {"a.sr.tif", "b.sr.tif"}
    assert tifffile.imread(folder / "a.sr.tif").shape == (260, 320)


def test_each_gpu_gets_a_worker_that_sees_no_other():
    found = local_workers.worker_environments(Device(CUDA), 3, 4, visible="0,GPU-b")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0", "GPU-b", "0"]
    (cpu,) = local_workers.worker_environments(Device(CPU), 1, 4, visible="0")
    assert cpu == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}


def test_cores_and_memory_are_divided_among_the_workers(choice, monkeypatch):
    monkeypatch.setattr(local_workers, "available_cores", lambda: 8)
    free = ModelChoice(task="sr")
    chosen, options = local_workers.divide_resources(free, Options(), Device(CPU), 4)
    _, alone = local_workers.divide_resources(free, Options(), Device(CPU), 1)
    assert (chosen.device, chosen.threads) == ("cpu", 2)
    assert options.max_memory_bytes is not None
    assert alone.max_memory_bytes is not None
    assert 0 < options.max_memory_bytes <= alone.max_memory_bytes
    chosen, options = local_workers.divide_resources(choice, OPTIONS, Device(CUDA, 1), 4)
    assert (chosen.device, chosen.threads, options) == ("cuda:0", 1, OPTIONS)

"""`unifmir serve` as it is started: images up, restored ones down, whatever goes wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.running_server import Caller
from tests.helpers.serve_command import serving
from unifmir.hashing import sha256_of
from unifmir.tasks import TASKS
from unifmir.zoo.serve.server_facts import sample_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # many starts, on a busy machine too
PATIENCE_S = 400.0
"""Time for a job on a busy machine; it takes some seconds on one that is not."""

SETTINGS = {"isotropic": {"z_factor": 1.0}}
"""What a sample does not say itself."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with two jobs at once, of 1.5 GB each."""
    folder = tmp_path_factory.mktemp("serve")
    with serving(folder, "--jobs", "2", "--memory", "1500") as command:
        yield command


def by_command(image: Path, task: str, out: Path, **settings: float) -> Path:
    """The image as `unifmir restore` restores it."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "unifmir", "restore", str(image), "--task", task]
    done = subprocess.run(
        [*command, "--out", str(out), "--json", *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)[0]["output"])


@pytest.mark.parametrize("task", TASKS)
def test_what_comes_back_is_the_file_that_restore_writes(server, task, tmp_path):
    image, settings = sample_path(task), SETTINGS.get(task, {})
    with Caller(server.address) as caller:
        name = caller.given(image.read_bytes(), image.name, task=task, **settings)
        told = caller.told(name)
        assert told[-1]["state"] == "done", told[-1]["error"]
        restored = tmp_path / "restored.tif"
        restored.write_bytes(caller.get(f"/api/jobs/{name}/result").content)
        report = caller.get(f"/api/jobs/{name}/report").json()
    assert told[-1]["input"]["shape"] == list(tifffile.imread(image).shape)
    assert sha256_of(restored) == told[-1]["result"]["sha256"]
    assert restored.read_bytes() == by_command(image, task, tmp_path, **settings).read_bytes()
    assert (report["status"], report["ran"]["model"]) == ("restored", "unifmir-small-sim")


def test_one_channel_is_restored_as_if_it_were_the_image(server, tmp_path):
    values = np.random.default_rng(5).integers(0, 4000, (2, 40, 48)).astype(np.uint16)
    both, second = tmp_path / "both.tif", tmp_path / "second.tif"
    tifffile.imwrite(both, values, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(second, values[1], imagej=True, metadata={"axes": "YX"})
    with Caller(server.address) as caller:
        names = [
            caller.given(both.read_bytes(), "both.tif", channel=1),
            caller.given(second.read_bytes(), "second.tif"),
            caller.given(both.read_bytes(), "both.tif", channel=2),
        ]
        jobs = [caller.waited(name, seconds=PATIENCE_S) for name in names]
        assert jobs[0]["input"]["shape"] == [40, 48]
        results = [caller.get(f"/api/jobs/{name}/result").content for name in names[:2]]
    for path, content in zip((both, second), results, strict=True):
        path.write_bytes(content)
    np.testing.assert_array_equal(tifffile.imread(both), tifffile.imread(second))
    assert jobs[2]["error"]["message"] == "both.tif has no channel 2: they are 0 to 1"


def bomb(path: Path) -> bytes:
    """A TIFF of few bytes that says it has a strip of 40 GB."""
    tifffile.imwrite(path, np.zeros((16, 16), np.uint16), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in (("ImageWidth", 140_000), ("ImageLength", 140_000)):
            file.pages.first.tags[name].overwrite(value)
        file.pages.first.tags["RowsPerStrip"].overwrite(140_000)
    return path.read_bytes()


def test_bad_files_fail_alone_and_say_why(server, tmp_path):
    fine = sample_path("sr").read_bytes()
    bad = {
        "text.tif": b"hello",
        "cut.tif": fine[: len(fine) // 2],
        "bomb.tif": bomb(tmp_path / "bomb.tif"),
    }
    with Caller(server.address) as one, Caller(server.address) as other:
        names = {name: one.given(content, name) for name, content in bad.items()}
        good = other.given(fine, "fine.tif")
        jobs = {name: one.waited(job, seconds=PATIENCE_S) for name, job in names.items()}
        assert other.waited(good, seconds=PATIENCE_S)["state"] == "done"
    for name, job in jobs.items():
        assert job["state"] == "failed"
        assert job["error"]["message"].startswith(("the file", name))
        assert "/jobs/" not in job["error"]["message"]


def test_one_out_of_memory_is_one_alone(tmp_path):
    # One strip of 512 MB, which a job of 600 MB, PyTorch included, does not hold.
    big, fine = tmp_path / "big.tif", sample_path("sr")
    values = np.zeros((16_000, 16_000), np.uint16)
    tifffile.imwrite(big, values, compression="zlib", rowsperstrip=16_000, metadata=None)
    with (
        serving(tmp_path / "folder", "--jobs", "2", "--memory", "600") as command,
        Caller(command.address) as one,
        Caller(command.address) as other,
    ):
        large = one.given(big.read_bytes(), "big.tif")
        small = other.given(fine.read_bytes(), "fine.tif")
        job = one.waited(large, seconds=PATIENCE_S)
        assert job["state"] == "failed"
        assert "memory" in job["error"]["message"]
        assert other.waited(small, seconds=PATIENCE_S)["state"] == "done"
        report = other.get(f"/api/jobs/{small}/report").json()
        assert report["peak_memory_bytes"] < 600 * 10**6


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_job_goes_on_after_the_server_ended_in_the_middle(tmp_path, way):
    image = tmp_path / "image.tif"
    values = np.random.default_rng(3).integers(100, 900, (5, 500, 500)).astype(np.uint16)
    tifffile.imwrite(image, values, imagej=True, metadata={"axes": "ZYX"})
    folder, settings = tmp_path / "folder", {"task": "denoise", "tile": 100}
    with serving(folder) as command, Caller(command.address) as caller:
        name = caller.given(image.read_bytes(), "image.tif", **settings)
        end = time.monotonic() + PATIENCE_S
        while caller.job(name)["progress"]["done"] < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        (child,) = command.children()
        code = command.ended(way)
        assert code == (-signal.SIGKILL if way == signal.SIGKILL else 130)
        cookies = caller.cookies
    with serving(folder) as command, Caller(command.address) as caller:
        caller.cookies = cookies
        job = caller.waited(name, seconds=PATIENCE_S)
        assert job["state"] == "done", job["error"]
        report = caller.get(f"/api/jobs/{name}/report").json()
        restored = caller.get(f"/api/jobs/{name}/result").content
        assert not Path(f"/proc/{child}").exists()
    assert 0 < report["tiles_resumed"] < report["tiles"]
    assert restored == by_command(image, "denoise", tmp_path, tile=100).read_bytes()


def test_the_server_imports_no_torch(server):
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "python" in maps
    assert "libtorch" not in maps


def test_other_machines_are_let_in_by_a_password_alone(tmp_path):
    start = [sys.executable, "-m", "unifmir", "serve", "--folder", str(tmp_path / "f")]
    done = subprocess.run([*start, "--host", "0.0.0.0"], capture_output=True, text=True)
    assert (done.returncode, "--auth" in done.stderr) == (2, True)
    told = {**os.environ, "UNIFMIR_SERVE_PASSWORD": "short"}
    done = subprocess.run([*start, "--auth"], capture_output=True, text=True, env=told)
    assert (done.returncode, "UNIFMIR_SERVE_PASSWORD" in done.stderr) == (2, True)
    with serving(tmp_path / "f", "--auth", "--host", "127.0.0.1") as command:
        caller = Caller(command.address)
        assert caller.get("/api/about").status_code == 401
        assert command.ended(signal.SIGTERM) == 143


def test_two_servers_do_not_share_a_folder(server, tmp_path):
    with serving(tmp_path / "f"):
        second = [sys.executable, "-m", "unifmir", "serve", "--port", "0"]
        done = subprocess.run(
            [*second, "--folder", str(tmp_path / "f")], capture_output=True, text=True
        )
    assert done.returncode == 2
    assert re.search(r"is being written by process \d+", done.stderr)

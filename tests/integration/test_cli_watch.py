"""`unifmir restore --watch`: restored as written, ended cleanly, gone on with."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unifmir.zoo.serve.server_facts import sample_path

pytestmark = pytest.mark.slow


def watching(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """The command at work on a folder."""
    command = [sys.executable, "-m", "unifmir", "restore", "--watch", str(folder)]
    return subprocess.Popen(
        [*command, "--task", "sr", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_images_are_restored_as_they_come_and_not_again(tmp_path):
    image, folder = sample_path("sr"), tmp_path / "scope"
    folder.mkdir()
    process = watching(folder)
    assert process.stdout is not None
    told = []
    for name in ("first.tif", "second.tif"):
        shutil.copy(image, folder / name)
        told.append(json.loads(process.stdout.readline()))
    (folder / "bad.tif").write_bytes(b"no image")
    told.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in messages) == (130, False)
    assert [one["status"] for one in told] == ["restored", "restored", "refused"]
    assert all(0 < one["latency_s"] < 300 for one in told)
    first, second = folder / "first.sr.tif", folder / "second.sr.tif"
    assert first.read_bytes() == second.read_bytes()
    changed = first.stat().st_mtime_ns
    # A second start goes on: only what has no result yet is restored.
    second.unlink()
    (folder / "bad.tif").unlink()
    process = watching(folder)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["input"].endswith("second.tif")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert first.stat().st_mtime_ns == changed

"""Output appears under its name only when it is complete, whatever happens meanwhile."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unifmir.atomic import PREFIX, working_folder, writing

WRITE_HALF_AND_WAIT = """
import signal, sys, time
from pathlib import Path
from unifmir.atomic import writing

# A suite that runs in the background hands down an ignored Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
with writing(Path(sys.argv[1])) as aside:
    aside.write_bytes(b"half of the new con")
    print("half", flush=True)
    time.sleep(60)
"""


def killed_while_writing(path: Path, repo: Path, how: signal.Signals) -> int:
    """Kill a process in the middle of `writing(path)`; its return code."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_HALF_AND_WAIT, path],
        cwd=repo,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(how)
        return process.wait(timeout=20)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("old", [b"old content", None])
def test_a_kill_leaves_the_old_file(tmp_path, repo, old):
    path = tmp_path / "model.onnx"
    if old is not None:
        path.write_bytes(old)
    assert killed_while_writing(path, repo, signal.SIGKILL) == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == old
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(PREFIX)] == (
        [] if old is None else ["model.onnx"]
    )


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_an_interrupt_leaves_nothing_behind(tmp_path, repo):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old content")
    assert killed_while_writing(path, repo, signal.SIGINT) != 0
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"old content"


def test_the_file_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "new" / "folder" / "image.tif"
    with writing(path) as aside:
        aside.write_bytes(b"all of it")
        assert aside.parent == path.parent
        assert aside.suffix == ".tif"
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert [p.name for p in path.parent.iterdir()] == ["image.tif"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "image.tif"
    path.write_bytes(b"old")

    def write_and_fail():
        with writing(path) as aside:
            aside.write_bytes(b"new")
            raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        write_and_fail()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["image.tif"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX")
@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path, mask, expected):
    before = os.umask(mask)
    try:
        with writing(tmp_path / "file") as aside:
            aside.write_bytes(b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


@given(contents=st.lists(st.tuples(st.binary(max_size=64), st.booleans()), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_file_is_always_the_last_complete_one(tmp_path, contents):
    path = tmp_path / "file.bin"
    path.unlink(missing_ok=True)
    last = None
    for content, fails in contents:
        try:
            with writing(path) as aside:
                aside.write_bytes(content)
                if fails:
                    raise InterruptedError
            last = content
        except InterruptedError:
            pass
        assert (path.read_bytes() if path.exists() else None) == last
        assert len(list(tmp_path.iterdir())) == (last is not None)


def test_a_working_folder_is_removed_with_what_was_left_in_it(tmp_path):
    with working_folder(tmp_path / "out") as folder:
        (folder / "kept").write_text("kept")
        (folder / "left").write_text("left")
        (folder / "kept").replace(tmp_path / "out" / "kept")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["kept"]


def test_a_working_folder_is_removed_after_an_error(tmp_path):
    def work_and_fail():
        with working_folder(tmp_path) as folder:
            (folder / "file").write_text("text")
            raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        work_and_fail()
    assert not list(tmp_path.iterdir())

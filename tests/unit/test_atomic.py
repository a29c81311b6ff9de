"""Output appears under its name only when it is complete, whatever happens meanwhile."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.waiting_process import ended_with_test, waiting_process
from unifmir import atomic
from unifmir.atomic import temporary_folder, working_folder, write_text, writing
from unifmir.errors import OutputError
from unifmir.file_locks import this_process
from unifmir.output_place import PREFIX

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
    with ended_with_test(process):
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


WORK_AND_WAIT = """
import sys, time
from pathlib import Path
from unifmir.atomic import working_folder, writing

with working_folder(Path(sys.argv[1])) as folder, writing(Path(sys.argv[1], "a.onnx")) as aside:
    Path(folder, "inside").mkdir()
    Path(folder, "inside", "file").write_text("text")
    Path(f"{aside}.passport").write_text("what a format puts beside its file")
    print("half", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def working(tmp_path) -> Iterator["subprocess.Popen[str]"]:
    """A process in the middle of its work in `tmp_path`."""
    with waiting_process(WORK_AND_WAIT, tmp_path, "half") as process:
        yield process


@pytest.fixture
def next_process(monkeypatch):
    """Let the next write in this process be as the first of another one."""
    monkeypatch.setattr(atomic, "_cleared", set())


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.usefixtures("next_process")
def test_what_a_killed_process_left_is_removed_by_the_next_and_not_before(
    working, tmp_path, monkeypatch
):
    left = names(tmp_path)
    assert len(left) == 5, "a folder, a file with another beside it, and two locks"
    write_text(tmp_path / "first", "text")
    assert names(tmp_path) == [*left, "first"], "it lives"
    working.kill()
    working.wait()
    monkeypatch.setattr(atomic, "_cleared", set())
    write_text(tmp_path / "second", "text")
    assert names(tmp_path) == ["first", "second"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("next_process")
def test_nothing_is_removed_that_was_not_made_here(tmp_path):
    token = "0123456789abcdef"
    here = this_process()
    mine = f"unifmir pid 1 on {here.host} {here.boot}\n"
    elsewhere = f"unifmir pid 1 on {here.host}x 00000000-0000-0000-0000-000000000000\n"
    kept = {
        f"{PREFIX}image.tif": "an unfinished image, which the next run goes on with",
        f"{PREFIX}image.tif.json": "its note",
        f"{PREFIX}{token}.tif": "without a lock",
        f"{PREFIX}1123456789abcdef.lock": "a text of somebody's",
        f"{PREFIX}1123456789abcdef.tif": "beside it",
        f"{PREFIX}2123456789abcdef.lock": elsewhere,
        f"{PREFIX}2123456789abcdef.tif": "another machine's",
        f"{PREFIX}3123456789ABCDEF.lock": mine,
        f"{token}.lock": mine,
    }
    for name, text in kept.items():
        (tmp_path / name).write_text(text)
    outside = tmp_path / "outside"
    outside.write_text(mine)
    (tmp_path / f"{PREFIX}4123456789abcdef.lock").symlink_to(outside)
    (tmp_path / f"{PREFIX}5123456789abcdef.lock").write_text(mine)
    (tmp_path / f"{PREFIX}5123456789abcdef").symlink_to(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    (tmp_path / f"{PREFIX}6123456789abcdef.lock").write_text(mine)
    (tmp_path / f"{PREFIX}6123456789abcdef.tif").write_text("a killed process's")
    before = set(names(tmp_path))
    write_text(tmp_path / "new", "text")
    gone = {f"{PREFIX}6123456789abcdef.lock", f"{PREFIX}6123456789abcdef.tif"}
    assert set(names(tmp_path)) == before - gone | {"new"}
    assert outside.read_text() == mine


@pytest.mark.usefixtures("next_process")
def test_an_empty_lock_of_a_process_that_was_killed_at_once_is_removed(tmp_path):
    (tmp_path / f"{PREFIX}0123456789abcdef.lock").touch()
    write_text(tmp_path / "new", "text")
    assert names(tmp_path) == ["new"]


def test_what_cannot_be_removed_is_left_to_the_next_run(tmp_path, monkeypatch):
    with working_folder(tmp_path) as folder:
        (folder / "file").write_text("text")
        monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    assert names(tmp_path) == [folder.name, f"{folder.name}.lock"]
    monkeypatch.undo()
    monkeypatch.setattr(atomic, "_cleared", set())
    write_text(tmp_path / "new", "text")
    assert names(tmp_path) == ["new"]


def test_temporary_folders_lie_where_the_system_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder(otherwise=tmp_path / "out") as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not names(tmp_path)


class TestWithoutATemporaryFolder:
    @pytest.fixture(autouse=True)
    def nowhere(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setattr(
            tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing" / "folder")]
        )

    def test_the_error_says_how_to_name_one(self):
        with pytest.raises(OutputError, match="TMPDIR"), temporary_folder():
            pass

    def test_it_is_made_beside_the_output_also_for_libraries(self, tmp_path):
        out = tmp_path / "new" / "out"
        with temporary_folder(otherwise=out) as folder:
            assert folder.parent == out
            with temporary_folder() as inner, tempfile.TemporaryDirectory() as library:
                assert inner.parent == Path(library).parent == folder
        assert not names(tmp_path)

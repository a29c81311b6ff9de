"""Locks: one process at a time, and none that outlives its process."""

import errno
import os
import signal
import threading

import pytest

from tests.helpers.waiting_process import waiting_process
from unifmir import file_locks
from unifmir.errors import InUseError, OutputError
from unifmir.file_locks import PREFIX, held, held_files, owner_of, take, take_left, this_process

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are killed as POSIX does")

HOLD_AND_WAIT = """
import sys, time
from pathlib import Path
from unifmir.file_locks import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `out/image.tif`."""
    with waiting_process(HOLD_AND_WAIT, tmp_path / "out" / "image.tif", "held") as process:
        yield process


def test_the_second_process_is_told_who_holds_the_output_and_takes_over_when_that_is_dead(
    holder, tmp_path
):
    output = tmp_path / "out" / "image.tif"
    told = rf"image\.tif is being written by process {holder.pid} "
    with pytest.raises(InUseError, match=told), held(output):
        pass
    with held(output.with_name("other.tif")):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert [p.name.startswith(PREFIX) for p in output.parent.iterdir()] == [True]
    with held(output):
        (lock,) = output.parent.iterdir()
        assert owner_of(lock) == this_process()
    assert not list(output.parent.iterdir())


def test_files_are_held_together_and_a_folder_in_the_place_of_one_is_told(tmp_path):
    table, page = tmp_path / "table.csv", tmp_path / "out" / "page.html"
    with held_files([table, None, page]):
        with pytest.raises(InUseError, match=r"page\.html"), held(page):
            pass
        assert not table.exists()
    assert not list(tmp_path.iterdir())
    page.mkdir(parents=True)
    told = r"page\.html is a folder: give the name of a file"
    with pytest.raises(OutputError, match=told), held_files([table, page]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_that_were_made_for_a_lock_go_with_it_unless_something_is_in_them(tmp_path):
    with held(tmp_path / "a" / "b" / "image.tif"):
        pass
    assert not list(tmp_path.iterdir())
    with held(tmp_path / "a" / "b" / "image.tif"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept"]


def test_of_many_threads_one_holds_at_a_time(tmp_path):
    inside, most, refused = [0], [0], [0]
    counting = threading.Lock()

    def work() -> None:
        for _ in range(50):
            try:
                with held(tmp_path / "new" / "image.tif"):
                    with counting:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with counting:
                        inside[0] -= 1
            except InUseError:
                refused[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert refused[0] < 200
    assert not list(tmp_path.glob(f"new/{PREFIX}*"))


def test_a_lock_whose_name_was_taken_away_is_made_anew(tmp_path, monkeypatch):
    path, real = tmp_path / "lock", file_locks._lock
    path.touch()

    def late(descriptor: int) -> None:
        monkeypatch.setattr(file_locks, "_lock", real)
        path.unlink()  # the other process released it just now
        real(descriptor)

    monkeypatch.setattr(file_locks, "_lock", late)
    lock = take(path)
    assert lock is not None
    assert take(path) is None, "it is held under its name"
    lock.release()
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_one_writes_and_nothing_counts_as_left(tmp_path, monkeypatch, number):
    def unsupported(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_locks, "_lock", unsupported)
    with held(tmp_path / "image.tif"):
        (lock,) = tmp_path.iterdir()
        assert take_left(lock) is None
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    told = r"file/image\.tif cannot be written \(File exists\): a part of the path is a file"
    with pytest.raises(OutputError, match=told), held(tmp_path / "file" / "image.tif"):
        pass


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    with held(tmp_path / "image.tif"):
        (lock,) = (path for path in tmp_path.iterdir() if path.name.startswith(PREFIX))
    lock.symlink_to(precious)
    with pytest.raises(OutputError, match="links"), held(tmp_path / "image.tif"):
        pass
    assert precious.read_text() == "kept"

"""A watched folder: images are taken when they are written, and once."""

import os
import time
from pathlib import Path

import pytest

from unifmir.errors import ImageError
from unifmir.zoo.restore.watching import FolderWatch

QUIET_S = 0.1


def settled(watch: FolderWatch) -> list[str]:
    """Names of what is found after a quiet time."""
    first = [path.name for path in watch.settled()]
    time.sleep(1.5 * QUIET_S)
    return first + [path.name for path in watch.settled()]


def write(path: Path, content: bytes = b"pixels") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def test_images_are_given_once_and_results_and_others_never(tmp_path):
    watch = FolderWatch(tmp_path, QUIET_S)
    for name in ("b.tif", "a.png", "a.sr.tif", ".c.tif", "notes.txt", "z.zarr/0.0"):
        write(tmp_path / name)
    assert settled(watch) == ["a.png", "b.tif", "z.zarr"]
    assert settled(watch) == []


def test_what_grows_or_is_empty_is_not_taken(tmp_path):
    watch = FolderWatch(tmp_path, QUIET_S)
    write(tmp_path / "empty.tif", b"")
    write(tmp_path / "a.tif")
    for size in range(4):
        assert watch.settled() == []
        time.sleep(0.6 * QUIET_S)
        write(tmp_path / "a.tif", b"pixels" * (size + 2))
    assert settled(watch) == ["a.tif"]


def test_what_is_written_anew_is_given_again(tmp_path):
    watch = FolderWatch(tmp_path, QUIET_S)
    write(tmp_path / "a.tif")
    assert settled(watch) == ["a.tif"]
    os.utime(tmp_path / "a.tif", (1, 1))
    assert settled(watch) == ["a.tif"]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ImageError, match="no such folder"):
        FolderWatch(tmp_path / "nothing")

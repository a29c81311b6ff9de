"""Outputs go where they were meant to, and errors of their places are told."""

import errno
import json
import os
import re
import resource
import tempfile

import numpy as np
import pytest

from unifmir.atomic import temporary_folder, working_folder, write_text
from unifmir.errors import OutputError
from unifmir.images.base import ImageInfo
from unifmir.images.open_files import create_sink
from unifmir.output_place import PREFIX, InputPlaces, require_fitting_name, written_to

PRECIOUS = b"precious"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.tif"
    path.write_bytes(PRECIOUS)
    return path


def spellings(source):
    folder = source.parent
    (folder / "sub").mkdir()
    (folder / "link.tif").symlink_to(source)
    (folder / "here").symlink_to(folder)
    os.link(source, folder / "hard.tif")
    names = ("in.tif", "./in.tif", "sub/../in.tif", "link.tif", "here/in.tif", "hard.tif")
    return [folder / name for name in names]


def test_an_output_is_never_an_input_in_any_spelling(source):
    places = InputPlaces([source])
    for path in spellings(source):
        with pytest.raises(OutputError, match="would replace the input"):
            places.require_other(path)
    places.require_other(source.with_name("out.tif"))


def test_folders_of_inputs_are_not_replaced_and_nothing_is_put_inside_one(tmp_path):
    image = tmp_path / "plate.zarr" / "A" / "1"
    image.mkdir(parents=True)
    places = InputPlaces([image])
    with pytest.raises(OutputError, match="would replace the input"):
        places.require_other(tmp_path / "plate.zarr")
    with pytest.raises(OutputError, match="would lie inside the input"):
        places.require_other(image / "0" / "result.tif")
    places.require_other(tmp_path / "other.zarr" / "A" / "1")


def sink(target, shape=(1, 1, 1, 4, 5)):
    info = ImageInfo("a", "yx", (None, None), None)
    return create_sink(target, shape, np.dtype("uint8"), info)


@pytest.mark.parametrize("form", ["link", "hard link"])
def test_what_lies_where_a_result_is_made_is_not_written_through(tmp_path, form):
    target, precious = tmp_path / "out.tif", tmp_path / "precious"
    begun = sink(target)
    aside = tmp_path / f"{PREFIX}out.tif"
    precious.write_bytes(aside.read_bytes())
    aside.unlink()
    if form == "link":
        aside.symlink_to(precious)
    else:
        os.link(precious, aside)
    before = precious.read_bytes()
    again = sink(target)
    again.write(tuple(slice(0, n) for n in (1, 1, 1, 4, 5)), np.ones((1, 1, 1, 4, 5), np.uint8))
    again.publish()
    begun.discard()
    assert not again.resumed
    assert precious.read_bytes() == before
    assert not target.is_symlink()


def test_links_inside_an_unfinished_folder_are_not_written_through(tmp_path):
    pytest.importorskip("zarr")
    target = tmp_path / "out.ome.zarr"
    begun = sink(target)
    aside = tmp_path / f"{PREFIX}out.ome.zarr"
    outside = tmp_path / "outside"
    (aside / "0").rename(outside)
    (aside / "0").symlink_to(outside)
    listed = sorted(outside.rglob("*"))
    again = sink(target)
    again.write(tuple(slice(0, n) for n in (1, 1, 1, 4, 5)), np.ones((1, 1, 1, 4, 5), np.uint8))
    again.publish()
    begun.discard()
    assert sorted(outside.rglob("*")) == listed


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_place_that_takes_nothing_is_told_and_nothing_half_stays(tmp_path, monkeypatch, number):
    target = tmp_path / "a.json"
    target.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match=r"a\.json cannot be written .*: (make|write|choose)"):
        write_text(target, json.dumps([1]))
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_lies_aside_is_told_by_a_name_that_the_user_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)
    place = re.escape(str(tmp_path))
    with (
        pytest.raises(OutputError, match=rf"^{place} cannot be written"),
        working_folder(tmp_path) as folder,
    ):
        write_text(folder / "a.json", "x")
    with (
        pytest.raises(OutputError, match=rf"^{place}/b\.json cannot be written .*make room"),
        working_folder(tmp_path) as folder,
        written_to(tmp_path / "b.json"),
    ):
        write_text(folder / "a.json", "x")


def test_a_full_disk_of_temporary_files_is_not_taken_for_that_of_the_output(tmp_path, monkeypatch):
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(os, "fsync", full_disk)
    with (
        pytest.raises(OutputError, match=rf"^{re.escape(str(temporary))} cannot be written"),
        working_folder(tmp_path / "out"),
        temporary_folder() as folder,
    ):
        write_text(folder / "a.json", "x")


def fill(target, shape):
    made = sink(target, shape)
    try:
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        made.write(tuple(slice(0, n) for n in shape), noise)
        made.publish()
    finally:
        made.discard()


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.ome.zarr"])
def test_a_disk_that_takes_no_more_is_told_and_nothing_half_stays(tmp_path, name):
    shape = (1, 1, 1, 400, 500)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OutputError, match=rf"{name} cannot be written .*limit \(ulimit -f\)"):
            fill(tmp_path / name, shape)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / name).exists()


def test_a_place_inside_a_file_is_told(source):
    with pytest.raises(OutputError, match="a part of the path is a file"):
        write_text(source / "a.json", "x")
    with (
        pytest.raises(OutputError, match="a part of the path is a file"),
        working_folder(source / "b"),
    ):
        pass


def test_a_name_too_long_or_no_text_is_told(tmp_path):
    require_fitting_name(tmp_path / ("a" * 200), 55)
    with pytest.raises(OutputError, match=r"has 201 bytes, expected at most 200"):
        require_fitting_name(tmp_path / ("a" * 201), 55)
    with pytest.raises(OutputError, match="no UTF-8"):
        require_fitting_name(tmp_path / "\udcff", 55)

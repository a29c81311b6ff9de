"""What the user added to the zoo is removed again, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.helpers.small_models import add_own_model, without_configurations
from unifmir.checkpoint.saving import save
from unifmir.errors import InUseError, UnknownNameError, ZooError
from unifmir.zoo.catalogue import directories, pins
from unifmir.zoo.catalogue.adding import add_entry, give_file
from unifmir.zoo.catalogue.index import changing_model, entries, find
from unifmir.zoo.catalogue.pins import Pin
from unifmir.zoo.catalogue.pull import cached_file, local_file, present_file
from unifmir.zoo.catalogue.removing import additions_of, remove_additions


@pytest.fixture
def file(tiny_single, tmp_path: Path, monkeypatch) -> Path:
    """Checkpoint of the model `mine` in a zoo of the test's own, in the folder `home`."""
    path = tmp_path / "weights.safetensors"
    save(tiny_single("sr"), path)
    add_own_model(monkeypatch, tmp_path, path, "mine")
    without_configurations(monkeypatch)
    return path


def downloaded(model_id: str) -> Path:
    """A file as an earlier pull left it."""
    place: Path = directories.cache() / "zoo" / model_id / "w.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weights")
    pins.record(model_id, "download", Pin("w.pt", "0" * 64, 7, "a server", "2026-01-01"))
    return place


def everything() -> set[Path]:
    """All files of the zoo's folders."""
    folders = (directories.home(), directories.cache())
    return {path for folder in folders for path in folder.rglob("*") if not path.is_dir()}


def test_a_model_of_the_users_goes_with_all_that_was_added_for_it(file):
    home = directories.home()
    found = additions_of("mine")
    entry = home / "entries" / "mine.json"
    weights = home / "files" / "mine" / "weights.safetensors"
    pin = home / "pins" / "mine.json"
    assert found.sizes == {path: path.stat().st_size for path in (entry, weights, pin)}
    assert found.sizes[weights] == file.stat().st_size
    assert not found.ships
    remove_additions(found)
    assert everything() == set()
    assert not weights.parent.exists()
    assert "mine" not in entries()
    assert file.is_file()
    with pytest.raises(UnknownNameError, match="unknown zoo model 'mine'"):
        additions_of("mine")


def test_the_download_of_an_entry_goes_with_it(file, tmp_path):
    document = find("mine").model_dump(mode="json") | {"id": "theirs"}
    document["source"] = {"kind": "url", "url": "https://zoo.example/w.pt"}
    (tmp_path / "theirs.json").write_text(json.dumps(document), "utf-8")
    before = everything()
    add_entry(tmp_path / "theirs.json")
    place = downloaded("theirs")
    found = additions_of("theirs")
    assert found.sizes[place] == 7
    remove_additions(found)
    assert everything() == before
    assert local_file(find("mine")).is_file()


def test_a_model_that_ships_loses_the_file_given_for_it_alone(file):
    place = downloaded("unifmir-sr-f-actin")
    before = everything()
    entry = give_file("unifmir-sr-f-actin", file)
    found = additions_of("unifmir-sr-f-actin")
    assert (found.ships, list(found.sizes)) == (True, [present_file(entry)])
    remove_additions(found)
    assert everything() == before
    assert find("unifmir-sr-f-actin") == entry
    assert cached_file(entry) == present_file(entry) == place
    with pytest.raises(ZooError, match="ships with unifmir, and no file was given for it"):
        additions_of("unifmir-sr-f-actin")


def test_what_ships_is_never_removed(file):
    for model_id in ("unifmir-small-sim", "unifmir-sr-er"):
        with pytest.raises(ZooError, match="ships with unifmir"):
            additions_of(model_id)


@pytest.mark.parametrize("model_id", ["nime", "../entries/mine", "", ".", "..", "*", "care"])
def test_a_name_of_none_is_refused_with_those_there_are(model_id, file):
    before = everything()
    with pytest.raises(UnknownNameError, match=r"unknown zoo model .* known: .*, mine$"):
        additions_of(model_id)
    assert everything() == before


def test_what_is_damaged_or_half_gone_can_be_removed(file):
    home = directories.home()
    (home / "entries" / "mine.json").write_text("{", "utf-8")
    (home / "pins" / "mine.json").write_text("{", "utf-8")
    found = additions_of("mine")
    (home / "entries" / "mine.json").unlink()
    assert list(additions_of("mine").sizes) == list(found.sizes)[1:]
    remove_additions(found)
    assert everything() == set()


def test_a_given_file_that_is_gone_is_forgotten(file):
    entry = give_file("unifmir-sr-er", file)
    place = present_file(entry)
    assert place is not None
    place.unlink()
    found = additions_of("unifmir-sr-er")
    assert found.size_bytes == 0
    remove_additions(found)
    assert pins.pin_of("unifmir-sr-er", "file") is None
    give_file("unifmir-sr-er", file)


def test_what_a_link_leads_to_stays(file, tmp_path):
    folder = directories.home() / "files" / "mine"
    elsewhere = tmp_path / "elsewhere.safetensors"
    (folder / "weights.safetensors").rename(elsewhere)
    (folder / "weights.safetensors").symlink_to(elsewhere)
    remove_additions(additions_of("mine"))
    assert not folder.exists()
    assert elsewhere.read_bytes() == file.read_bytes()


def test_a_model_that_another_process_adds_is_left(file):
    found = additions_of("mine")
    before = everything()
    with changing_model("mine"), pytest.raises(InUseError):
        remove_additions(found)
    assert everything() == before

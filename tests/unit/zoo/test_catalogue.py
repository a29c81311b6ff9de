"""The catalogue: packaged and own entries, adding models, and loading them."""

import json
import logging
import shutil
import zipfile
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.helpers.small_models import without_configurations
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.saving import save
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.errors import CheckpointError, UnknownNameError, ZooError
from unifmir.hashing import sha256_of
from unifmir.model import build
from unifmir.output_place import PREFIX
from unifmir.zoo.catalogue import directories, index, pins
from unifmir.zoo.catalogue.adding import Description, add_checkpoint, add_entry, give_file
from unifmir.zoo.catalogue.index import entries, find
from unifmir.zoo.catalogue.load import load, load_in_place
from unifmir.zoo.catalogue.pull import given_file, local_file
from unifmir.zoo.catalogue.schema import entry_text
from unifmir.zoo.catalogue.verifying import verify_local


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A user's folder and cache of the test's own."""
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(directories.CACHE_VARIABLE, str(tmp_path / "cache"))
    without_configurations(monkeypatch)
    return tmp_path / "home"


@pytest.fixture
def file_of(tiny_single, tiny_multitask, tmp_path):
    """Function from a task to a checkpoint file for it."""

    def of(task):
        path = tmp_path / "in" / f"{task}.safetensors"
        save(tiny_multitask if task == "multitask" else tiny_single(task), path)
        return path

    return of


def about(**values: Any) -> Description:
    """A complete description of a new model."""
    document: dict[str, Any] = {
        "id": "my-model",
        "task": None,
        "title": "Mine",
        "dataset": "My data",
        "authors": ["Ada"],
        "licence": "CC0-1.0",
        "notes": None,
    }
    return Description(**{**document, **values})  # type: ignore[typeddict-item]  # the keys are above


def test_an_unknown_id_names_the_nearest_and_all():
    with pytest.raises(UnknownNameError) as caught:
        find("unifmir-denoise-planarai")
    assert "did you mean 'unifmir-denoise-planaria'?" in str(caught.value)
    assert "unifmir-small-sim" in str(caught.value)


@pytest.mark.parametrize("name", ["../entries/unifmir-sr-er", "", "x" * 5000, "unifmir-sr-er.json"])
def test_a_strange_id_is_just_unknown(name):
    with pytest.raises(UnknownNameError):
        find(name)


@pytest.mark.parametrize("task", ["sr", "isotropic", "projection", "volume", "multitask"])
def test_a_checkpoint_becomes_a_model(task, file_of, home):
    given = None if task == "multitask" else task
    entry = add_checkpoint(file_of(task), about(task=given))
    assert find("my-model") == entry
    assert (entry.task, entry.source.kind) == (task, "file")
    assert entry.source.sha256 == sha256_of(file_of(task))
    assert entry.parameters == sum(p.numel() for p in load("my-model").parameters())
    assert local_file(entry).parent == home / "files" / "my-model"
    assert verify_local(entry).passed


def test_a_loaded_model_is_the_file_and_knows_its_id(file_of):
    add_checkpoint(file_of("sr"), about())
    network, same = load("my-model"), load_file(file_of("sr"))
    assert (network.source.zoo_id, network.task) == ("my-model", "sr")
    assert network.source.sha256 == same.source.sha256
    for key, value in same.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


def test_a_model_is_loaded_for_its_own_task_where_the_shapes_fit_several(file_of):
    add_checkpoint(file_of("isotropic"), about(task="isotropic"))
    assert load("my-model").config.task == "isotropic"
    with pytest.raises(ZooError, match="a model for isotropic, not for denoise"):
        load("my-model", task="denoise")


def test_a_multitask_model_takes_any_task_as_a_hint(file_of):
    add_checkpoint(file_of("multitask"), about())
    assert load("my-model", task="volume").kind == "multitask"


def test_load_takes_a_file(file_of):
    assert load(file_of("sr")).source.zoo_id is None
    assert load(str(file_of("sr"))).task == "sr"


@pytest.mark.parametrize("name", ["weights/model", "model.pt", "a.SAFETENSORS", "C:\\model"])
def test_a_missing_file_is_not_taken_for_a_zoo_id(name):
    with pytest.raises(CheckpointError, match="no such file"):
        load(name)


def test_a_word_is_a_zoo_id_even_where_a_folder_has_its_name(monkeypatch, tmp_path, file_of):
    add_checkpoint(file_of("sr"), about())
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("my-model").source.zoo_id == "my-model"
    with pytest.raises(UnknownNameError, match="unknown zoo model 'my-modle'"):
        load("my-modle")


def test_a_model_without_a_file_says_how_to_give_it(file_of):
    with pytest.raises(ZooError, match="unifmir zoo add --from unifmir-sr-er --file FILE"):
        load("unifmir-sr-er")
    entry = give_file("unifmir-sr-er", file_of("sr"))
    assert load("unifmir-sr-er").source.zoo_id == "unifmir-sr-er"
    assert verify_local(entry).passed


def test_a_given_file_goes_before_the_download(file_of):
    give_file("unifmir-denoise-planaria", file_of("denoise"))
    assert load("unifmir-denoise-planaria").task == "denoise"


def test_a_file_is_replaced_only_on_request(file_of, tiny_single, tmp_path):
    give_file("unifmir-sr-er", file_of("sr"))
    with pytest.raises(ZooError, match="--replace"):
        give_file("unifmir-sr-er", file_of("sr"))
    other = tmp_path / "other.safetensors"
    save(tiny_single("sr"), other, dtype=torch.float16)
    entry = give_file("unifmir-sr-er", other, replace=True)
    assert sha256_of(local_file(entry)) == sha256_of(other)
    assert [path.name for path in local_file(entry).parent.iterdir()] == ["other.safetensors"]


def test_a_file_of_another_configuration_is_not_the_models(file_of, tmp_path):
    add_checkpoint(file_of("sr"), about())
    wider = build(SingleTaskConfig("sr", BodyConfig(12, (2,), (2,), 4, 24), scale=2))
    save(wider, tmp_path / "wider.safetensors")
    told = r"another \(body\.embed_dim is 12, the entry says 24; .*\)\. If it is a model of its own"
    with pytest.raises(ZooError, match=told):
        load_in_place("my-model", tmp_path / "wider.safetensors")


@pytest.fixture
def named(file_of, monkeypatch, tmp_path):
    """Own entry of a downloaded model that names its file's hash; and a file of other weights."""
    right = file_of("sr")
    document = add_checkpoint(right, about()).model_dump(mode="json") | {"id": "theirs"}
    facts = {name: document["source"][name] for name in ("sha256", "size_bytes")}
    document["source"] = {"kind": "url", "url": "https://zoo.example/theirs.zip", **facts}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(document), "utf-8")
    content = bytearray(right.read_bytes())
    content[-1] ^= 1
    other = tmp_path / "other.safetensors"
    other.write_bytes(content)
    return path, right, other


def test_a_file_of_another_hash_than_the_entry_names_is_refused_wherever_it_is_given(named):
    path, right, other = named
    told = f"other.safetensors is not the file of theirs: its sha256 is {sha256_of(other)}, "
    told += f"the entry says {sha256_of(right)}. If it is a model of its own"
    with pytest.raises(ZooError, match=told):
        add_entry(path, other)
    add_entry(path)
    with pytest.raises(ZooError, match=told):
        give_file("theirs", other)
    with pytest.raises(ZooError, match=told):
        load_in_place("theirs", other)
    give_file("theirs", right)
    assert load("theirs").source.sha256 == sha256_of(right)


def test_a_package_is_the_entrys_file_by_the_weights_in_it(named, tmp_path):
    path, right, other = named
    for name, inside in (("right", right), ("wrong", other)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as package:
            package.write(inside, "model.safetensors")
            description = (
                "type: model\nformat_version: 0.4.9\nweights:\n  pytorch_state_dict:\n"
                "    source: model.safetensors\n"
            )
            package.writestr("rdf.yaml", description)
    with pytest.raises(ZooError, match=f"its sha256 is {sha256_of(other)}"):
        add_entry(path, tmp_path / "wrong.zip")
    entry = add_entry(path, tmp_path / "right.zip")
    assert entry.source.sha256 == sha256_of(right)
    assert local_file(entry).name == "right.zip"
    assert verify_local(entry).passed


def test_a_given_file_is_held_against_a_hash_that_its_entry_learned_later(file_of):
    entry = give_file("unifmir-sr-er", file_of("sr"))
    digest = sha256_of(file_of("sr"))
    right, wrong = (
        entry.model_copy(update={"source": entry.source.model_copy(update={"sha256": sha256})})
        for sha256 in (digest, "0" * 64)
    )
    assert local_file(right).is_file()
    assert verify_local(right).passed
    told = f"its SHA-256 is {digest}, expected {'0' * 64}; give that one with .* --replace`"
    with pytest.raises(ZooError, match=told):
        local_file(wrong)
    assert [c.name for c in verify_local(wrong).checks if not c.passed] == ["sha256"]


def test_a_file_of_another_configuration_is_not_loaded_as_the_model(file_of, tmp_path, home):
    add_checkpoint(file_of("sr"), about())
    path = home / "entries" / "my-model.json"
    document = json.loads(path.read_text("utf-8"))
    # As a record whose file was exchanged, or an entry that was written for another file.
    wider = SingleTaskConfig("sr", BodyConfig(12, (2,), (2,), 4, 24), scale=2)
    path.write_text(json.dumps(document | {"configuration": wider.to_dict()}), "utf-8")
    told = r"its configuration is another \(body\.embed_dim is 24, the entry says 12; .*--replace`"
    with pytest.raises(ZooError, match=told):
        load("my-model")


def test_parameters_are_counted_with_those_that_no_network_reads_or_without(tiny_config, tmp_path):
    network = build(replace(tiny_config.single("projection"), body_residual=True))
    save(network, tmp_path / "own.safetensors")
    # As official projection files have them: sub_mean and add_mean, one weight and one bias each.
    unread = {
        f"project.{name}_mean.{part}": torch.zeros((1, 1, 1, 1) if part == "weight" else (1,))
        for name in ("sub", "add")
        for part in ("weight", "bias")
    }
    torch.save({**network.state_dict(), **unread}, tmp_path / "official.pt")
    count = sum(tensor.numel() for tensor in network.parameters())
    entry = add_checkpoint(tmp_path / "own.safetensors", about())
    assert entry.parameters == count
    document = entry.model_dump(mode="json")
    document["source"] |= {"sha256": None, "size_bytes": None}
    (tmp_path / "theirs.json").write_text(json.dumps(document | {"id": "theirs"}), "utf-8")
    added = add_entry(tmp_path / "theirs.json", tmp_path / "official.pt")
    assert added.parameters == count
    assert verify_local(added).passed


@pytest.mark.parametrize(
    ("task", "told"),
    [("denoise", "looks like 'denoise'"), ("multitask", "unifmir prune .* --task sr")],
)
def test_a_file_for_another_task_is_refused(task, told, file_of, home):
    with pytest.raises((ZooError, CheckpointError), match=told):
        give_file("unifmir-sr-er", file_of(task))
    assert not home.exists()


def test_the_embedded_model_keeps_its_file(file_of):
    with pytest.raises(ZooError, match="part of unifmir"):
        give_file("unifmir-small-sim", file_of("multitask"))


def test_a_given_file_that_changed_is_refused(file_of):
    entry = give_file("unifmir-sr-er", file_of("sr"))
    place = given_file(entry)
    assert place is not None
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    with pytest.raises(ZooError, match="has changed since it was given"):
        local_file(entry)
    verdict = verify_local(entry)
    assert not verdict.passed
    assert [c.name for c in verdict.checks if not c.passed] == ["pinned sha256"]
    place.unlink()
    with pytest.raises(ZooError, match="no longer there"):
        local_file(entry)
    assert not verify_local(entry).passed


def test_an_entry_file_is_added_with_its_checkpoint(file_of, tmp_path, home):
    made = add_checkpoint(file_of("sr"), about())
    document = made.model_dump(mode="json") | {"id": "theirs", "pixel_size_um": [0.0626, 0.0626]}
    (tmp_path / "any name.json").write_text(json.dumps(document), encoding="utf-8")
    added = add_entry(tmp_path / "any name.json", file_of("sr"))
    assert added == find("theirs")
    assert added.pixel_size_um == (0.0626, 0.0626)
    assert (home / "entries" / "theirs.json").read_text("utf-8") == entry_text(added)
    with pytest.raises(ZooError, match="there is a zoo model 'theirs' already"):
        add_entry(tmp_path / "any name.json", file_of("sr"))


def test_an_entry_that_is_not_true_of_its_file_is_refused(file_of, tmp_path, home):
    made = add_checkpoint(file_of("sr"), about())
    for name, value in (("parameters", 17), ("sha256", "0" * 64)):
        document = made.model_dump(mode="json") | {"id": "theirs"}
        (document["source"] if name == "sha256" else document)[name] = value
        (tmp_path / "e.json").write_text(json.dumps(document), encoding="utf-8")
        with pytest.raises(ZooError, match=f"its {name} is"):
            add_entry(tmp_path / "e.json", file_of("sr"))
    assert [path.name for path in (home / "entries").iterdir()] == ["my-model.json"]


def test_an_entry_without_the_file_it_needs_is_refused(file_of, tmp_path):
    made = add_checkpoint(file_of("sr"), about())
    document = made.model_dump(mode="json") | {"id": "theirs"}
    (tmp_path / "e.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ZooError, match="--file"):
        add_entry(tmp_path / "e.json")
    document["source"] = {"kind": "embedded", "filename": "a.pt"}
    (tmp_path / "e.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ZooError, match="inside the unifmir package"):
        add_entry(tmp_path / "e.json", file_of("sr"))


@pytest.mark.parametrize("model_id", ["my-model", "unifmir-small-sim"])
def test_a_duplicate_is_refused_and_changes_nothing(model_id, file_of, tiny_single, tmp_path):
    add_checkpoint(file_of("sr"), about())
    before = {p: p.read_bytes() for p in directories.home().rglob("*") if p.is_file()}
    save(tiny_single("sr"), tmp_path / "b.safetensors", dtype=torch.float16)
    with pytest.raises(ZooError, match="already"):
        add_checkpoint(tmp_path / "b.safetensors", about(id=model_id))
    assert {p: p.read_bytes() for p in directories.home().rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("missing", ["id", "title", "dataset", "authors"])
def test_a_description_must_be_complete(missing, file_of):
    with pytest.raises(ZooError, match="a new model needs --"):
        add_checkpoint(file_of("sr"), about(**{missing: None}))


def test_an_interrupted_copy_lists_no_model(monkeypatch, file_of, home):
    def failing(source, target):
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(shutil, "copyfile", failing)
    with pytest.raises(OSError, match="No space"):
        add_checkpoint(file_of("sr"), about())
    assert "my-model" not in entries()
    assert not [p for p in home.rglob("*") if p.is_file() or p.name.startswith(PREFIX)]


def test_a_broken_entry_of_the_user_hides_no_other(file_of, home, caplog):
    add_checkpoint(file_of("sr"), about())
    (home / "entries" / "broken.json").write_text("{", encoding="utf-8")
    (home / "entries" / "binary.json").write_bytes(b"\xff\xfe")
    (home / "entries" / "unifmir-sr-er.json").write_text(
        entry_text(find("unifmir-sr-er")), encoding="utf-8"
    )
    with caplog.at_level(logging.WARNING):
        assert "my-model" in entries()
    assert len([r for r in caplog.records if "left out" in r.getMessage()]) == 3
    with pytest.raises(ZooError, match="is not a zoo entry"):
        find("broken")


def test_a_file_under_another_name_is_refused(file_of, home):
    add_checkpoint(file_of("sr"), about())
    (home / "entries" / "my-model.json").rename(home / "entries" / "other.json")
    with pytest.raises(ZooError, match="holds the entry 'my-model'"):
        find("other")


def test_a_checkpoint_given_as_an_entry_is_not_read(file_of, monkeypatch):
    monkeypatch.setattr(index, "MAX_ENTRY_BYTES", 100)
    with pytest.raises(ZooError, match="a checkpoint goes after --file"):
        add_entry(file_of("sr"))


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 9, "pins": {}}', '{"schema": 1}'])
def test_damaged_pins_are_reported_with_their_file(text, home):
    (home / "pins").mkdir(parents=True)
    (home / "pins" / "unifmir-sr-er.json").write_text(text, encoding="utf-8")
    with pytest.raises(ZooError, match=r"unifmir-sr-er\.json"):
        pins.pin_of("unifmir-sr-er", "file")

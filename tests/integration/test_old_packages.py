"""Packages of format 0.4, TorchScript alone, become models of the zoo and packages of today."""

import json
from pathlib import Path

import pytest

from tests.compat.packages import network as smallest
from tests.helpers.checkpoint_files import same_weights
from tests.helpers.command_line import run
from tests.helpers.script_archives import (
    as_old_torch,
    edited,
    example,
    packaged,
    traced,
    with_official_keys,
)
from tests.helpers.small_models import without_configurations
from unifmir import load
from unifmir.checkpoint.loading import load_file
from unifmir.errors import ZooError
from unifmir.export.credit import Credit, Person, parse_person
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.entry_credit import completed_credit
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.old_packages import OldAuthor, OldPackage, read_old_package

# Twice the brackets, as `packaged` formats it.
RDF = """format_version: 0.4.10
type: model
name: NAME
description: Restores images of tests.
authors:
- {{name: Ada Author, affiliation: An institute, orcid: 0000-0002-1825-0097}}
- {{name: Bo Builder, affiliation: null}}
cite:
- {{text: A preprint, doi: 10.21203/rs.3.rs-3208267/v1}}
license: CC-BY-4.0
tags: [2d]
timestamp: 2024-01-01T00:00:00
MORE
inputs:
- {{axes: bcyx, data_type: float32, name: input, shape: [1, 1, 128, 128]}}
outputs:
- {{axes: bcyx, data_type: float32, name: output, shape: [1, 1, 256, 256]}}
test_inputs: [test_input.npy]
test_outputs: [test_output.npy]
weights:
  torchscript: {{source: {source}, sha256: {sha256}, pytorch_version: 1.10.0}}
"""
NICKNAME = "config: {{bioimageio: {{nickname: ID}}}}"


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch, tmp_path):
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(directories.CACHE_VARIABLE, str(tmp_path / "cache"))
    without_configurations(monkeypatch)


def old_package(
    folder: Path, task: str = "sr", *, name: str = "MyRestoration", nickname: str = ""
) -> Path:
    """A package as the official ones were made: a traced network with the official keys."""
    network = smallest(task)
    script = edited(traced(with_official_keys(network), example(network)), as_old_torch)
    more = NICKNAME.replace("ID", nickname) if nickname else ""
    rdf = RDF.replace("NAME", name).replace("MORE", more)
    path = folder / "old.zip"
    path.write_bytes(packaged(script, rdf))
    return path


def test_an_old_package_becomes_a_model_with_its_own_words(tmp_path):
    done = run("zoo", "add", "--package", old_package(tmp_path), "--dataset", "cells", "--json")
    assert done.exit_code == 0, done.output
    entry = find(json.loads(done.stdout)["id"])
    assert (entry.id, entry.task, entry.title) == ("myrestoration", "sr", "MyRestoration")
    assert entry.authors == ("Ada Author <0000-0002-1825-0097> An institute", "Bo Builder")
    assert entry.licence == "CC-BY-4.0"
    assert entry.cite == ("10.21203/rs.3.rs-3208267/v1",)
    assert entry.notes == "Restores images of tests."
    assert same_weights(load(entry.id), smallest("sr"))


def test_an_official_package_becomes_the_file_of_its_model(tmp_path):
    path = old_package(tmp_path, nickname="ambitious-ant")
    done = run("zoo", "add", "--package", path)
    assert done.exit_code == 0, done.output
    assert "added unifmir-sr-microtubules" in done.stdout
    assert same_weights(load("unifmir-sr-microtubules"), smallest("sr"))


def test_what_the_package_does_not_say_is_asked_for(tmp_path):
    done = run("zoo", "add", "--package", old_package(tmp_path))
    assert done.exit_code == 2
    assert "--dataset" in done.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("format_version: 0.5.7", "--file"),
        ("name: [a]", "OldPackage.name"),
        ("authors: Ada", "no list"),
        ("authors: [Ada]", "a mapping"),
        ("type: dataset", "no model"),
        (f"description: {'x' * 5001}", "5,000"),
    ],
)
def test_a_description_that_is_none_is_refused(tmp_path, line: str, message: str):
    field = line.partition(":")[0]
    lines = RDF.replace("MORE", "").splitlines()
    kept = [
        one
        for one in lines
        if not one.startswith((f"{field}:", "- {{name: A", "- {{name: B", "  torchscript"))
    ]
    path = tmp_path / "old.zip"
    path.write_bytes(packaged(b"", "\n".join([*kept, line])))
    with pytest.raises(ZooError, match=message):
        read_old_package(path)


def test_a_file_that_is_no_package_is_refused(tmp_path):
    path = tmp_path / "old.zip"
    path.write_bytes(b"nothing")
    with pytest.raises(ZooError, match="no zip archive"):
        read_old_package(path)


@pytest.mark.parametrize(
    ("title", "words", "told"),
    [
        ("MyRestoration", "Restores images of tests.", ("MyRestoration", "Restores images")),
        ("x2.0", None, ("x2 0 super-resolution", "")),
        ("Beads/F-actin", "word " * 150, ("Beads F-actin", "word word")),
    ],
)
def test_a_model_without_statements_on_packages_keeps_its_own_words(tmp_path, title, words, told):
    given = ("--id", "mine", "--title", title, "--author", "Ada", "--dataset", "cells")
    notes = ("--notes", words) if words else ()
    added = run("zoo", "add", *given, *notes, "--file", old_package(tmp_path))
    assert added.exit_code == 0, added.output
    credit = completed_credit(Credit(), find("mine"), "sr")
    recipe = credit.recipe
    assert recipe is not None
    assert recipe.name == told[0]
    assert recipe.description.startswith(told[1])
    assert not recipe.description or 50 <= len(recipe.description) <= 512
    assert bool(recipe.description) == bool(words)
    assert credit.training_data == "cells"


def test_an_author_of_an_old_package_may_have_a_comma_and_no_orcid():
    author = OldAuthor("Curie, Marie", affiliation="An institute")
    assert parse_person(author.person()) == Person("Curie, Marie", "An institute")
    assert OldAuthor("Curie, Marie").person() == "Curie, Marie <>"


def test_only_known_parts_are_read(tmp_path):
    found = read_old_package(old_package(tmp_path, nickname="kind-cat"))
    assert isinstance(found, OldPackage)
    assert found.nickname == "kind-cat"


@pytest.mark.slow  # the library's own test of the new package, and a verification
@pytest.mark.parametrize("task", ["sr", "projection"])
def test_an_old_package_is_upgraded_to_one_of_today_that_passes(tmp_path, task: str):
    path, out = old_package(tmp_path, task), tmp_path / "out"
    added = run("zoo", "add", "--package", path, "--dataset", "cells")
    assert added.exit_code == 0, added.output
    command = ("export", "--model", "myrestoration", "--format", "bioimageio", "--out", out)
    made = run(*command, "--json")
    assert made.exit_code == 0, made.output
    (artifact,) = json.loads(made.stdout)["artifacts"]
    assert artifact["details"]["status"] == "passed"
    package = out / f"unifmir-{task}.bioimageio.zip"
    assert run("verify", package).exit_code == 0
    rdf = read_package(package).rdf
    assert [one["name"] for one in rdf["authors"]] == ["Ada Author", "Bo Builder"]
    assert rdf["authors"][0]["orcid"] == "0000-0002-1825-0097"
    assert set(rdf["weights"]) == {"pytorch_state_dict", "torchscript", "onnx"}
    assert rdf["name"] == "MyRestoration"
    assert rdf["description"] == f"Restores images of tests. {TASKS[task].summary}"
    assert "10.21203/rs.3.rs-3208267/v1" in [one["doi"] for one in rdf["cite"]]
    assert rdf["config"]["unifmir"]["training_data"] == "cells"
    assert same_weights(load_file(package), smallest(task))

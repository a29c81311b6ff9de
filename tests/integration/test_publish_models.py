"""A model of the zoo that is published by its id: its package is exported first, and kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.compat.packages import network
from tests.helpers.publications import RDF, publication, without_waiting
from tests.helpers.quick_rows import few_quick
from tests.helpers.small_models import add_own_model
from tests.helpers.zenodo_server import TOKEN, zenodo_serving
from tests.helpers.zip_contents import read_zip
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.export.credit import Credit
from unifmir.export.formats.bioimageio import lint
from unifmir.hashing import sha256_of
from unifmir.networks.base import Network
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.publish import exported_model, publishing, zenodo

MODEL = "my-model"


@pytest.fixture(autouse=True)
def checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a model in the user's zoo; the command runs in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "best.safetensors"
    save(network("sr"), path)
    add_own_model(monkeypatch, tmp_path, path, MODEL)
    return path


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[Credit]:
    """The credit of each package that is exported, which is one for the tests of publishing."""
    found: list[Credit] = []

    def written(model: Network, folder: Path, *, credit: Credit, **_: Any) -> None:
        found.append(credit)
        folder.mkdir(exist_ok=True)
        assert model.source is not None
        parent = {"zoo_id": model.source.zoo_id, "sha256": model.source.sha256}
        rdf = {**RDF, "config": {"unifmir": {"pruning": {"parent": parent}}}}
        made = publication(folder, rdf=rdf)
        made = replace(made, path=made.path.rename(folder / "unifmir-sr.bioimageio.zip"))
        monkeypatch.setattr(publishing, "read_publication", lambda _: made)
        monkeypatch.setattr(exported_model, "read_package", lambda _: lint.Package(rdf, {}))

    monkeypatch.setattr(exported_model, "export", written)
    return found


def run(*arguments: str | Path, to: str = "zenodo") -> Result:
    return CliRunner().invoke(app, ["publish", *map(str, arguments), "--to", to])


def test_the_package_is_exported_once_by_the_entry_and_kept(exported):
    first = run(MODEL)
    assert first.exit_code == 0, first.output
    (credit,) = exported
    assert ([one.name for one in credit.authors], credit.licence) == (["Ada Author"], "CC0-1.0")
    package = Path(MODEL, "unifmir-sr.bioimageio.zip")
    assert package.is_file()
    assert list(Path(MODEL).glob("*.submission.json"))
    again = run(MODEL)
    assert f"{package} is taken as it is" in again.stderr
    assert len(exported) == 1
    # By its own path it is the same submission.
    assert run(package).stdout == again.stdout


def test_what_is_stated_goes_into_a_new_package(exported):
    run(MODEL)
    done = run(MODEL, "--maintainer", "ada-hub", "--packaged-by", "Bo Builder")
    assert done.exit_code == 0, done.output
    assert [one.github_user for one in exported[1].maintainers] == ["ada-hub"]
    assert exported[1].licence == "CC0-1.0"


@pytest.mark.slow
def test_of_another_file_of_the_model_there_is_a_new_package(exported, monkeypatch):
    run(MODEL)
    rdf = {"config": {"unifmir": {"pruning": {"parent": {"zoo_id": MODEL, "sha256": "0" * 64}}}}}
    monkeypatch.setattr(exported_model, "read_package", lambda _: lint.Package(rdf, {}))
    run(MODEL)
    assert len(exported) == 2


def test_the_package_of_another_model_is_left_alone(exported, monkeypatch):
    run(MODEL)
    rdf = {"config": {"unifmir": {"pruning": {"parent": {"zoo_id": "another"}}}}}
    monkeypatch.setattr(exported_model, "read_package", lambda _: lint.Package(rdf, {}))
    done = run(MODEL)
    assert done.exit_code == 2
    assert "is the package of another, not of my-model: name another folder" in told(done)
    assert len(exported) == 1


def told(done: Result) -> str:
    """What a command says on one line."""
    return " ".join(done.output.split())


REFUSED = [
    (("unifmir-small-sim",), "has several tasks, and a package holds one: --task, of sr"),
    ((MODEL, "--task", "denoise"), "is a model for sr, not for denoise"),
    (("my-modle",), "did you mean 'my-model'?"),
    (("missing.bioimageio.zip",), "missing.bioimageio.zip"),
    (("p.zip", "--author", "Ada"), "p.zip is finished: export it again with them"),
    (("p.zip", "--out", "x"), "p.zip is finished: export it again with them"),
    ((MODEL, "--status"), "unifmir-sr.bioimageio.zip was not sent to zenodo from here"),
]


@pytest.mark.parametrize(("arguments", "message"), few_quick(REFUSED, [REFUSED[0], REFUSED[5]]))
def test_what_cannot_be_published_is_told_and_nothing_is_exported(exported, arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert message in told(done)
    assert not exported
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    "model_id", few_quick(["unifmir-sr-ccps", "unifmir-sr-er"], ["unifmir-sr-er"])
)
def test_without_a_known_licence_it_is_asked_for_before_anything_takes_time(exported, model_id):
    assert find(model_id).licence is None
    done = run(model_id)
    assert done.exit_code == 2
    assert "no licence of the weights is known" in told(done)
    assert "--licence SPDX" in told(done)
    assert not exported


@pytest.mark.slow  # a package is exported, with the library's test
def test_a_model_goes_from_its_id_to_a_draft(monkeypatch, checkpoint):
    with zenodo_serving() as deposits:
        monkeypatch.setenv(zenodo.URL_VARIABLE, deposits.url)
        monkeypatch.setenv("ZENODO_TOKEN", TOKEN)
        without_waiting(monkeypatch)
        planned = run(MODEL)
        assert planned.exit_code == 0, planned.output
        sent = run(MODEL, "--upload")
        assert sent.exit_code == 0, sent.output
        package = Path(MODEL, "unifmir-sr.bioimageio.zip")
        assert deposits.stored[100][package.name] == package.read_bytes()
        assert run(MODEL, "--status").exit_code == 0
    rdf = lint.read_package(package).rdf
    assert rdf["config"]["unifmir"]["pruning"]["parent"]["sha256"] == sha256_of(checkpoint)
    assert read_zip(package)["README.md"] == deposits.stored[100]["README.md"]

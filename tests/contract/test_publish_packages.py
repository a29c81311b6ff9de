"""Packages of every task, as `unifmir publish` takes them, without a network."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compat.canned import untested, untested_package
from tests.compat.packages import inputs
from tests.helpers.zip_contents import read_zip
from unifmir.errors import ExportError
from unifmir.export.formats.bioimageio.partners.package_checks import check_package
from unifmir.export.formats.bioimageio.partners.recorded_checks import checks_path, write_checks
from unifmir.hashing import sha256_of
from unifmir.tasks import TASKS
from unifmir.zip_archive import write_zip
from unifmir.zoo.publish import publishing
from unifmir.zoo.publish.destinations import DESTINATIONS
from unifmir.zoo.publish.publication import published_score, read_publication
from unifmir.zoo.publish.submission import read_submission

pytestmark = pytest.mark.slow  # each package is exported first


@pytest.fixture(scope="module", params=list(TASKS))
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that no report lies beside."""
    return untested(request.param, tmp_path_factory.mktemp(request.param)).path


@pytest.mark.parametrize("destination", list(DESTINATIONS))
def test_the_dry_run_knows_every_file_and_call(package, destination):
    plan = publishing.dry_run(package, destination)
    again = publishing.dry_run(package, destination)
    assert again.submission == plan.submission
    assert plan.submission.state == "planned"
    assert read_submission(plan.record) == plan.submission
    sent = sum(call.size_bytes for call in plan.calls)
    assert sent == sum(file.size_bytes for file in plan.submission.files) > 0
    assert json.dumps(plan.to_dict(), allow_nan=False)


def test_the_files_are_those_of_the_package(package):
    publication = read_publication(package)
    files = read_zip(package)
    assert {file.name: file.size_bytes for file in publication.files} == {
        name: len(data) for name, data in files.items()
    }
    weights = {file.name for file in publication.files if file.is_weights}
    assert weights == {"weights.onnx", "weights.pt", "weights.torchscript.pt"}
    assert all(publication.content(name) == data for name, data in files.items())


def test_only_a_recorded_test_of_this_very_file_counts(package, monkeypatch):
    publication = read_publication(package)
    untold = published_score(publication)
    assert not untold.is_tested
    report = _Recorded(sha256_of(package))
    monkeypatch.setattr("unifmir.zoo.publish.publication.read_report", lambda _: report)
    told = published_score(publication)
    assert told.is_tested
    assert told.score.total > untold.score.total + 0.1
    assert not published_score(replace(publication, sha256="0" * 64)).is_tested


def test_the_checks_beside_a_package_count_for_that_very_file(package):
    publication = read_publication(package)
    checks = check_package(package, partners=["qupath"], offline=True)
    write_checks(replace(checks, sha256="0" * 64), package)
    assert published_score(publication).has_old_checks
    write_checks(checks, package)
    found = published_score(publication)
    checks_path(package).unlink()
    assert found.checks is not None
    assert [one.name for one in found.checks.checks] == ["lint", "library", "qupath"]
    assert not found.has_old_checks


class _Recorded:
    """A report that passed."""

    passed = True

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256


def test_a_package_that_breaks_rules_is_not_even_planned(package, tmp_path):
    files = {**read_zip(package), "notes.txt": b"left over"}
    broken = tmp_path / package.name
    write_zip(files, broken)
    with pytest.raises(ExportError, match=r"breaks 1 rules of the zoo[^\0]*notes\.txt"):
        publishing.dry_run(broken, "bioimageio")
    assert [path.name for path in tmp_path.iterdir()] == [package.name]


def test_a_package_without_a_licence_is_not_even_planned(tmp_path):
    given = inputs("sr", tmp_path / "inputs")
    card = replace(given.card, licence="")
    made = untested_package(replace(given, card=card), tmp_path / "p.zip").path
    with pytest.raises(ExportError, match=r"says no licence of its weights.*--licence SPDX"):
        publishing.dry_run(made, "zenodo")
    assert not list(tmp_path.glob("*.submission.json"))

"""What a package lacks is scored by the library, fact by fact."""

from typing import Any

import pytest

from tests.compat.canned import untested_package
from tests.compat.packages import inputs
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.export.formats.bioimageio.missing_facts import completeness, missing_facts


@pytest.fixture(scope="module")
def description(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("facts")
    return read_package(untested_package(inputs("sr", folder), folder / "p.zip").path).rdf


def test_the_training_raises_the_score_most_and_what_is_stated_not_at_all(description):
    found = missing_facts(description)
    assert found[0].option == "--training-record FILE"
    assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)
    assert not {"authors of the weights", "the repository"} & {one.fact for one in found}


def test_of_a_training_that_is_stated_in_part_what_is_missing_is_named(description):
    training = {"optimizer": "Adam", "training_epochs": 3.0}
    config = {**description["config"]["bioimageio"], "training": training}
    partly = {**description, "config": {**description["config"], "bioimageio": config}}
    found = {one.option: one.fact for one in missing_facts(partly)}["--training-record FILE"]
    assert found.startswith("how the weights were trained (training_preprocessing, ")
    assert "optimizer_kwargs" in found
    assert "optimizer," not in found
    assert found.endswith(", memory_requirements_training)")


def test_the_gain_is_that_of_the_description_with_the_fact(description):
    gain = {one.option: one.gain for one in missing_facts(description)}["--maintainer GITHUB_USER"]
    named = {**description, "maintainers": [{"github_user": "bioimageiobot"}]}
    assert gain == round(0.25 * (completeness(named) - completeness(description)), 4)

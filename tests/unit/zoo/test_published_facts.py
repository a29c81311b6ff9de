"""One description of a model, shown in several places, says the same in each."""

import json

from tests.helpers.publications import RDF, publication
from unifmir.zoo.publish.model_card import card_metadata, model_card
from unifmir.zoo.publish.published_facts import published_facts, readme_row, zenodo_metadata

FACTS = published_facts(RDF)


def test_zenodo_and_the_readme_say_what_the_package_says():
    zenodo = zenodo_metadata(FACTS)
    row = readme_row(FACTS, link="https://example.org/m", doi="10.5072/zenodo.1")
    assert zenodo["title"] == RDF["name"]
    assert zenodo["description"] == f"<p>{RDF['description']}</p>"
    assert zenodo["license"] == RDF["license"].lower()
    assert [one["name"] for one in zenodo["creators"]] == [one["name"] for one in RDF["authors"]]
    assert zenodo["creators"][0] == RDF["authors"][0]
    assert zenodo["keywords"] == RDF["tags"]
    assert [one["identifier"] for one in zenodo["related_identifiers"]] == [
        RDF["cite"][0]["doi"],
        RDF["git_repo"],
    ]
    told = (RDF["name"], RDF["description"], RDF["license"], "Ann Ash, Ben Birch", *RDF["tags"])
    assert all(word in row for word in told)
    assert "[10.5072/zenodo.1](https://doi.org/10.5072/zenodo.1)" in row


def test_the_model_card_says_what_the_package_says(tmp_path):
    metadata = card_metadata(RDF, base_model="bo/parent")
    card = model_card(publication(tmp_path), metadata).decode()
    front, _, body = card.removeprefix("---\n").partition("---\n")
    lines = [line.partition(": ") for line in front.splitlines()]
    read = {key: json.loads(value) for key, _, value in lines}
    assert read == metadata
    assert read["license"] == zenodo_metadata(FACTS)["license"]
    assert read["tags"][:-1] == RDF["tags"]
    assert read["model-index"][0]["name"] == RDF["name"]
    assert read["model-index"][0]["results"][0]["metrics"][0]["value"] == 40.25
    cited = RDF["cite"][0]
    for told in (RDF["name"], RDF["description"], cited["text"], cited["doi"], RDF["git_repo"]):
        assert told in body
    for author in RDF["authors"]:
        assert all(value in body for value in author.values())
    assert not {"base_model", "model-index"} & set(card_metadata({**RDF, "config": {}}))


def test_what_nobody_told_is_left_out():
    bare = {key: RDF[key] for key in ("name", "description", "license")}
    zenodo = zenodo_metadata(published_facts({**bare, "authors": [{"name": "Ann"}]}))
    assert zenodo["creators"] == [{"name": "Ann"}]
    assert not {"keywords", "references", "related_identifiers", "version"} & set(zenodo)


def test_markup_and_bars_are_text():
    facts = published_facts({**RDF, "description": "a < b | c"})
    assert zenodo_metadata(facts)["description"] == "<p>a &lt; b | c</p>"
    assert "a < b \\| c" in readme_row(facts, link="", doi="")

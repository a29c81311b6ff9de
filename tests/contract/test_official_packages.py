"""Packages of the zoo's models, described by their entries alone."""

import html
from dataclasses import replace

import pytest

from tests.compat.canned import untested_package
from tests.compat.packages import inputs
from tests.helpers.empty_phrases import empty_phrases
from tests.helpers.publications import publication
from tests.unit.zoo.test_entries import OFFICIAL
from unifmir.export.credit import Credit, MeasuredCost, parse_maintainer, parse_person
from unifmir.export.formats.bioimageio.card import credited_card, default_card
from unifmir.export.formats.bioimageio.lint import Package, read_package
from unifmir.export.formats.bioimageio.missing_facts import completeness, missing_facts
from unifmir.export.formats.bioimageio.score import PARTNERS_COUNTED, TARGET
from unifmir.tasks import multitask_parts
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.entry_credit import completed_credit
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.schema import ZenodoSource
from unifmir.zoo.publish.model_card import card_metadata, model_card
from unifmir.zoo.publish.published_facts import published_facts, readme_row, zenodo_metadata

QUICK = "unifmir-sr-microtubules"
PUBLISHER = Credit(
    measured_costs=(MeasuredCost("3 ms on a machine", "4 MB on a machine"),),
    packaged_by=(parse_person("Ada Author <ada@example.org>"),),
    maintainers=(parse_maintainer("ada-hub <ada@example.org>"),),
)
"""What only the one who publishes can say."""


@pytest.fixture(scope="module")
def package(request, tmp_path_factory) -> Package:
    """The package of a small network that an entry describes."""
    model_id, _, task = request.param.partition(" ")
    entry = find(model_id)
    task = task or entry.task
    folder = tmp_path_factory.mktemp("package")
    given = inputs(task, folder / "inputs")
    # A report of another file, as `unifmir export` gives one: its figures are facts too.
    report = {"format": "onnx", "precision": "fp32", "passed": True, "cases": []}
    bare = replace(given.card, git_repo="", licence="")
    card = credited_card(bare, completed_credit(PUBLISHER, entry, task))
    made = untested_package(replace(given, card=card, reports=(report,)), folder / "p.zip")
    return read_package(made.path)


every_package = pytest.mark.parametrize(
    "package",
    [
        pytest.param(name, marks=[] if name == QUICK else [pytest.mark.slow])
        for name in sorted(OFFICIAL)
    ],
    indirect=True,
)


with_embedded = pytest.mark.parametrize(
    "package",
    [
        pytest.param(name, marks=[] if name == QUICK else [pytest.mark.slow])
        for name in (*sorted(OFFICIAL), *(f"{EMBEDDED} {task}" for task in multitask_parts()))
    ],
    indirect=True,
)


@every_package
def test_the_expected_score_reaches_the_target_with_the_entrys_facts(package: Package):
    # Format, core and two of three partners are whole, which test_package_statements.py holds,
    # where a package of every task is really tested.
    # Two entries have no licence, for which `unifmir publish` asks.
    rdf = {"license": "CC-BY-4.0", **package.rdf}
    total = 0.25 * (2 + 2 / PARTNERS_COUNTED + completeness(rdf))
    print(f"{package.rdf['name']}: {total:.4f}, completeness {completeness(rdf):.4f}")
    assert total >= TARGET


@with_embedded
def test_no_field_holds_a_phrase_in_place_of_a_fact(package: Package):
    assert empty_phrases(package) == []


@every_package
def test_the_training_is_the_papers_and_says_so(package: Package):
    training = package.rdf["config"]["bioimageio"]["training"]
    assert training["training_epochs"] == 500
    assert training["initial_learning_rate"] == 5e-5
    assert training["optimizer_kwargs"] == {"betas": [0.9, 0.999]}
    text = package.files["README.md"].decode("utf-8")
    assert "Source: Ma et al. 2024" in text
    assert "https://doi.org/10.5281/zenodo.8401470" in text
    assert "### Recommended settings" in text


@every_package
def test_people_licence_and_citations_are_complete(package: Package, request):
    rdf, entry = package.rdf, find(request.node.callspec.params["package"])
    assert [one["name"] for one in rdf["authors"]] == list(find("unifmir-sr-er").authors)
    assert rdf["maintainers"] == [{"github_user": "ada-hub", "email": "ada@example.org"}]
    assert rdf.get("license") == entry.licence
    assert ("No licence of the weights" in package.files["README.md"].decode("utf-8")) == (
        entry.licence is None
    )
    cited = [one["doi"] for one in rdf["cite"]]
    assert {"10.1038/s41592-024-02244-3", "10.5281/zenodo.8401470", *entry.cite} <= set(cited)
    assert len(cited) == len(set(cited))
    if isinstance(entry.source, ZenodoSource):
        (own,) = (one for one in rdf["cite"] if one["doi"] == entry.source.doi)
        assert own["text"] == f"{', '.join(entry.authors)}. {entry.title} (weights). Zenodo."
    assert rdf["git_repo"] == "https://github.com/cxm12/UniFMIR"


@pytest.mark.parametrize(
    "package",
    [
        pytest.param(name, marks=[] if name == QUICK else [pytest.mark.slow])
        for name in sorted(OFFICIAL)
        if find(name).licence is not None
    ],
    indirect=True,
)
def test_every_place_says_what_the_entry_says(package: Package, request, tmp_path):
    entry = find(request.node.callspec.params["package"])
    assert entry.package is not None
    assert entry.licence is not None
    facts, metadata = published_facts(package.rdf), card_metadata(package.rdf)
    zenodo, row = zenodo_metadata(facts), readme_row(facts, link="", doi="")
    card = model_card(publication(tmp_path, dict(package.files), package.rdf), metadata).decode()
    said = (entry.package.name, entry.package.description)
    assert (package.rdf["name"], package.rdf["description"]) == said
    assert (zenodo["title"], zenodo["description"]) == (said[0], f"<p>{html.escape(said[1])}</p>")
    assert [one["name"] for one in zenodo["creators"]] == list(entry.authors)
    licence = entry.licence.lower()
    assert (package.rdf["license"].lower(), zenodo["license"], metadata["license"]) == (
        licence,
        licence,
        licence,
    )
    works = {one.doi for one in entry.package.cite} | set(entry.cite)
    related = {one["identifier"] for one in zenodo["related_identifiers"]}
    assert works <= {one["doi"] for one in package.rdf["cite"]} & related
    assert all(work in card for work in works)
    assert entry.package.git_repo in related
    assert zenodo["keywords"] == package.rdf["tags"] == metadata["tags"][:-1]
    told = (*said, ", ".join(entry.authors), entry.licence, ", ".join(package.rdf["tags"]))
    assert row == f"| {' | '.join(told)} |  |"
    head = card.partition("## Description")[0]
    assert all(part in head for part in (*said, *entry.authors, entry.package.git_repo or ""))


@every_package
def test_no_figure_of_the_package_is_passed_off_as_the_papers(package: Package):
    text = package.files["README.md"].decode("utf-8")
    head, found, published = text.partition("### As published")
    assert "Ma et al. 2024, Extended Data" not in head
    assert bool(found) == ("Extended Data" in published)


@every_package
def test_what_the_entry_states_is_not_asked_for(package: Package):
    asked = {one.option for one in missing_facts(package.rdf)}
    assert not asked & {"--author PERSON", "--funded-by TEXT", "--repository ADDRESS"}


@pytest.mark.parametrize("model_id", sorted({*OFFICIAL, EMBEDDED}))
def test_a_licence_is_the_entrys_or_the_users_and_never_filled_in(model_id):
    entry = find(model_id)
    task = entry.tasks[0]
    card = default_card(task, name="A name", timestamp="", unifmir_version="")
    stated = credited_card(card, completed_credit(Credit(), entry, task))
    assert (card.licence, stated.licence) == ("", entry.licence or "")
    given = completed_credit(Credit(licence="CC0-1.0"), entry, task)
    assert credited_card(card, given).licence == "CC0-1.0"


def test_every_official_entry_states_a_package():
    for model_id in OFFICIAL:
        entry = find(model_id)
        assert entry.package is not None
        assert entry.training is not None
        assert entry.training.source.startswith("Ma et al. 2024")


def test_what_the_user_states_goes_before_the_entry():
    given = replace(PUBLISHER, funded_by="Another fund", git_repo="https://example.org/mine")
    credit = completed_credit(given, find(QUICK), "sr")
    assert (credit.funded_by, credit.git_repo) == ("Another fund", "https://example.org/mine")
    assert credit.packaged_by == PUBLISHER.packaged_by

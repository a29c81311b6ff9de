"""Facts that a package tells of itself, rendered for every place that shows them."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.export.credit import Citation, Person


@dataclass(frozen=True, slots=True)
class PublishedFacts:
    """Facts of a package that every place shows."""

    title: str
    description: str
    licence: str
    """SPDX identifier."""
    authors: tuple[Person, ...]
    cite: tuple[Citation, ...]
    tags: tuple[str, ...]
    version: str
    repository: str
    """Web address; empty where none is named."""


def published_facts(rdf: Mapping[str, Any]) -> PublishedFacts:
    """The facts of a package's description."""
    return PublishedFacts(
        title=str(rdf["name"]),
        description=str(rdf["description"]),
        licence=str(rdf["license"]),
        authors=tuple(
            Person(str(one["name"]), str(one.get("affiliation") or ""), str(one.get("orcid") or ""))
            for one in rdf.get("authors") or []
        ),
        cite=tuple(
            Citation(str(one["text"]), str(one.get("doi") or ""), str(one.get("url") or ""))
            for one in rdf.get("cite") or []
        ),
        tags=tuple(map(str, rdf.get("tags") or [])),
        version=str(rdf.get("version") or ""),
        repository=str(rdf.get("git_repo") or ""),
    )


def zenodo_metadata(facts: PublishedFacts) -> dict[str, Any]:
    """Metadata of a deposition as Zenodo takes them; what nobody told is left out."""
    related = [
        {"identifier": one.doi, "relation": "cites", "scheme": "doi"}
        for one in facts.cite
        if one.doi
    ]
    if facts.repository:
        related.append(
            {"identifier": facts.repository, "relation": "isSupplementTo", "scheme": "url"}
        )
    found = {
        "title": facts.title,
        "upload_type": "software",
        "description": f"<p>{html.escape(facts.description)}</p>",
        "creators": [
            {key: value for key, value in _creator(author).items() if value}
            for author in facts.authors
        ],
        "access_right": "open",
        "license": facts.licence.lower(),
        "keywords": list(facts.tags),
        "references": [str(one) for one in facts.cite],
        "related_identifiers": related,
        "version": facts.version,
        "prereserve_doi": True,
    }
    return {key: value for key, value in found.items() if value}


def readme_row(facts: PublishedFacts, *, link: str, doi: str) -> str:
    """A row of Markdown for the table of models in a README: title, authors, licence, place."""
    names = ", ".join(author.name for author in facts.authors)
    place = f"[{doi}](https://doi.org/{doi})" if doi else f"[{link}]({link})" if link else ""
    cells = (facts.title, facts.description, names, facts.licence, ", ".join(facts.tags), place)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _creator(author: Person) -> dict[str, str]:
    return {"name": author.name, "affiliation": author.affiliation, "orcid": author.orcid}

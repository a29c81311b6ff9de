"""BioImage.IO packages of format 0.4, whose weights are TorchScript alone, as models of the zoo.

Of the old description only what an entry can say is read, each part by its type and within bounds;
the weights are read by `unifmir.checkpoint.script_archive`, and the program is never run.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from unifmir.checkpoint.model_package import read_description
from unifmir.checkpoint.sniffing import description_of
from unifmir.errors import ArchiveError, CheckpointError, ExportError, ZooError
from unifmir.export.credit import parse_person
from unifmir.json_values import JsonValues, Matching, read_values
from unifmir.zip_archive import is_zip, opened_zip
from unifmir.zoo.catalogue.adding import Description, add_checkpoint, give_file
from unifmir.zoo.catalogue.index import entries
from unifmir.zoo.catalogue.schema import ZenodoSource, ZooEntry

FORMATS = re.compile(r"0\.[34](\.\d{1,4})?")
"""Versions that are read here; packages of 0.5 are given with --file."""
MOST_PEOPLE = 100
_DOI = re.compile(r"10\.\d{4,9}/\S{1,200}")

Line = Annotated[str, Matching(r"[^\n]{1,300}", "one line of at most 300 characters")]
Words = Annotated[str, Matching(r"(?s).{0,5000}", "text of at most 5,000 characters")]


@dataclass(frozen=True, slots=True)
class OldAuthor(JsonValues):
    """An author in the old description."""

    name: Line
    affiliation: Line | None = None
    orcid: Line | None = None
    email: Line | None = None
    github_user: Line | None = None

    def person(self) -> str:
        """Text of the person as `parse_person` reads it; what does not fit that is left out."""
        text = self.name.strip()
        user = f"@{self.github_user}" if self.github_user else None
        for part in (self.orcid, self.email, user):
            if part and _is_person(longer := f"{text} <{part}>"):
                text = longer
        # Brackets end the name, empty ones too.
        if "<" not in text and (self.affiliation or "," in text):
            text = f"{text} <>"
        if self.affiliation and _is_person(longer := f"{text} {self.affiliation}"):
            text = longer
        return text


@dataclass(frozen=True, slots=True)
class OldCitation(JsonValues):
    """A work that the old description cites."""

    text: Words = ""
    doi: Line | None = None
    url: Line | None = None


@dataclass(frozen=True, slots=True)
class OldPackage(JsonValues):
    """Facts in an old description that an entry can say."""

    format_version: Line
    name: Line
    description: Words = ""
    authors: tuple[OldAuthor, ...] = ()
    cite: tuple[OldCitation, ...] = ()
    license: Line | None = None
    id: Line | None = None
    nickname: Line | None = None
    """Id in the zoo, an adjective and an animal."""

    def dois(self) -> list[str]:
        """DOIs that it cites."""
        found = (one.doi for one in self.cite if one.doi)
        return [doi for doi in found if _DOI.fullmatch(doi)]


def read_old_package(path: Path) -> OldPackage:
    """Facts in the description of an old package.

    Raises
    ------
    ZooError
        It is no package, of a newer format, or its description is malformed.
    """
    try:
        if not is_zip(path):
            raise CheckpointError("it is no zip archive")
        with opened_zip(path) as archive:
            name = description_of(archive.members)
            if name is None:
                raise CheckpointError("it has no rdf.yaml")
            content = read_description(archive, name)
        found = read_values(OldPackage, _selected(content))
        _require_shown_as_is(json.dumps(found.to_dict(), ensure_ascii=False))
        return found
    except (CheckpointError, ArchiveError, OSError) as error:
        raise ZooError(f"{path.name} is no BioImage.IO package of format 0.4: {error}") from error


def add_package(path: Path, about: Description, *, replace: bool = False) -> ZooEntry:
    """Add the model in an old package; one of the official models gets its file by it.

    Parameters
    ----------
    path : Path
    about : Description
        What goes before the package's own words.
    replace : bool
        Put it in the place of a file that the official model was given before.

    Raises
    ------
    ZooError
        It is no such package, lacks a fact that nobody gives, or its id is taken.
    CheckpointError
        Its weights are those of no network that is known.
    """
    old = read_old_package(path)
    if about["id"] is None and (official := _official(old)) is not None:
        return give_file(official.id, path, replace=replace)
    if not about["dataset"]:
        raise ZooError(
            f"{path.name} does not say what its model was trained on: give it with --dataset TEXT"
        )
    slug = re.sub(r"[^a-z0-9]+", "-", (old.nickname or old.name).lower()).strip("-")[:64]
    return add_checkpoint(
        path,
        {
            **about,
            "id": about["id"] or slug,
            "title": about["title"] or old.name,
            "authors": about["authors"] or [one.person() for one in old.authors],
            "licence": about["licence"] or old.license,
            "notes": about["notes"] or old.description or None,
        },
        cite=old.dois(),
    )


def _official(old: OldPackage) -> ZooEntry | None:
    """The packaged entry whose weights were published in this package."""
    for entry in entries().values():
        stated, source = entry.package, entry.source
        if stated and stated.derived_from and stated.derived_from == old.nickname:
            return entry
        if isinstance(source, ZenodoSource) and old.id and source.doi in old.id:
            return entry
    return None


def _selected(content: dict[str, Any]) -> dict[str, Any]:
    """The parts of a description that are read."""
    version = content.get("format_version")
    if not FORMATS.fullmatch(str(version)):
        raise CheckpointError(
            f"it is of format {str(version)[:40]}; give packages of format 0.5 with --file"
        )
    if content.get("type", "model") != "model":
        raise CheckpointError(f"it is a {str(content['type'])[:40]}, no model")
    found = {
        name: content[name]
        for name in ("format_version", "name", "description", "license", "id")
        if content.get(name) is not None
    }
    found["authors"] = list(_parts(content, "authors", OldAuthor))
    found["cite"] = list(_parts(content, "cite", OldCitation))
    nickname: Any = content.get("config")
    for name in ("bioimageio", "nickname"):
        nickname = nickname.get(name) if isinstance(nickname, dict) else None
    return {**found, "nickname": nickname}


def _require_shown_as_is(text: str) -> None:
    """Refuse letters that are not seen, or turn around those that are: an entry repeats them."""
    if unseen := sorted({letter for letter in text if not letter.isprintable()}):
        raise CheckpointError(f"its words have letters that cannot be shown: {unseen[:5]}")


def _parts(content: dict[str, Any], name: str, kind: type[JsonValues]) -> Iterator[dict[str, Any]]:
    """Entries of a list, each with the fields of its type."""
    listed = content.get(name) or []
    if not isinstance(listed, list) or len(listed) > MOST_PEOPLE:
        raise CheckpointError(f"its {name} is no list of at most {MOST_PEOPLE}")
    known = kind.__dataclass_fields__
    for one in listed:
        if not isinstance(one, dict):
            raise CheckpointError(f"its {name} has a {type(one).__name__}, expected a mapping")
        yield {key: value for key, value in one.items() if key in known and value is not None}


def _is_person(text: str) -> bool:
    try:
        parse_person(text)
    except ExportError:
        return False
    return True

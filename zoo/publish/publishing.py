"""A package published: planned, sent, looked at, taken back; each with the record beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from unifmir.errors import ZooError
from unifmir.file_locks import held
from unifmir.json_values import JsonOutput
from unifmir.zoo.publish.destination import Destination, PlannedCall, SendOptions, Standing, Tell
from unifmir.zoo.publish.destinations import DESTINATIONS
from unifmir.zoo.publish.publication import (
    Publication,
    PublishedScore,
    published_score,
    read_publication,
)
from unifmir.zoo.publish.published_facts import published_facts, readme_row
from unifmir.zoo.publish.submission import (
    Ledger,
    Submission,
    continued,
    read_submission,
    record_path,
)

PLAIN = SendOptions()


@dataclass(frozen=True, slots=True)
class DryRun(JsonOutput):
    """Plan of an upload, of which nothing is done."""

    record: Path
    """File of the submission."""
    package: Publication
    submission: Submission
    calls: tuple[PlannedCall, ...]
    score: PublishedScore | None
    """The score to expect; None where the place gives none."""
    readme_row: str
    """Row of Markdown for a table of models."""


def dry_run(package: Path, destination: str, *, options: SendOptions = PLAIN) -> DryRun:
    """Check a package, write the record of its submission, and list every call; asks no server.

    Parameters
    ----------
    package : Path
        The zip.
    destination : str
        A name in `DESTINATIONS`.
    options : SendOptions

    Raises
    ------
    ExportError
        The package breaks rules of the zoo.
    ZooError
        An earlier record does not fit, or the place lacks what the options ask for.
    """
    place = DESTINATIONS[destination]
    publication = read_publication(package)
    with _ledger(publication, place, options) as ledger:
        ledger.note()
        calls = place.calls(publication, ledger.now, options)
        score = published_score(publication) if place.has_score else None
        row = readme_row(published_facts(publication.rdf), link=ledger.now.link, doi=ledger.now.doi)
        return DryRun(ledger.path, publication, ledger.now, calls, score, row)


def upload(
    package: Path,
    destination: str,
    *,
    options: SendOptions = PLAIN,
    tell: Tell,
    show: Tell | None = None,
) -> Submission:
    """Do what is left of a package's submission, from where an earlier run ended.

    Parameters
    ----------
    package : Path
        The zip.
    destination : str
        A name in `DESTINATIONS`.
    options : SendOptions
    tell : callable
        Told, in one line, what is done now.
    show : callable, optional
        Shows a line to somebody who can log in; None where nobody watches.

    Raises
    ------
    ExportError
        The package breaks rules of the zoo: nothing is sent.
    ZooError
        A step failed, and nothing was published; the same call goes on from there.
    """
    place = DESTINATIONS[destination]
    publication = read_publication(package)
    with _ledger(publication, place, options) as ledger:
        token = place.token(options, show)
        ledger.note()
        place.send(publication, ledger, token, options, tell)
        return ledger.now


def standing(package: Path, destination: str, *, show: Tell | None = None) -> Standing:
    """Ask the server how a package's submission stands; changes nothing.

    Raises
    ------
    ZooError
        There is no submission, or the server cannot be had.
    """
    place = DESTINATIONS[destination]
    submission = _submitted(package, place)
    return place.standing(submission, place.token(_options_of(submission), show))


def withdraw(package: Path, destination: str, *, show: Tell | None = None) -> Standing:
    """Take a package's submission back; it stays on the server as a draft.

    Raises
    ------
    ZooError
        There is no submission, it is published, or the server cannot be had.
    """
    place = DESTINATIONS[destination]
    path = record_path(package, destination)
    with held(path):
        submission = _submitted(package, place)
        token = place.token(_options_of(submission), show)
        return place.withdraw(Ledger(path, submission), token)


def _submitted(package: Path, place: Destination) -> Submission:
    """The record of what was sent, at the server that the token is for."""
    path = record_path(package, place.name)
    found = read_submission(path)
    if found is None or not found.record:
        raise ZooError(
            f"{package.name} was not sent to {place.name} from here ({path.name} "
            f"{'names nothing on the server' if found else 'is missing'}): "
            f"`unifmir publish {package.name} --to {place.name} --upload` sends it"
        )
    server = place.server(_options_of(found))
    if (found.destination, found.server) != (place.name, server):
        raise ZooError(
            f"{path.name} is of {found.destination} at {found.server}, and your token is for "
            f"{place.title} at {server}: nothing was asked"
        )
    return found


def _options_of(submission: Submission) -> SendOptions:
    return SendOptions(sandbox=submission.place == "sandbox")


def _check_options(place: Destination, options: SendOptions) -> None:
    """Refuse options that mean nothing at a place."""
    for option in fields(options):
        if getattr(options, option.name) and option.name not in place.takes:
            raise ZooError(f"{place.title} has no --{option.name.replace('_', '-')}")


@contextmanager
def _ledger(publication: Publication, place: Destination, options: SendOptions) -> Iterator[Ledger]:
    """The record of a package's submission, held against other processes."""
    path = record_path(publication.path, place.name)
    _check_options(place, options)
    with held(path):
        fresh = place.plan(publication, options)
        earlier = read_submission(path)
        yield Ledger(path, fresh if earlier is None else continued(earlier, fresh))

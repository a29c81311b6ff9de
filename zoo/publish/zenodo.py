"""Zenodo: a package becomes a draft of a record, with its DOI reserved; publishing is the user's.

Asked by the deposit API (https://developers.zenodo.org). The package goes there as one file, as
programs open it, with its README beside it, which the site shows.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from unifmir.errors import ZooError
from unifmir.zoo.catalogue.connection_errors import Interrupted
from unifmir.zoo.catalogue.servers import ZENODO_URL, server_address
from unifmir.zoo.publish.access_token import Token, token_in
from unifmir.zoo.publish.creating import create_once
from unifmir.zoo.publish.destination import Destination, PlannedCall, SendOptions, Standing, Tell
from unifmir.zoo.publish.publication import Publication
from unifmir.zoo.publish.published_facts import published_facts, zenodo_metadata
from unifmir.zoo.publish.submission import (
    Ledger,
    Submission,
    SubmittedFile,
    new_submission,
)
from unifmir.zoo.publish.web_service import GO_ON, STORED_TRIES, WebService

URL_VARIABLE = "UNIFMIR_ZENODO_DEPOSIT_URL"
"""Address of another server with Zenodo's deposit API. Not that of a mirror to download from: the
token is sent there."""
SANDBOX_URL = "https://sandbox.zenodo.org"
SANDBOX_VARIABLE = "ZENODO_SANDBOX_TOKEN"
DEPOSITIONS = "/api/deposit/depositions"
RENEWAL = (
    "Make one at /account/settings/applications of the site, with the scope deposit:write, and "
    "set ZENODO_TOKEN (ZENODO_SANDBOX_TOKEN for the sandbox)"
)
MOST_LISTED = 100
_DOI = re.compile(r"10\.[0-9]{4,9}/[!-~]{1,200}")
_IDENTIFIER = re.compile(r"[0-9]{1,20}")


class Zenodo(Destination):
    """Drafts of records of the user's own account."""

    name = "zenodo"
    title = "Zenodo"
    variable = "ZENODO_TOKEN"
    takes = frozenset({"sandbox"})

    def server(self, options: SendOptions) -> str:
        """Zenodo's address, that of its sandbox, or of another server of its kind."""
        return server_address(URL_VARIABLE, SANDBOX_URL if options.sandbox else ZENODO_URL)

    def plan(self, publication: Publication, options: SendOptions) -> Submission:
        """The draft of a package."""
        return new_submission(
            publication,
            destination=self.name,
            server=self.server(options),
            place="sandbox" if options.sandbox else "deposit",
            metadata=zenodo_metadata(published_facts(publication.rdf)),
            files=publication.whole(),
        )

    def calls(
        self, publication: Publication, submission: Submission, options: SendOptions
    ) -> tuple[PlannedCall, ...]:
        """The requests of a first run, in order."""
        del publication, options
        own = f"{DEPOSITIONS}/{submission.record or '<id>'}"
        made = []
        if not submission.record:
            made.append(PlannedCall(f"POST {DEPOSITIONS}", _created(submission)))
        files = [
            PlannedCall(
                f"PUT <bucket>/{file.name}",
                {},
                size_bytes=file.size_bytes,
                note=f"its md5 compared; sha256 {file.sha256}",
            )
            for file in submission.missing
        ]
        return (
            *made,
            PlannedCall(f"GET {own}", {}),
            PlannedCall(f"GET {own}/files", {}),
            *files,
            PlannedCall(f"GET {own}/files", {}, note="sizes and md5 of all compared"),
            PlannedCall(
                f"PUT {own}", {"metadata": submission.metadata}, note="DOI reserved, not published"
            ),
        )

    def token(self, options: SendOptions, show: Tell | None) -> Token:
        """The token of ZENODO_TOKEN, or of ZENODO_SANDBOX_TOKEN for the sandbox."""
        del show
        variable = SANDBOX_VARIABLE if options.sandbox else self.variable
        found = token_in(variable)
        if found is None:
            raise ZooError(f"Zenodo: no token in the environment variable {variable}. {RENEWAL}")
        return found

    def send(
        self,
        publication: Publication,
        ledger: Ledger,
        token: Token,
        options: SendOptions,
        tell: Tell,
    ) -> None:
        """Create the draft once, store its files, say what they are."""
        del options
        service = _service(ledger.now, token)
        if not ledger.now.record:
            tell("creating the draft")
            _create(service, ledger)
        draft = _draft(service, ledger.now)
        if draft.get("submitted"):
            _refuse_published(ledger.now)
        bucket = _text(draft, "links", "bucket")
        there = _checksums(service, ledger.now)
        for file in ledger.now.files:
            content = publication.content(file.name)
            if there.get(file.name) != _md5(content):
                tell(f"sending {file.name}, {file.size_bytes:,} bytes")
                _store(service, bucket, file, content)
            ledger.note_stored(file.name, stored=True)
        _require_stored(service, ledger, publication)
        tell("saying what it is")
        told = service.ask("PUT", _own(ledger.now), {"metadata": ledger.now.metadata})
        doi = _text(told, "metadata", "prereserve_doi", "doi")
        if not _DOI.fullmatch(doi):
            raise ZooError(f"Zenodo reserved {doi[:80]!r}, which is no DOI. {GO_ON}")
        link = service.checked_place(_text(told, "links", "html"))
        ledger.note(state="submitted", doi=doi, link=link)

    def standing(self, submission: Submission, token: Token) -> Standing:
        """Whether the draft is published yet, and its files."""
        service = _service(submission, token)
        draft = _draft(service, submission)
        status = "published" if draft.get("submitted") else "draft"
        files = len(_checksums(service, submission))
        return Standing(
            self.name, submission.record, status, files, submission.link, doi=submission.doi
        )

    def withdraw(self, ledger: Ledger, token: Token) -> Standing:
        """Refused: a draft on Zenodo is seen by nobody else."""
        del token
        raise ZooError(
            f"a draft on Zenodo is seen by you alone, and nothing needs to be taken back. It is "
            f"deleted on the site: {ledger.now.link or ledger.now.server}"
        )


ZENODO = Zenodo()


def _service(submission: Submission, token: Token) -> WebService:
    return WebService(Zenodo.title, submission.server, token, RENEWAL)


def _own(submission: Submission) -> str:
    """Path of a draft."""
    if not _IDENTIFIER.fullmatch(submission.record):
        raise ZooError(f"{submission.record[:80]!r} is no record of Zenodo: expected a number")
    return f"{DEPOSITIONS}/{submission.record}"


def _mark(key: str) -> str:
    """Note by which a draft is found again whose answer was lost; replaced at the end."""
    return f"unifmir publish {key}"


def _created(submission: Submission) -> dict[str, Any]:
    return {"metadata": {**submission.metadata, "notes": _mark(submission.key)}}


def _create(service: WebService, ledger: Ledger) -> None:
    """Create the draft, with a note by which it is found again."""
    record = create_once(
        ledger,
        look=lambda: _found(service, ledger.now.key),
        create=lambda: _number(service.ask_once("POST", DEPOSITIONS, _created(ledger.now))),
        unreachable=service.unreachable,
    )
    ledger.note(state="uploading", record=record)


def _number(draft: Any) -> str:
    """Number of a draft."""
    found = str(draft.get("id", "")) if isinstance(draft, dict) else ""
    if not _IDENTIFIER.fullmatch(found):
        raise Interrupted(f"Zenodo named no draft, but {str(draft)[:80]!r}")
    return found


def _found(service: WebService, key: str) -> str:
    """Number of the user's draft with a key in its notes, among the newest hundred."""
    query = f"?status=draft&sort=-mostrecent&size={MOST_LISTED}"
    listed = service.ask("GET", f"{DEPOSITIONS}{query}")
    if not isinstance(listed, list):
        raise ZooError("Zenodo's list of drafts is no list")
    found = [
        one
        for one in listed
        if isinstance(one, dict) and _mark(key) in str((one.get("metadata") or {}).get("notes"))
    ]
    if len(found) > 1:
        numbers = ", ".join(str(one.get("id")) for one in found)
        raise ZooError(
            f"Zenodo made {len(found)} drafts of one request ({numbers}): delete all but one on "
            "the site, and run the same command again"
        )
    return _number(found[0]) if found else ""


def _draft(service: WebService, submission: Submission) -> dict[str, Any]:
    found = service.ask("GET", _own(submission))
    if not isinstance(found, dict):
        raise ZooError(f"Zenodo answers {str(found)[:80]!r} when asked for {submission.record}")
    return found


def _refuse_published(submission: Submission) -> NoReturn:
    raise ZooError(
        f"{submission.record} is published on Zenodo: nothing was changed. Make a new version of "
        f"it on the site ({submission.link}), or move the record of this submission away to begin "
        "a record of its own"
    )


def _checksums(service: WebService, submission: Submission) -> dict[str, str]:
    """MD5 of the files that a draft has, by name."""
    listed = service.ask("GET", f"{_own(submission)}/files")
    if not isinstance(listed, list):
        raise ZooError("Zenodo's list of files is no list")
    return {
        str(one.get("filename")): str(one.get("checksum")).removeprefix("md5:")
        for one in listed
        if isinstance(one, dict)
    }


def _store(service: WebService, bucket: str, file: SubmittedFile, content: bytes) -> None:
    """Send a file until the server has what was sent, by its checksum."""
    expected, found = f"md5:{_md5(content)}", ""
    headers = {"Content-Type": "application/octet-stream"}
    for _ in range(STORED_TRIES):
        place = f"{bucket}/{quote(file.name, safe='')}"
        answer = service.put_file(place, content, headers, with_token=True)
        found = str(answer.get("checksum")) if isinstance(answer, dict) else ""
        if found == expected:
            return
    raise ZooError(
        f"{file.name} was sent {STORED_TRIES} times, and Zenodo has other bytes: expected "
        f"{expected}, found {found}. {GO_ON}"
    )


def _require_stored(service: WebService, ledger: Ledger, publication: Publication) -> None:
    """All files are there and no others, by the server's own list."""
    there = _checksums(service, ledger.now)
    wrong = [
        file.name
        for file in ledger.now.files
        if there.get(file.name) != _md5(publication.content(file.name))
    ]
    for name in wrong:
        ledger.note_stored(name, stored=False)
    if wrong:
        raise ZooError(f"Zenodo lists other bytes of {', '.join(wrong)}. {GO_ON}")
    if others := sorted(set(there) - {file.name for file in ledger.now.files}):
        raise ZooError(
            f"the draft {ledger.now.record} also holds {', '.join(others)[:200]}: remove what does "
            f"not belong there on the site ({ledger.now.link or ledger.now.server}). {GO_ON}"
        )


def _md5(content: bytes) -> str:
    """Checksum as Zenodo keeps it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _text(values: Any, *path: str) -> str:
    """A text inside an answer."""
    found = values
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, str) or not found:
        raise ZooError(f"Zenodo's answer has no {'.'.join(path)}. {GO_ON}")
    return found

"""The BioImage Model Zoo: a package becomes a draft that its reviewers are asked to look at.

The steps are those of the site's own scripts (August 2026). Publishing itself is the reviewers'
step: nothing here can commit.
"""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from unifmir.errors import ZooError
from unifmir.zoo.catalogue.servers import server_address
from unifmir.zoo.publish import hypha
from unifmir.zoo.publish.access_token import Token, token_in
from unifmir.zoo.publish.creating import create_once
from unifmir.zoo.publish.destination import Destination, PlannedCall, SendOptions, Standing, Tell
from unifmir.zoo.publish.publication import Publication
from unifmir.zoo.publish.server_report import report_lines
from unifmir.zoo.publish.submission import Ledger, Submission, SubmittedFile, new_submission
from unifmir.zoo.publish.web_service import STORED_TRIES, WebService

logger = logging.getLogger(__name__)

URL_VARIABLE = "UNIFMIR_HYPHA_URL"
"""Address of another Hypha server."""
HYPHA_URL = "https://hypha.aicell.io"
COLLECTION = "bioimage-io/bioimage.io"
ALIAS = "{animal_adjective}-{animal}"
"""Pattern of the names that the server gives."""
RUNNER = "/bioimage-io/services/model-runner"
RENEWAL = (
    "Get a new one at https://bioimage.io (log in, copy it from your profile) and set HYPHA_TOKEN"
)
POLL_S = 10.0
TEST_S = 3600.0
"""Time that the server's test may take; the site's own limit is some minutes."""
MAX_REPORT_BYTES = 500_000
"""Limit of the report of a test that is kept; they have some 20,000."""
_OPEN = ("draft", "in-revision")
"""States in which a draft may be changed by its authors."""


class BioImageIO(Destination):
    """Drafts in the zoo's collection, on its Hypha server."""

    name = "bioimageio"
    title = "BioImage Model Zoo"
    variable = "HYPHA_TOKEN"
    has_score = True
    takes = frozenset({"skip_test"})

    def server(self, options: SendOptions) -> str:
        """Hypha's address, or that of another server of its kind."""
        del options
        return server_address(URL_VARIABLE, HYPHA_URL)

    def plan(self, publication: Publication, options: SendOptions) -> Submission:
        """The draft of a package."""
        return new_submission(
            publication,
            destination=self.name,
            server=self.server(options),
            place=f"{COLLECTION}/{ALIAS}",
            metadata=publication.rdf,
            files=publication.files,
        )

    def calls(
        self, publication: Publication, submission: Submission, options: SendOptions
    ) -> tuple[PlannedCall, ...]:
        """The calls of a first run, in order."""
        del publication
        artifact = submission.record or f"{COLLECTION.partition('/')[0]}/{ALIAS}"
        permissions = {"<each reviewer of the collection>": "rw+"}
        before = [PlannedCall("read", hypha.read_arguments(COLLECTION, stage=False))]
        if not submission.record:
            before.append(PlannedCall("create", create_arguments(submission, permissions)))
        before.append(PlannedCall("read", hypha.read_arguments(artifact, stage=True)))
        before.append(PlannedCall("list_files", hypha.list_arguments(artifact)))
        there = [
            call for file in submission.files if file.stored for call in _read_back(artifact, file)
        ]
        files = [call for file in submission.missing for call in _file_calls(artifact, file)]
        test = [] if options.skip_test else _test_calls(artifact)
        manifest = {**submission.metadata, "status": "in-review"}
        return (
            *before,
            *there,
            *files,
            *test,
            PlannedCall("read", hypha.read_arguments(artifact, stage=True)),
            PlannedCall("edit", hypha.edit_arguments(artifact, manifest), note="never commit"),
        )

    def token(self, options: SendOptions, show: Tell | None) -> Token:
        """The token of HYPHA_TOKEN, or one that the user logs in for."""
        found = token_in(self.variable)
        if found is not None:
            return found
        if show is None:
            raise ZooError(
                f"{self.title}: no token. Set the environment variable HYPHA_TOKEN, or run the "
                "command in a terminal to log in"
            )
        service = WebService(self.title, self.server(options), None, RENEWAL)
        return hypha.login(service, show)

    def send(
        self,
        publication: Publication,
        ledger: Ledger,
        token: Token,
        options: SendOptions,
        tell: Tell,
    ) -> None:
        """Create the draft once, store its files, have it tested, hand it to the reviewers."""
        manager = _manager(ledger.now, token)
        tell(f"reading {COLLECTION}")
        collection = manager.read(COLLECTION, stage=False)
        if not ledger.now.record:
            tell("creating the draft")
            _create(manager, ledger, collection)
        draft = manager.read(ledger.now.record, stage=True)
        if _status(draft, ledger.now.record) == "in-review":
            _require_unchanged(ledger)
            ledger.note(state="submitted")
            return
        _require_open(draft, ledger.now.record)
        _store_files(manager, ledger, publication, tell)
        ledger.note(state="uploaded")
        if not options.skip_test:
            _require_passed_test(manager.service, ledger, tell)
        tell("handing the draft to the reviewers")
        _set_status(manager, ledger, "in-review")
        ledger.note(state="submitted")

    def standing(self, submission: Submission, token: Token) -> Standing:
        """The draft's status, and its files."""
        manager = _manager(submission, token)
        draft = manager.read(_record(submission), stage=True)
        return Standing(
            self.name,
            submission.record,
            _status(draft, submission.record),
            len(manager.file_names(submission.record)),
            submission.link,
            report=submission.report or None,
        )

    def withdraw(self, ledger: Ledger, token: Token) -> Standing:
        """Back to a draft that nobody is asked to look at."""
        manager = _manager(ledger.now, token)
        draft = manager.read(_record(ledger.now), stage=True)
        if _status(draft, ledger.now.record) not in (*_OPEN, "in-review"):
            _require_open(draft, ledger.now.record)
        _set_status(manager, ledger, "draft")
        ledger.note(state="uploaded" if not ledger.now.missing else "uploading")
        return self.standing(ledger.now, token)


BIOIMAGEIO = BioImageIO()


def create_arguments(submission: Submission, permissions: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of `create`: staged, under a name that the server chooses, overwriting nothing."""
    return {
        "parent_id": COLLECTION,
        "alias": ALIAS,
        "type": "model",
        "manifest": {**submission.metadata, "status": "draft"},
        "config": {"permissions": dict(permissions), "unifmir_submission": submission.key},
        "stage": True,
        "overwrite": False,
    }


def _manager(submission: Submission, token: Token) -> hypha.ArtifactManager:
    return hypha.ArtifactManager(WebService(BioImageIO.title, submission.server, token, RENEWAL))


def _record(submission: Submission) -> str:
    if not submission.record:
        raise ZooError(
            f"{submission.package} has no draft yet: `unifmir publish {submission.package} --to "
            f"{submission.destination} --upload` makes one"
        )
    return submission.record


def _create(manager: hypha.ArtifactManager, ledger: Ledger, collection: Mapping[str, Any]) -> None:
    """Create the draft, with rights for the reviewers."""
    permissions = dict.fromkeys(hypha.reviewers(collection), "rw+")
    if not permissions:
        logger.warning("%s names no reviewers; the draft gets none", COLLECTION)
    arguments = create_arguments(ledger.now, permissions)
    record = create_once(
        ledger,
        look=lambda: _found_draft(manager, ledger),
        create=lambda: manager.create_draft(arguments),
        unreachable=manager.service.unreachable,
    )
    ledger.note(state="uploading", record=record, link=_link(ledger.now.server, record))


def _found_draft(manager: hypha.ArtifactManager, ledger: Ledger) -> str:
    """The draft that an earlier attempt made, though its answer was lost; empty if none did."""
    name = str(ledger.now.metadata.get("name", ""))
    found = manager.drafts_with_key(COLLECTION, name, ledger.now.key)
    if len(found) > 1:
        raise ZooError(
            f"the server made {len(found)} drafts of one request ({', '.join(found)}): ask at "
            "https://bioimage.io to remove all but one, and run the same command again"
        )
    return found[0] if found else ""


def _link(server: str, record: str) -> str:
    workspace, _, alias = record.partition("/")
    return f"{server}/{workspace}/artifacts/{alias}?stage=true"


def _status(draft: Mapping[str, Any], record: str) -> str:
    """The server's word for how a draft stands."""
    if not draft.get("staging") and draft.get("versions"):
        return "published"
    manifest = draft.get("manifest")
    if not isinstance(manifest, dict):
        raise ZooError(f"{record} has no manifest on the server: look at it there")
    return str(manifest.get("status", "draft"))


def _require_open(draft: Mapping[str, Any], record: str) -> None:
    status = _status(draft, record)
    if status not in _OPEN:
        raise ZooError(
            f"{record} is {status!r} on the server, expected one of {', '.join(_OPEN)}: nothing "
            "was changed. A published model is changed on the site, as a new version"
        )


def _require_unchanged(ledger: Ledger) -> None:
    if ledger.now.missing:
        raise ZooError(
            f"{ledger.now.record} is with the reviewers, and {ledger.now.package} is not what they "
            f"have ({len(ledger.now.missing)} files differ): take it back first, with --withdraw"
        )


def _store_files(
    manager: hypha.ArtifactManager, ledger: Ledger, publication: Publication, tell: Tell
) -> None:
    """Store what is missing, read each file back, and remove what the package does not have.

    Files of an earlier run are read back too: what became of them since is not known here.
    """
    record = ledger.now.record
    there = manager.file_names(record)
    for file in [one for one in ledger.now.files if one.stored]:
        tell(f"reading {file.name} back, {file.size_bytes:,} bytes")
        if file.name not in there or _stored(manager, record, file)[0] != file.sha256:
            logger.info("%s is not stored as it was sent; sending it again", file.name)
            ledger.note_stored(file.name, stored=False)
    for file in ledger.now.missing:
        tell(f"sending {file.name}, {file.size_bytes:,} bytes")
        _store(manager, record, file, publication.content(file.name))
        ledger.note_stored(file.name, stored=True)
    for name in sorted(there - {file.name for file in ledger.now.files}):
        manager.remove_file(record, name)


def _store(
    manager: hypha.ArtifactManager, record: str, file: SubmittedFile, content: bytes
) -> None:
    """Send a file until what is stored is what was sent."""
    found, size = "", 0
    for _ in range(STORED_TRIES):
        place = manager.place_for(record, file.name, file.download_weight)
        # The address is signed for a request without a type; another one, or form data, is refused
        # or stored with what is around it.
        manager.service.put_file(place, content, {"Content-Type": ""})
        found, size = _stored(manager, record, file)
        if found == file.sha256:
            return
        logger.info("%s was stored as %d other bytes; sending it again", file.name, size)
    raise ZooError(
        f"{file.name} was sent {STORED_TRIES} times, and the server has other bytes: expected "
        f"sha256 {file.sha256} and {file.size_bytes} bytes, found {found} and {size}. The draft "
        "is not handed in; run the same command again later"
    )


def _stored(manager: hypha.ArtifactManager, record: str, file: SubmittedFile) -> tuple[str, int]:
    """Hash and size of a file as the server has it."""
    return manager.service.sha256_at(manager.place_of(record, file.name), file.size_bytes)


def _require_passed_test(service: WebService, ledger: Ledger, tell: Tell) -> None:
    """Have the server test the draft, in its own runtime, and note what it found."""
    alias = ledger.now.record.rpartition("/")[2]
    if not ledger.now.test_run:
        tell("asking for the server's test")
        run = service.ask("POST", f"{RUNNER}/test", {"model_id": alias, "stage": True})
        ledger.note(test_run=str(run)[:200], report={})
    report = _report(service, ledger, tell)
    ledger.note(test_run="", report=report)
    if report.get("status") != "passed":
        for line in report_lines(report):
            tell(line)
        said = str(report.get("error") or report.get("status"))[:300]
        raise ZooError(
            f"the server's test of {ledger.now.record} did not pass ({said}); its report is in "
            f"{ledger.path.name}. The draft is not handed in: export the package again and run the "
            "same command, or hand it in as it is with --skip-test"
        )


def _report(service: WebService, ledger: Ledger, tell: Tell) -> dict[str, Any]:
    end = time.monotonic() + TEST_S
    tell("waiting for the server's test")
    while True:
        try:
            found = service.ask(
                "POST", f"{RUNNER}/get_test_status", {"test_run_id": ledger.now.test_run}
            )
        except ZooError:
            ledger.note(test_run="")  # forgotten there: the next run asks for another
            raise
        if not isinstance(found, dict):
            ledger.note(test_run="")
            raise ZooError(f"the server answers {str(found)[:80]!r} when asked for its test")
        if found.get("completed_at") is not None:
            result = found.get("result")
            if not isinstance(result, dict):
                return {"error": "the server has no result"}
            if len(json.dumps(result)) > MAX_REPORT_BYTES:  # the record is read again
                said = str(result.get("status"))[:80]
                return {"status": said, "error": f"more than {MAX_REPORT_BYTES} bytes"}
            return result
        if time.monotonic() > end:
            raise ZooError(
                f"the server's test of {ledger.now.record} has not ended within {TEST_S / 60:g} "
                "minutes: run the same command again later, it goes on waiting"
            )
        time.sleep(POLL_S)


def _set_status(manager: hypha.ArtifactManager, ledger: Ledger, status: str) -> None:
    """Say what the package says of itself, and how the draft stands; keep what the site added."""
    record = ledger.now.record
    manifest = manager.read(record, stage=True).get("manifest")
    manifest = manifest if isinstance(manifest, dict) else {}
    for name in ledger.now.dropped:
        manifest.pop(name, None)
    manager.edit_draft(record, {**manifest, **ledger.now.metadata, "status": status})


def _file_calls(artifact: str, file: SubmittedFile) -> list[PlannedCall]:
    return [
        PlannedCall("put_file", hypha.put_arguments(artifact, file.name, file.download_weight)),
        PlannedCall(
            "PUT",
            {"url": "<what put_file answers>", "headers": {"Content-Type": ""}},
            size_bytes=file.size_bytes,
            note=f"sha256 {file.sha256}",
        ),
        *_read_back(artifact, file),
    ]


def _read_back(artifact: str, file: SubmittedFile) -> list[PlannedCall]:
    return [
        PlannedCall("get_file", hypha.get_arguments(artifact, file.name)),
        PlannedCall(
            "GET", {"url": "<what get_file answers>"}, note="read back, its sha256 compared"
        ),
    ]


def _test_calls(artifact: str) -> list[PlannedCall]:
    alias = artifact.rpartition("/")[2]
    return [
        PlannedCall("model-runner.test", {"model_id": alias, "stage": True}),
        PlannedCall(
            "model-runner.get_test_status",
            {"test_run_id": "<what test answers>"},
            note=f"every {POLL_S:g} s until it has completed; goes on only if it passed",
        ),
    ]

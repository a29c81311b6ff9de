"""A place to publish at: a shelf of books on a server, and that server with its faults."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.faulty_server import FaultyHandler, Refusal, Script, serving_faults
from unifmir.errors import ZooError
from unifmir.zoo.catalogue.servers import server_address
from unifmir.zoo.publish.access_token import Token, token_in
from unifmir.zoo.publish.creating import create_once
from unifmir.zoo.publish.destination import Destination, PlannedCall, SendOptions, Standing, Tell
from unifmir.zoo.publish.publication import Publication
from unifmir.zoo.publish.submission import Ledger, Submission, new_submission
from unifmir.zoo.publish.web_service import GO_ON, WebService

TOKEN = "a-token-for-the-shelf"
URL_VARIABLE = "TOY_SHELF_URL"


class ToyShelf(Destination):
    """Books, of which each holds the files of one package."""

    name = "toy-shelf"
    title = "Toy shelf"
    variable = "TOY_SHELF_TOKEN"

    def server(self, options: SendOptions) -> str:
        """The shelf's address."""
        del options
        return server_address(URL_VARIABLE, "https://shelf.example")

    def plan(self, publication: Publication, options: SendOptions) -> Submission:
        """The book of a package."""
        return new_submission(
            publication,
            destination=self.name,
            server=self.server(options),
            place="shelf",
            metadata={"name": publication.rdf["name"]},
            files=publication.files,
        )

    def calls(
        self, publication: Publication, submission: Submission, options: SendOptions
    ) -> tuple[PlannedCall, ...]:
        """The requests of a first run."""
        del publication, options
        files = (PlannedCall("PUT", {"name": f.name}, f.size_bytes) for f in submission.missing)
        return (PlannedCall("POST", {"key": "..."}), *files, PlannedCall("GET", {}))

    def token(self, options: SendOptions, show: Tell | None) -> Token:
        """The token of TOY_SHELF_TOKEN."""
        del options, show
        if (found := token_in(self.variable)) is None:
            raise ZooError(f"no token in {self.variable}")
        return found

    def send(
        self,
        publication: Publication,
        ledger: Ledger,
        token: Token,
        options: SendOptions,
        tell: Tell,
    ) -> None:
        """Make the book once, and store what it lacks."""
        del options
        service = WebService(self.title, ledger.now.server, token, "Make a new one")
        if not ledger.now.record:
            tell("making the book")
            record = create_once(
                ledger,
                look=lambda: str(service.ask("GET", "/books").get(ledger.now.key, "")),
                create=lambda: str(service.ask_once("POST", "/books", {"key": ledger.now.key})),
                unreachable=service.unreachable,
            )
            ledger.note(state="uploading", record=record)
        book = f"/books/{ledger.now.record}"
        there = service.ask("GET", book)
        for file in ledger.now.files:
            if there.get(file.name) != file.sha256:
                place = f"{ledger.now.server}{book}/{file.name}"
                content = publication.content(file.name)
                service.put_file(place, content, {"Content-Type": "text/plain"}, with_token=True)
        there = service.ask("GET", book)
        for file in ledger.now.files:
            ledger.note_stored(file.name, stored=there.get(file.name) == file.sha256)
        if ledger.now.missing:
            raise ZooError(f"{self.title} has other bytes. {GO_ON}")
        ledger.note(state="submitted")

    def standing(self, submission: Submission, token: Token) -> Standing:
        """The book's files."""
        service = WebService(self.title, submission.server, token, "Make a new one")
        files = service.ask("GET", f"/books/{submission.record}")
        return Standing(self.name, submission.record, "draft", len(files), "")

    def withdraw(self, ledger: Ledger, token: Token) -> Standing:
        """Nothing to take back."""
        return self.standing(ledger.now, token)


TOY_SHELF = ToyShelf()


@dataclass
class Shelf(Script):
    """Books that lie on the server."""

    books: dict[str, dict[str, bytes]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    token: str = TOKEN


class ShelfHandler(FaultyHandler):
    """The shelf's own server."""

    def get(self) -> None:
        """List the books, or the hashes of the files of one."""
        self.served("list" if self.path == "/books" else "read", b"")

    def post(self, body: bytes) -> None:
        """Make a book."""
        self.served("create", body)

    def put(self) -> None:
        """Store a file."""
        self.served("PUT", None)

    def served(self, step: str, body: bytes | None) -> None:
        """Serve one request, with what goes wrong."""
        shelf = self.server.script
        assert isinstance(shelf, Shelf)
        kind = shelf.fault_at(step)
        body = self.sent(kind) if body is None else body
        if self.before(kind):
            return
        shelf.asked.append((step, {"path": self.path}))
        try:
            if self.headers.get("Authorization") != f"Bearer {shelf.token}":
                raise Refusal(401, "unauthorised")
            status, found = 200, self.done(shelf, step, body, kind)
        except Refusal as refusal:
            status, found = refusal.status, {"detail": refusal.detail}
        self.answer(status, json.dumps(found).encode(), kind)

    def done(self, shelf: Shelf, step: str, body: bytes, kind: str) -> Any:
        """The answer to one request."""
        number, _, name = self.path.removeprefix("/books").strip("/").partition("/")
        if step == "list":
            return shelf.keys
        if step == "create":
            number = f"b{len(shelf.books)}"
            shelf.books[number] = {}
            shelf.keys[json.loads(body)["key"]] = number
            return number
        if step == "read":
            files = shelf.books[number].items()
            return {name: hashlib.sha256(data).hexdigest() for name, data in files}
        shelf.books[number][name] = body[:-1] if kind == "short" else body
        return {}


@contextmanager
def shelf_serving() -> Iterator[Shelf]:
    """The server, running meanwhile."""
    with serving_faults(ShelfHandler, Shelf()) as script:
        yield script

"""Zenodo's deposit API on this machine, and its faults; to publish there is a test's error."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.helpers.faulty_server import FaultyHandler, Refusal, Script, serving_faults
from tests.helpers.publications import without_waiting
from unifmir.zoo.publish import zenodo

TOKEN = "zenodo-token-of-sixty-letters-or-so"
STEPS = ("create", "read", "files", "PUT", "metadata")
"""Steps of a submission that the server can fail at."""
DEPOSITIONS = "/api/deposit/depositions"


@dataclass
class Deposits(Script):
    """Drafts that lie on the server."""

    drafts: dict[int, dict[str, Any]] = field(default_factory=dict)
    stored: dict[int, dict[str, bytes]] = field(default_factory=dict)
    token: str = TOKEN

    def used(self, patch: pytest.MonkeyPatch) -> None:
        """Let this server be asked, with its token, and nothing be waited for."""
        patch.setenv(zenodo.URL_VARIABLE, self.url)
        patch.setenv("ZENODO_TOKEN", self.token)
        without_waiting(patch)

    def shown(self, number: int) -> dict[str, Any]:
        """A draft as the API shows it."""
        own = f"{self.url}{DEPOSITIONS}/{number}"
        return {
            **self.drafts[number],
            "id": number,
            "links": {
                "self": own,
                "bucket": f"{self.url}/api/files/{number}",
                "html": f"{self.url}/deposit/{number}",
            },
        }

    def assert_one_draft(self, files: dict[str, bytes], title: str) -> None:
        """One draft of these files, described, its DOI reserved, unpublished."""
        ((number, draft),) = self.drafts.items()
        assert self.stored[number] == files
        assert draft["metadata"]["title"] == title
        assert "notes" not in draft["metadata"]
        assert not draft["submitted"]
        assert not self.forbidden


class _Handler(FaultyHandler):
    def get(self) -> None:
        """Serve drafts, one of them, or its files."""
        path = urlsplit(self.path).path
        last = path.rpartition("/")[2]
        step = {"files": "files", "depositions": "list"}.get(last, "read")
        self.served(step, b"", path)

    def post(self, body: bytes) -> None:
        """Serve the making of a draft."""
        path = urlsplit(self.path).path
        self.served("publish" if path.endswith("/publish") else "create", body, path)

    def put(self) -> None:
        """Serve a file or the metadata."""
        path = urlsplit(self.path).path
        step = "PUT" if path.startswith("/api/files/") else "metadata"
        self.served(step, None, path)

    @property
    def deposits(self) -> Deposits:
        assert isinstance(self.server.script, Deposits)
        return self.server.script

    def served(self, step: str, body: bytes | None, path: str) -> None:
        """Serve one request, with what goes wrong."""
        kind = self.deposits.fault_at(step)
        body = self.sent(kind) if body is None else body
        if self.before(kind):
            return
        try:
            if self.headers.get("Authorization") != f"Bearer {self.deposits.token}":
                raise Refusal(401, "unauthorised")
            self.deposits.asked.append((step, {"path": path}))
            status, answer = getattr(self, f"on_{step}")(path, body, kind)
        except Refusal as refusal:
            status, answer = refusal.status, {"message": refusal.detail}
        self.answer(status, json.dumps(answer).encode(), kind)

    def number(self, path: str) -> int:
        found = int(path.removeprefix(f"{DEPOSITIONS}/").partition("/")[0])
        if found not in self.deposits.drafts:
            raise Refusal(404, "no such draft")
        return found

    def on_create(self, _path: str, body: bytes, _kind: str) -> tuple[int, Any]:
        number = 100 + len(self.deposits.drafts)
        metadata = json.loads(body)["metadata"]
        doi = {"doi": f"10.5072/zenodo.{number}", "recid": number}
        self.deposits.drafts[number] = {
            "metadata": {**metadata, "prereserve_doi": doi},
            "submitted": False,
        }
        self.deposits.stored[number] = {}
        return 201, self.deposits.shown(number)

    def on_list(self, _path: str, _body: bytes, _kind: str) -> tuple[int, Any]:
        return 200, [self.deposits.shown(number) for number in self.deposits.drafts]

    def on_read(self, path: str, _body: bytes, _kind: str) -> tuple[int, Any]:
        return 200, self.deposits.shown(self.number(path))

    def on_files(self, path: str, _body: bytes, _kind: str) -> tuple[int, Any]:
        files = self.deposits.stored[self.number(path)]
        return 200, [
            {"filename": name, "filesize": len(data), "checksum": hashlib.md5(data).hexdigest()}
            for name, data in files.items()
        ]

    def on_PUT(self, path: str, body: bytes, kind: str) -> tuple[int, Any]:  # noqa: N802 - a step
        number, _, name = path.removeprefix("/api/files/").partition("/")
        stored = {"other": b"!" + body[1:], "short": body[:-1]}.get(kind, body)
        self.deposits.stored[int(number)][unquote(name)] = stored
        return 201, {
            "key": unquote(name),
            "size": len(stored),
            "checksum": f"md5:{hashlib.md5(stored).hexdigest()}",
        }

    def on_metadata(self, path: str, body: bytes, _kind: str) -> tuple[int, Any]:
        number = self.number(path)
        doi = self.deposits.drafts[number]["metadata"]["prereserve_doi"]
        metadata = {**json.loads(body)["metadata"], "prereserve_doi": doi}
        self.deposits.drafts[number]["metadata"] = metadata
        return 200, self.deposits.shown(number)

    def on_publish(self, path: str, _body: bytes, _kind: str) -> tuple[int, Any]:
        self.deposits.forbidden.append(path)
        return 202, {}


@contextmanager
def zenodo_serving() -> Iterator[Deposits]:
    """The server, running meanwhile."""
    with serving_faults(_Handler, Deposits()) as script:
        yield script

"""Hugging Face's hub on this machine, as huggingface_hub asks it, and its faults.

A repository that becomes public is an error of the test.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.helpers.faulty_server import FaultyHandler, Refusal, Script, serving_faults
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.publish import huggingface

TOKEN = "hf_tokenOfTheTestsWithSomeLetters"
STEPS = ("whoami", "create", "info", "tree", "preupload", "batch", "PUT", "commit")
"""Steps of a submission that the server can fail at."""
LARGE_BYTES = 10_000
"""Files from this size on are kept in the large file storage."""


@dataclass
class Repository:
    """One repository."""

    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    commits: int = 1

    @property
    def head(self) -> str:
        """Its last commit."""
        return f"{self.commits:040x}"


@dataclass
class Hub(Script):
    """Repositories that lie on the server."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    token: str = TOKEN

    def item(self, path: str, data: bytes) -> dict[str, Any]:
        """A file as the tree shows it."""
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        found: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git}
        if len(data) >= LARGE_BYTES:
            sha256 = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 134}
            found["oid"] = "0" * 40  # of the pointer, which is no hash of the content
        return found

    def used(self, patch: pytest.MonkeyPatch) -> None:
        """Let the library ask this server, with its token, and wait for nothing."""
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        # Before 2.0 the library reads addresses in answers by this one.
        patch.setattr("huggingface_hub.constants.ENDPOINT", self.url)
        patch.setenv(huggingface.URL_VARIABLE, self.url)
        patch.setenv("HF_TOKEN", self.token)
        patch.setattr(transfer, "BACKOFF_S", 0.0)
        patch.setattr(transfer, "ATTEMPTS", 2)
        patch.setattr("time.sleep", lambda _: None)  # between the library's own attempts

    def assert_one_private_repository(
        self, name: str, rdf: dict[str, Any], sent: dict[str, bytes]
    ) -> None:
        """The package's files and the card, seen by their owner alone."""
        assert list(self.repositories) == [name]
        files = dict(self.repositories[name].files)
        assert self.repositories[name].private
        assert not self.forbidden
        assert files.pop(".gitattributes") == b""
        card = files.pop("README.md").decode()
        assert files == {one: data for one, data in sent.items() if one != "README.md"}
        assert card.startswith("---\nlicense: ")
        assert rdf["description"] in card
        assert sent["README.md"].decode() in card


class _Handler(FaultyHandler):
    def get(self) -> None:
        """Serve who asks, a repository, or its files."""
        path = urlsplit(self.path).path
        step = "whoami" if path.endswith("/whoami-v2") else "tree" if "/tree/" in path else "info"
        self.served(step, b"", path)

    def post(self, body: bytes) -> None:
        """Serve what changes something."""
        path = urlsplit(self.path).path
        steps = {
            "/repos/create": "create",
            "/preupload/": "preupload",
            "/commit/": "commit",
            "/objects/batch": "batch",
            "/validate-yaml": "card",
        }
        step = next((step for part, step in steps.items() if part in path), "settings")
        self.served(step, body, path)

    def put(self) -> None:
        """Serve a large file."""
        self.served("PUT", None, urlsplit(self.path).path)

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server.script, Hub)
        return self.server.script

    def served(self, step: str, body: bytes | None, path: str) -> None:
        """Serve one request, with what goes wrong."""
        kind = self.hub.fault_at(step)
        body = self.sent(kind) if body is None else body
        if self.before(kind):
            return
        try:
            if step != "PUT" and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
                raise Refusal(401, "unauthorised")
            self.hub.asked.append((step, {"path": path}))
            answer = getattr(self, f"on_{step}")(path, body, kind)
            status = 200
        except Refusal as refusal:
            status, answer = refusal.status, {"error": refusal.detail}
        headers = {"Content-Type": "application/json"}
        if status == 404:
            headers["X-Error-Code"] = "RepoNotFound"
        self.answer(status, json.dumps(answer).encode(), kind, headers)

    def repository(self, path: str) -> Repository:
        name = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        if name not in self.hub.repositories:
            raise Refusal(404, "Repository not found")
        return self.hub.repositories[name]

    def on_whoami(self, _path: str, _body: bytes, _kind: str) -> Any:
        return {"name": "ann", "type": "user", "orgs": []}

    def on_create(self, _path: str, body: bytes, _kind: str) -> Any:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'ann'}/{asked['name']}"
        if name in self.hub.repositories:
            raise Refusal(409, "You already created this model repo")
        private = asked.get("private") is True or asked.get("visibility") == "private"
        if not private:
            self.hub.forbidden.append(f"public {name}")
        self.hub.repositories[name] = Repository(private)
        return {"url": f"{self.hub.url}/{name}"}

    def on_info(self, path: str, _body: bytes, _kind: str) -> Any:
        found = self.repository(path)
        name = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        return {"id": name, "private": found.private, "sha": found.head, "siblings": []}

    def on_tree(self, path: str, _body: bytes, _kind: str) -> Any:
        found = self.repository(path)
        return [self.hub.item(name, data) for name, data in found.files.items()]

    def on_card(self, _path: str, _body: bytes, _kind: str) -> Any:
        return {"errors": [], "warnings": []}

    def on_preupload(self, path: str, body: bytes, _kind: str) -> Any:
        self.repository(path)
        return {
            "files": [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["size"] >= LARGE_BYTES else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
        }

    def on_batch(self, _path: str, body: bytes, _kind: str) -> Any:
        return {
            "transfer": "basic",
            "objects": [
                {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ],
        }

    def on_PUT(self, path: str, body: bytes, kind: str) -> Any:  # noqa: N802 - a step
        self.hub.large[path.rpartition("/")[2]] = body[:-1] if kind == "short" else body
        return {}

    def on_commit(self, path: str, body: bytes, _kind: str) -> Any:
        repository = self.repository(path)
        for line in body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "header" and value.get("parentCommit") not in (None, repository.head):
                raise Refusal(412, "the branch has moved")
            if one["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.large[value["oid"]]
            elif one["key"] == "deletedFile":
                repository.files.pop(value["path"], None)
        repository.commits += 1
        return {
            "commitUrl": f"{self.hub.url}/ann/it/commit/{repository.head}",
            "commitOid": repository.head,
            "success": True,
        }

    def on_settings(self, path: str, _body: bytes, _kind: str) -> Any:
        self.hub.forbidden.append(path)


@contextmanager
def huggingface_serving() -> Iterator[Hub]:
    """The server, running meanwhile."""
    with serving_faults(_Handler, Hub()) as script:
        yield script

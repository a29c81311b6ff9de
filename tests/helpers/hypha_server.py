"""A Hypha server on this machine: artifact manager, signed storage, model runner, and their faults.

It behaves as hypha 0.21 does over HTTP where `unifmir publish` asks it, and keeps what no client of
ours may ever do: a commit, or an edit that is not staged, is an error of the test.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.helpers.faulty_server import FaultyHandler, Refusal, Script, serving_faults
from tests.helpers.publications import without_waiting
from unifmir.zoo.publish import bioimageio

TOKEN = "eyJ0ZXN0Ijp0cnVlfQ.c2VjcmV0LWxvb3BiYWNr.aHlwaGE"
STEPS = (
    *("read", "create", "list_files", "put_file", "PUT", "get_file", "GET", "test"),
    *("get_test_status", "edit"),
)
"""Steps of a submission that the server can fail at."""
COLLECTION = "bioimage-io/bioimage.io"
PERMISSIONS = {"*": "r", "@": "r+", "ann": "rw+", "ben": "rw", "cleo": "*", "dora": "r"}
ANIMALS = ("able-ant", "bold-bee", "calm-cat", "deep-dog")

PASSED: dict[str, Any] = {
    "status": "passed",
    "details": [
        {"name": "bioimageio.spec format validation model 0.5.7", "status": "passed", "errors": []},
        {"name": "Reproduce test outputs (onnx)", "status": "passed", "errors": []},
    ],
}
"""Result of the model runner, in the form of a summary of bioimageio.spec."""


@dataclass
class Hypha(Script):
    """What lies on the server."""

    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: dict[tuple[str, str], bytes] = field(default_factory=dict)
    signatures: dict[str, tuple[str, str]] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    """Questions that were asked after each test run."""
    result: dict[str, Any] = field(default_factory=lambda: dict(PASSED))
    logged_in_at: int = 2
    """Question after a login at which somebody has logged in; 0: nobody ever does."""
    logins: dict[str, int] = field(default_factory=dict)
    """Questions that were asked after each login was begun."""
    names: Iterator[str] = field(default_factory=lambda: iter(ANIMALS))
    token: str = TOKEN

    def used(self, patch: pytest.MonkeyPatch) -> None:
        """Let this server be asked, with its token, and nothing be waited for."""
        patch.setenv(bioimageio.URL_VARIABLE, self.url)
        patch.setenv("HYPHA_TOKEN", self.token)
        without_waiting(patch)
        patch.setattr(bioimageio, "POLL_S", 0.0)

    def signed(self, artifact: str, name: str, method: str) -> str:
        """An address of the storage that is good for one file and method."""
        signature = hashlib.sha256(f"{artifact}{name}{method}{len(self.signatures)}".encode())
        key = signature.hexdigest()
        self.signatures[key] = (method, name)
        self.signatures[key + "/artifact"] = (artifact, "")
        return f"{self.url}/s3/{artifact}/{name}?X-Amz-Signature={key}"

    def files_of(self, artifact: str) -> dict[str, bytes]:
        """Bytes of an artifact's files, by name."""
        return {name: data for (owner, name), data in self.stored.items() if owner == artifact}

    def assert_handed_in_once(self, rdf: dict[str, Any], files: dict[str, bytes]) -> None:
        """One draft, complete, with the reviewers; nothing published."""
        assert len(self.artifacts) == 1
        (draft,) = self.artifacts.values()
        assert draft["manifest"] == {**rdf, "status": "in-review"}
        assert draft["staging"] is not None
        assert draft["versions"] == []
        assert self.files_of(draft["id"]) == files
        assert not self.forbidden


class _Handler(FaultyHandler):
    def post(self, body: bytes) -> None:
        """Serve a call of a function."""
        parts = urlsplit(self.path).path.strip("/").split("/")
        service, function = parts[2], parts[3]
        kind = self.hypha.fault_at(function)
        if self.before(kind):
            return
        try:
            status, answer = 200, self.call(service, function, json.loads(body))
        except Refusal as refusal:
            status, answer = refusal.status, {"success": False, "detail": refusal.detail}
        self.answer(status, json.dumps(answer).encode(), kind)

    def put(self) -> None:
        """Serve a file that is stored."""
        kind = self.hypha.fault_at("PUT")
        body = self.sent(kind)
        if self.before(kind):
            return
        artifact, name = self.place("PUT")
        self.hypha.asked.append(("PUT", {"name": name}))
        if name and self.headers.get("Content-Type"):
            self.answer(403, b"<Error>SignatureDoesNotMatch</Error>", "")
            return
        if not name:
            self.answer(403, b"<Error>AccessDenied</Error>", "")
            return
        stored = {"other": body[::-1] + b"!", "short": body[: len(body) // 2]}.get(kind, body)
        self.hypha.stored[artifact, name] = stored
        etag = "0" * 32 if kind == "etag" else hashlib.md5(stored).hexdigest()
        self.answer(200, b"", kind, {"ETag": f'"{etag}"'})

    def get(self) -> None:
        """Serve a file that is read."""
        kind = self.hypha.fault_at("GET")
        if self.before(kind):
            return
        artifact, name = self.place("GET")
        self.hypha.asked.append(("GET", {"name": name}))
        data = self.hypha.stored.get((artifact, name))
        if data is None:
            self.answer(403, b"<Error>AccessDenied</Error>", "")
            return
        self.answer(200, b"?" + data[1:] if kind == "other" else data, kind)

    @property
    def hypha(self) -> Hypha:
        assert isinstance(self.server.script, Hypha)
        return self.server.script

    def place(self, method: str) -> tuple[str, str]:
        """Artifact and file that the address is signed for."""
        key = parse_qs(urlsplit(self.path).query).get("X-Amz-Signature", [""])[0]
        signed, name = self.hypha.signatures.get(key, ("", ""))
        if signed != method:
            return "", ""
        return self.hypha.signatures[f"{key}/artifact"][0], name

    def call(self, service: str, function: str, arguments: dict[str, Any]) -> Any:
        if self.headers.get("Content-Type") != "application/json":
            raise Refusal(400, "RuntimeError: Invalid content-type")
        key = f"Bearer {self.hypha.token}"
        if service != "hypha-login" and self.headers.get("Authorization") != key:
            raise Refusal(401, "Signature verification failed.")
        self.hypha.asked.append((function, arguments))
        named = re.sub(r"\W", "_", f"{service}_{function}")
        found = getattr(self, f"on_{named}", None)
        if found is None:
            raise Refusal(404, f"{function} not found.")
        return found(arguments)

    def artifact(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = self.hypha.artifacts.get(arguments["artifact_id"])
        if found is None:
            raise Refusal(404, f"KeyError: {arguments['artifact_id']} does not exist.")
        return found

    def draft(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = self.artifact(arguments)
        if found["staging"] is None:
            raise Refusal(400, "AssertionError: Artifact must be in staging mode.")
        return found

    def on_artifact_manager_read(self, arguments: dict[str, Any]) -> Any:
        if arguments["artifact_id"] == COLLECTION:
            return {"id": COLLECTION, "config": {"permissions": PERMISSIONS}, "versions": ["v0"]}
        return self.artifact(arguments)

    def on_artifact_manager_list(self, arguments: dict[str, Any]) -> Any:
        name = arguments["filters"]["manifest"]["name"]
        return [a for a in self.hypha.artifacts.values() if a["manifest"]["name"] == name]

    def on_artifact_manager_create(self, arguments: dict[str, Any]) -> Any:
        if arguments.get("stage") is not True:
            self.hypha.forbidden.append("create without stage")
        if arguments.get("overwrite"):
            self.hypha.forbidden.append("create with overwrite")
        taken = {one.rpartition("/")[2] for one in self.hypha.artifacts}
        alias = next((name for name in self.hypha.names if name not in taken), None)
        if alias is None:
            raise Refusal(500, "RuntimeError: Could not generate a unique alias")
        made = {
            "id": f"bioimage-io/{alias}",
            "alias": alias,
            "workspace": "bioimage-io",
            "manifest": arguments["manifest"],
            "config": arguments["config"],
            "staging": [{"_intent": "new_version"}],
            "versions": [],
        }
        self.hypha.artifacts[made["id"]] = made
        return made

    def on_artifact_manager_put_file(self, arguments: dict[str, Any]) -> Any:
        draft = self.draft(arguments)
        return self.hypha.signed(draft["id"], arguments["file_path"], "PUT")

    def on_artifact_manager_get_file(self, arguments: dict[str, Any]) -> Any:
        draft = self.draft(arguments)
        if (draft["id"], arguments["file_path"]) not in self.hypha.stored:
            raise Refusal(500, "FileNotFoundError: it does not exist in the artifact.")
        return self.hypha.signed(draft["id"], arguments["file_path"], "GET")

    def on_artifact_manager_list_files(self, arguments: dict[str, Any]) -> Any:
        files = self.hypha.files_of(self.draft(arguments)["id"])
        return [{"name": n, "type": "file", "size": len(data)} for n, data in files.items()]

    def on_artifact_manager_remove_file(self, arguments: dict[str, Any]) -> Any:
        self.hypha.stored.pop((self.draft(arguments)["id"], arguments["file_path"]), None)

    def on_artifact_manager_edit(self, arguments: dict[str, Any]) -> Any:
        if arguments.get("stage") is not True:
            self.hypha.forbidden.append("edit without stage")
        draft = self.draft(arguments)
        draft["manifest"] = arguments["manifest"]
        return draft

    def on_artifact_manager_commit(self, arguments: dict[str, Any]) -> Any:
        self.hypha.forbidden.append("commit")
        self.artifact(arguments)["staging"] = None

    def on_hypha_login_start(self, _arguments: dict[str, Any]) -> Any:
        key = f"login-{len(self.hypha.logins)}"
        self.hypha.logins[key] = 0
        login = f"{self.hypha.url}/public/apps/hypha-login/?key={key}"
        return {"login_url": login, "key": key, "report_url": login, "check_url": login}

    def on_hypha_login_check(self, arguments: dict[str, Any]) -> Any:
        key = arguments["key"]
        if key not in self.hypha.logins:
            raise Refusal(400, "AssertionError: Invalid key, key does not exist")
        self.hypha.logins[key] += 1
        return self.hypha.token if self.hypha.logins[key] == self.hypha.logged_in_at else None

    def on_model_runner_test(self, arguments: dict[str, Any]) -> Any:
        if f"bioimage-io/{arguments['model_id']}" not in self.hypha.artifacts:
            raise Refusal(404, "KeyError: no such model")
        run = f"tj-{len(self.hypha.tests)}"
        self.hypha.tests[run] = 0
        return run

    def on_model_runner_get_test_status(self, arguments: dict[str, Any]) -> Any:
        run = arguments["test_run_id"]
        if run not in self.hypha.tests:
            raise Refusal(404, f"KeyError: {run}")
        self.hypha.tests[run] += 1
        done = self.hypha.tests[run] > 1
        return {
            "queue_position": 0 if done else 1,
            "completed_at": time.time() if done else None,
            "result": self.hypha.result if done else None,
        }


@contextmanager
def hypha_serving() -> Iterator[Hypha]:
    """The server, running meanwhile."""
    with serving_faults(_Handler, Hypha()) as script:
        yield script

"""Records of submissions that came with a package, were altered, or are none.

A draft of this user lies on a server, with its record beside the package, and so does a draft of
another model. Whatever the record says then: nothing but the right draft is changed, and nobody
but that server is asked.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.faulty_server import FaultyHandler, Script, serving_faults
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hypha_server import TOKEN, Hypha, hypha_serving
from tests.helpers.publications import FILES, given_package, without_waiting
from tests.hostile.metadata_inputs import changed, documents
from unifmir.errors import UnifmirError
from unifmir.zoo.publish import bioimageio, publishing
from unifmir.zoo.publish.submission import SIGNATURE, record_path

SERVER, ELSEWHERE = "http://127.0.0.1:1", "http://127.0.0.1:2"
"""What stands in records for the server and another one, until they have addresses."""
OTHER = "bioimage-io/bold-bee"
"""The draft of another model."""
ENTRIES = (
    *("destination", "server", "place", "package", "package_sha256", "key", "metadata"),
    *("metadata.name", "files", "files.0.name", "files.0.size_bytes", "files.0.sha256"),
    *("files.0.stored", "dropped", "state", "record", "link", "doi", "test_run", "report"),
    *("schema", SIGNATURE),
)


@cache
def right() -> dict[str, Any]:
    """A record as it is written, signed for no server that there is."""
    return {
        "destination": "bioimageio",
        "server": SERVER,
        "place": f"{bioimageio.COLLECTION}/{bioimageio.ALIAS}",
        "package": "trial.bioimageio.zip",
        "package_sha256": "0" * 64,
        "key": "0" * 32,
        "metadata": {"name": "UniFMIR Trial"},
        "files": [
            {"name": n, "size_bytes": len(data), "sha256": "0" * 64, "download_weight": 0}
            | {"stored": True}
            for n, data in FILES.items()
        ],
        "dropped": [],
        "state": "uploaded",
        "record": "bioimage-io/able-ant",
        "link": SERVER,
        "doi": "",
        "test_run": "",
        "report": {"status": "passed"},
        "schema": 1,
        SIGNATURE: "0" * 64,
    }


def told_otherwise() -> Iterator[tuple[str, bytes]]:
    """Records that are well formed, and lead elsewhere."""
    lies = {
        "another server": ("server", ELSEWHERE),
        "a server in the own network": ("server", "https://10.0.0.1"),
        "a server that is a file": ("server", "file:///etc/passwd"),
        "a server of another scheme": ("server", "ftp://hypha.example"),
        "another draft": ("record", OTHER),
        "a path for a draft": ("record", "../../victim"),
        "the collection for a draft": ("record", bioimageio.COLLECTION),
        "another place": ("place", "someone/else"),
        "the sandbox": ("place", "sandbox"),
        "another destination": ("destination", "zenodo"),
        "handed in already": ("state", "submitted"),
        "nothing done yet": ("state", "planned"),
        "a test that passed": ("report", {"status": "passed"}),
        "a test under way": ("test_run", "tj-0"),
    }
    for name, (field, value) in lies.items():
        yield name, json.dumps(changed(right(), field, value)).encode()
    for name, signature in {"no": "", "short": "0", "another": "f" * 64, "odd": "\u202e"}.items():
        yield f"{name} signature", json.dumps({**right(), SIGNATURE: signature}).encode()


def case(name: str, content: bytes) -> Case:
    return Case(name, lambda room: Given(room.out, content))


class Given:
    """What stands in the record's place: bytes, or what a function makes there."""

    def __init__(self, folder: Path, content: Any) -> None:
        self.folder, self.content = folder, content


def cases() -> Iterator[Case]:
    for name, content in (*documents(right(), ENTRIES), *told_otherwise()):
        yield case(name, content)
    yield Case("a folder", lambda room: Given(room.out, Path.mkdir))
    yield Case("a link", lambda room: Given(room.out, _linked))
    yield Case("as it was written", lambda room: Given(room.out, None))
    yield Case("as it was written, set otherwise", lambda room: Given(room.out, _set_otherwise))


def _linked(path: Path) -> None:
    (path.parent / "notes.txt").write_text("of something else")
    path.symlink_to("notes.txt")


def _set_otherwise(path: Path) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(values.items()))))


def give(given: Given, room: Room) -> str:
    """Ask for the draft, take it back, plan and send, each with the record that is there."""
    with ExitStack() as stack:
        hypha = stack.enter_context(hypha_serving())
        elsewhere = stack.enter_context(serving_faults(FaultyHandler, Script()))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(bioimageio.URL_VARIABLE, hypha.url)
        patch.setenv("HYPHA_TOKEN", TOKEN)
        without_waiting(patch)
        patch.setattr(bioimageio, "POLL_S", 0.0)
        patch.setattr(publishing, "published_score", lambda _: None)
        package = given_package(given.folder, patch)
        publishing.upload(package, "bioimageio", tell=lambda _: None)
        hypha.artifacts[OTHER] = {**hypha.artifacts["bioimage-io/able-ant"], "id": OTHER}
        hypha.stored[OTHER, "weights.onnx"] = b"of another model"
        path = record_path(package, "bioimageio")
        _put(path, given.content, hypha, elsewhere)
        before = _others(hypha)
        went_on, refused = [], None
        for act in (publishing.standing, publishing.withdraw, publishing.dry_run, _send):
            try:
                act(package, "bioimageio")
                went_on.append(act.__name__)
            except UnifmirError as error:
                refused = error
        if elsewhere.headers:
            return f"another server was asked: {elsewhere.headers}"
        if _others(hypha) != before or hypha.forbidden:
            return "another draft was changed"
        if not went_on:
            assert refused is not None
            raise refused
        return ", ".join(went_on)


def _send(package: Path, destination: str) -> None:
    publishing.upload(package, destination, tell=lambda _: None)


def _put(path: Path, content: Any, hypha: Hypha, elsewhere: Script) -> None:
    if callable(content):
        if content is not _set_otherwise:
            path.unlink()
        content(path)
    elif content is not None:
        # The stranger has a signature of this user's at hand: that of another record.
        signature = json.loads(path.read_text())[SIGNATURE]
        for old, new in (
            (SERVER, hypha.url),
            (ELSEWHERE, elsewhere.url),
            (f'"{SIGNATURE}": "{"0" * 64}"', f'"{SIGNATURE}": "{signature}"'),
        ):
            content = content.replace(old.encode(), new.encode())
        path.write_bytes(content)


def _others(hypha: Hypha) -> tuple[str, dict[str, bytes]]:
    return json.dumps(hypha.artifacts[OTHER]), hypha.files_of(OTHER)


def lie(case: Case, came: str) -> str | None:
    wanted = "standing, withdraw, dry_run, _send"
    if case.name.startswith("as it was written"):
        return None if came == wanted else came
    return came


KIND = HostileKind("record of a submission", cases, give, lie)

"""Pins and entries in the user's folder, and entries given to be added, that are odd or lie."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.hostile import SECRET, HostileKind
from tests.helpers.zoo_server import PLANARIA
from tests.hostile.zoo_inputs import RIGHT, VICTIM, Given, give, lie, named
from unifmir.zoo.catalogue import index


def pin(**changes: Any) -> dict[str, Any]:
    good = {
        "filename": "model_best.pt", "sha256": hashlib.sha256(RIGHT).hexdigest(),
        "size_bytes": len(RIGHT), "source": "https://zenodo.org", "added": "2026-01-01",
    }  # fmt: skip
    return {"schema": 1, "pins": {"file": {**good, **changes}}}


def pins() -> Iterator[tuple[str, Given]]:
    place = f"pins/{PLANARIA}.json"
    secret = hashlib.sha256(SECRET).hexdigest()
    odd: dict[str, list[Any]] = {
        "filename": [None, 3, [], "", "..", "/etc/passwd", "a/b", "a\0b", "\x1b[2J", "a" * 200],
        "sha256": [None, 3, "", "0" * 63, "g" * 64, "0" * 64 + "\n"],
        "size_bytes": [None, "3", 1.5, True, 10**400, [3]],
        "source": [None, 3, [], {}],
        "added": [None, 3, {}],
    }
    documents: dict[str, Any] = {
        f"{name} is {value!r:.30}": pin(**{name: value})
        for name, values in odd.items()
        for value in values
    }
    documents |= {
        "filename of another file": pin(filename=VICTIM, sha256=secret, size_bytes=len(SECRET)),
        "hash of another file": pin(sha256=secret),
        "another schema": {**pin(), "schema": 2},
        "another origin": {"schema": 1, "pins": {"theft": pin()["pins"]["file"]}},
        "unknown field": pin(owner="x"),
        "a list": [],
        "a text": "pins",
        "nothing": None,
    }
    files = {name: json.dumps(document).encode() for name, document in documents.items()}
    files |= {
        "no UTF-8": b"\xff\xfe\x00",
        "deep": b"[" * 200_000,
        "huge number": b'{"schema": ' + b"1" * 6000 + b"}",
        "empty": b"",
    }
    for name, content in files.items():
        given = {place: content, f"files/{PLANARIA}/model_best.pt": RIGHT}
        yield f"pins: {name}", Given(files=given)
    for name, make in {"a pipe": os.mkfifo, "a folder": os.mkdir, "a link": linked}.items():
        yield f"pins: {name}", Given(files={place: make})


def linked(path: Path) -> None:
    path.symlink_to("/dev/zero")


def entries() -> Iterator[tuple[str, Given]]:
    """Entries in the user's folder, listed, and given to `zoo add`."""
    texts: dict[str, bytes] = {
        "deep": b"[" * 200_000,
        "deep configuration": changed("configuration", 0).replace(
            b"null", b'{"a": ' * 9_999 + b"1" + b"}" * 9_999, 1
        ),
        "no UTF-8": b"\xff\xfe",
        "large": b" " * 1_100_000,
        "a number": b"3",
    }
    values: dict[str, list[Any]] = {
        "id": ["../../victim/x", "a/b", "..", "", "X", "a" * 65, "a\n", None, 3, PLANARIA],
        "task": ["x", "../sr", None, 3, "sr\x1b[2J"],
        "schema_version": [2, "1", None, 1.5, []],
        "authors": [[], [3], "me"],
        "parameters": [-1, 0, 1.5, "3", 10**400],
        "source": [None, {}, {"kind": "file", "filename": VICTIM}, {"kind": "shell", "run": "id"},
                   {"kind": "url", "url": "file:///etc/passwd"}, {"kind": "url", "url": 3},
                   {"kind": "zenodo", "doi": "x", "record": -1, "patterns": []},
                   {"kind": "embedded", "filename": "../../../x"}],
        "configuration": [[], 3, {"a": 1}, {"kind": "__import__('os')"}],
        "normalisation": [{}, None, []],
    }  # fmt: skip
    for name, odd in values.items():
        for value in odd:
            texts[f"{name} is {value!r:.40}"] = changed(name, value)
    for name, text in texts.items():
        yield f"entry added: {name}", Given(files={"given.json": text}, ask="add")
        yield f"entry lies there: {name}", lying(text)
    for name, make in {"a pipe": os.mkfifo, "a folder": os.mkdir, "a link": linked}.items():
        yield f"entry added: {name}", Given(files={"given.json": make}, ask="add")
        yield f"entry lies there: {name}", lying(make)


def lying(content: Any) -> Given:
    """An entry in the user's folder; the other models are listed nevertheless."""
    return Given(files={"entries/mine.json": content}, ask="list", right=(b"listed",))


def changed(name: str, value: Any) -> bytes:
    """An entry of the user's own, with one other value."""
    document = index.find(PLANARIA).model_dump(mode="json")
    return json.dumps({**document, "id": "mine", name: value}).encode()


KIND = HostileKind("zoo folder: pins, entries", lambda: named((pins, entries)), give, lie)

"""Answers of the BioImage Model Zoo's server that lie, at every step of a submission.

What a server says of its own (that a test passed, say) is its to say. A lie is believed where the
package is told to be handed in and its bytes are not there, another draft is changed, or anybody
but this server is asked with the token.
"""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hypha_server import STEPS, TOKEN, Hypha, hypha_serving
from tests.helpers.lying_replies import (
    PLACES,
    Lie,
    cases_of,
    documents,
    field,
    fields,
    given_lie,
    instead,
    transports,
    values_of,
)
from tests.helpers.publications import FILES
from unifmir.zoo.publish import bioimageio

OTHER = "bioimage-io/zany-zebra"
"""The draft of another model."""


def lies() -> Iterator[Lie]:
    for number, step in enumerate(STEPS):
        # Each step by some of what every step may have, all of it by some step.
        yield from list(documents(step))[number % 3 :: 3]
        yield from list(transports(step))[number % 4 :: 4]
    for step in ("put_file", "get_file"):
        for place in PLACES:
            yield from values_of(step, {f"at {place!a}": instead(place)})
    yield from values_of("read", fields(("id", "config", "manifest", "versions", "staging")))
    yield from values_of("create", fields(("id", "alias", "workspace")))
    names = ("../../victim/precious.txt", "/etc/passwd", "\x1b[2J", "", "a" * 3000)
    yield from values_of("create", {f"called {n!a:.30}": field("id", n) for n in names})
    yield from values_of(
        "list_files",
        {
            "sizes of text": lambda files: [{**one, "size": "many"} for one in files],
            "files without names": lambda files: [{"size": 1} for _ in files],
            "names that are numbers": lambda files: [{**one, "name": 7} for one in files],
            "ten thousand files": lambda _: [{"name": str(n)} for n in range(10_000)],
            "a file of another place": lambda files: [*files, {"name": "../victim/precious.txt"}],
            "files that are lists": lambda files: [[one] for one in files],
        },
    )
    yield from values_of("get_test_status", fields(("completed_at", "result")))
    yield from values_of(
        "get_test_status",
        {
            "a test that failed": field("result", {"status": "failed", "error": "\x1b]0;pwn\x07"}),
            "a test of a list": field("result", {"status": ["passed"]}),
            "a report of megabytes": field("result", {"status": "passed", "log": "x" * 5_000_000}),
            "a deep report": field("result", {"status": "no", "error": [[[[]]]] * 900}),
        },
    )


def cases() -> Iterator[Case]:
    yield from cases_of(lies())


def give(one: Lie, room: Room) -> str:
    """Send a package, ask how it stands, and take it back."""
    with hypha_serving() as hypha, pytest.MonkeyPatch.context() as patch:
        for name, value in (("POLL_S", 0.01), ("TEST_S", 0.1)):
            patch.setattr(bioimageio, name, value)
        hypha.artifacts[OTHER] = _other()
        hypha.stored[OTHER, "weights.onnx"] = b"of another model"
        variables = {bioimageio.URL_VARIABLE: hypha.url, "HYPHA_TOKEN": TOKEN}
        harm = partial(_harm, hypha, _others(hypha))
        return given_lie(one, room, "bioimageio", hypha, variables, harm) or _missing(hypha)


def _other() -> dict[str, object]:
    return {
        "id": OTHER,
        "manifest": {"name": "Another", "status": "draft"},
        "config": {},
        "staging": [{"_intent": "new_version"}],
        "versions": [],
    }


def _others(hypha: Hypha) -> str:
    files = {name: len(data) for name, data in hypha.files_of(OTHER).items()}
    return json.dumps([hypha.artifacts.get(OTHER), files])


def _harm(hypha: Hypha, before: str) -> str:
    return "another draft was changed" if _others(hypha) != before else ""


def _missing(hypha: Hypha) -> str:
    """Why what is said to be handed in is not there."""
    drafts = [one for key, one in hypha.artifacts.items() if key != OTHER]
    if len(drafts) != 1 or hypha.files_of(str(drafts[0]["id"])) != FILES:
        return "it is said to be handed in, and its files are not there"
    return ""


def lie(case: Case, came: str) -> str | None:
    return came or None


KIND = HostileKind("answers of the BioImage Model Zoo", cases, give, lie)

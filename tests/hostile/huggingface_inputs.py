"""Answers of Hugging Face's hub that lie, at every step of a submission.

A lie is believed where the package is told to be there and its bytes are not, another repository is
changed, or anybody but this server is asked with the token.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.huggingface_server import STEPS, TOKEN, Hub, Repository, huggingface_serving
from tests.helpers.lying_replies import (
    ELSEWHERE,
    PLACES,
    Lie,
    cases_of,
    documents,
    field,
    fields,
    given_lie,
    headed,
    transports,
    values_of,
)
from tests.helpers.publications import FILES
from unifmir.zoo.publish import hub_session, huggingface

OTHER = "ann/another"
"""The repository of another model."""


def lies() -> Iterator[Lie]:
    for number, step in enumerate(STEPS):
        # Each step by some of what every step may have, all of it by some step.
        yield from list(documents(step))[number % 3 :: 3]
        # The library waits for headers as long as there comes one now and then.
        those = [one for one in transports(step) if not one.name.startswith("headers ")]
        yield from those[number % 4 :: 4]
    names = (OTHER, "../..", "ann/../ben", "\x1b[2J", "", "a" * 3000, "ann?x=1")
    yield from values_of("whoami", {f"called {n!a:.30}": field("name", n) for n in names})
    yield from values_of("whoami", fields(("name", "type")))
    yield from values_of("info", fields(("id", "private", "sha", "siblings")))
    yield from values_of("tree", {f"a file's {n}": each(a) for n, a in fields(("path",)).items()})
    yield from values_of("tree", {f"a file's {n}": each(a) for n, a in fields(("oid",)).items()})
    for place in (f"{ELSEWHERE}/x", "file:///etc/passwd", "http://10.0.0.1/x", "//example.invalid"):
        link = {"Link": f'<{place}>; rel="next"'}
        yield from (headed(step, f"more at {place}", link) for step in ("tree", "whoami"))
    upload = "objects.0.actions.upload.href"
    yield from values_of("batch", {f"at {place!a}": field(upload, place) for place in PLACES})
    yield from values_of("batch", fields(("transfer", "objects", "objects.0.actions")))
    yield from values_of("preupload", fields(("files", "files.0.path", "files.0.uploadMode")))
    yield from values_of("commit", fields(("commitOid", "commitUrl")))


def each(alter):
    """An alteration of every entry of a list."""
    return lambda right: [alter(one) for one in right]


def cases() -> Iterator[Case]:
    yield from cases_of(lies())


def give(one: Lie, room: Room) -> str:
    """Send a package, and ask how it stands."""
    with huggingface_serving() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_session, "ANSWER_S", 0.5)
        # Before 2.0 the library reads addresses in answers by this one.
        patch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        patch.setattr("time.sleep", lambda _: None)  # between the library's own attempts
        hub.repositories[OTHER] = Repository(private=True, files={"x": b"of another model"})
        variables = {huggingface.URL_VARIABLE: hub.url, "HF_TOKEN": TOKEN}
        harm = partial(_harm, hub)
        return given_lie(one, room, "huggingface", hub, variables, harm) or _missing(hub)


def _harm(hub: Hub) -> str:
    other = hub.repositories[OTHER]
    changed = other.files != {"x": b"of another model"} or not other.private
    return "another repository was changed" if changed else ""


def _missing(hub: Hub) -> str:
    """Why what is said to be there is not."""
    made = [one.files for name, one in hub.repositories.items() if name != OTHER]
    if len(made) != 1 or made[0].get("weights.onnx") != FILES["weights.onnx"]:
        return "it is said to be there, and is not"
    return ""


def lie(case: Case, came: str) -> str | None:
    return came or None


KIND = HostileKind("answers of Hugging Face", cases, give, lie)

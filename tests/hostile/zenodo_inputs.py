"""Answers of Zenodo's deposit API that lie, at every step of a submission.

A lie is believed where the package is told to be there and its bytes are not, another draft is
changed, or anybody but this server is asked with the token.
"""

import re
from collections.abc import Iterator
from functools import partial

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.lying_replies import (
    PLACES,
    Lie,
    cases_of,
    documents,
    field,
    fields,
    given_lie,
    transports,
    values_of,
)
from tests.helpers.zenodo_server import STEPS, TOKEN, Deposits, zenodo_serving
from unifmir.zoo.publish import zenodo
from unifmir.zoo.publish.submission import read_submission, record_path

OTHER = 7
"""The draft of another record."""


def lies() -> Iterator[Lie]:
    for number, step in enumerate(STEPS):
        # Each step by some of what every step may have, all of it by some step.
        yield from list(documents(step))[number % 2 :: 2]
        yield from list(transports(step))[number % 3 :: 3]
    yield from values_of("create", fields(("id", "metadata", "links")))
    identifiers = (0, -1, 1.5, "7/../8", "7?x=1", "7\n", "9" * 400, 10**19, "\x1b[2J", "\u0667")
    yield from values_of("create", {f"number {n!a:.20}": field("id", n) for n in identifiers})
    yield from values_of("read", fields(("submitted", "links", "links.bucket", "id")))
    yield from values_of(
        "read", {f"bucket at {place!a}": field("links.bucket", place) for place in PLACES}
    )
    yield from values_of(
        "files",
        {
            "names that are numbers": lambda found: [{**one, "filename": 7} for one in found],
            "other checksums": lambda found: [{**one, "checksum": "0" * 32} for one in found],
            "checksums of lists": lambda found: [{**one, "checksum": [1]} for one in found],
            "a file more": lambda found: [*found, {"filename": "\x1b[2J", "checksum": "0"}],
            "ten thousand files": lambda _: [{"filename": str(n)} for n in range(10_000)],
            "files that are lists": lambda found: [[one] for one in found],
            "none": lambda _: [],
        },
    )
    yield from values_of("PUT", fields(("checksum", "key", "size")))
    yield from values_of(
        "metadata",
        fields(
            ("metadata", "metadata.prereserve_doi", "metadata.prereserve_doi.doi", "links.html")
        ),
    )


def cases() -> Iterator[Case]:
    yield from cases_of(lies())


def give(one: Lie, room: Room) -> str:
    """Send a package, and ask how it stands."""
    with zenodo_serving() as deposits:
        deposits.drafts[OTHER] = {"metadata": {"title": "Another"}, "submitted": False}
        deposits.stored[OTHER] = {"other.zip": b"of another model"}
        variables = {zenodo.URL_VARIABLE: deposits.url, "ZENODO_TOKEN": TOKEN}
        return given_lie(
            one, room, "zenodo", deposits, variables, partial(_harm, deposits)
        ) or _missing(deposits, room)


def _harm(deposits: Deposits) -> str:
    if deposits.drafts[OTHER]["metadata"] != {"title": "Another"}:
        return "another draft was changed"
    if deposits.stored[OTHER] != {"other.zip": b"of another model"}:
        return "another draft has other files"
    return ""


def _missing(deposits: Deposits, room: Room) -> str:
    """Why what is said to be there is not."""
    package = next(room.out.glob("*.zip"))
    made = [files for number, files in deposits.stored.items() if number != OTHER]
    if len(made) != 1 or made[0].get(package.name) != package.read_bytes():
        return "it is said to be there, and is not"
    record = read_submission(record_path(package, "zenodo"))
    assert record is not None
    return "" if re.fullmatch(r"10\.\d+/[\w./-]+", record.doi) else f"the DOI {record.doi}"


def lie(case: Case, came: str) -> str | None:
    return came or None


KIND = HostileKind("answers of Zenodo", cases, give, lie)

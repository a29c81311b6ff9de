"""The record of one submission, beside its package: what was planned, and how far it got.

It is written before each step that a server would do twice and after each that is done, so that a
run that was ended goes on, and nothing is created a second time. It holds no token and no address
that lets anybody in. It says which record of the server is changed, so that it is signed: one that
came with a stranger's package would have files replaced in another model of this user.
"""

import json
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from unifmir.atomic import write_text
from unifmir.errors import ZooError
from unifmir.export.recorded_report import FileName
from unifmir.hashing import sha256_of
from unifmir.json_values import Count, JsonValues, Matching, Sha256, read_values
from unifmir.plain_text_values import read_json
from unifmir.trusted_files import is_signed, is_trusted, signature_of
from unifmir.zoo.publish.publication import PackageFile, Publication

MAX_RECORD_BYTES = 2_000_000
"""Limit of a record, which has about 20,000."""
SUFFIX = ".submission.json"
"""End of the name of every record."""
State = Literal["planned", "creating", "uploading", "uploaded", "submitted"]
"""`creating`: the server was asked to, and has perhaps done so. `submitted`: nothing is left to
do here but to wait for people, or to take the last step on the site."""
SIGNATURE = "signature"
"""Entry of the file with this user's signature of all others."""
Line = Annotated[str, Matching(r"[^\x00-\x1f\x7f]{0,1000}", "one line of text")]


@dataclass(frozen=True, slots=True)
class SubmittedFile(JsonValues):
    """One file of a submission."""

    name: FileName
    size_bytes: Count
    sha256: Sha256
    download_weight: Count
    """How much a download of it counts."""
    stored: bool = False
    """Whether the server has it, read back and with this hash."""


@dataclass(frozen=True, slots=True)
class Submission(JsonValues):
    """One package on its way to one place."""

    destination: Line
    server: Line
    place: Line
    """Place on the server: a collection and a pattern of names, or a name."""
    package: FileName
    package_sha256: Sha256
    key: Annotated[str, Matching("[0-9a-f]{32}", "32 hexadecimal digits")]
    """Mark by which the server's record is found again if its answer was lost."""
    metadata: dict[str, Any]
    """Metadata that the server is told of the package."""
    files: tuple[SubmittedFile, ...]
    dropped: tuple[Line, ...] = ()
    """Names in the metadata of an earlier version of the package that this one lacks."""
    state: State = "planned"
    record: Line = ""
    """Identifier on the server, once there is one."""
    link: Line = ""
    doi: Line = ""
    test_run: Line = ""
    """Identifier of the server's test that was begun."""
    report: dict[str, Any] = field(default_factory=dict)
    """Result of that test."""
    schema: Literal[1] = 1

    @property
    def missing(self) -> tuple[SubmittedFile, ...]:
        """Files that the server does not have yet."""
        return tuple(file for file in self.files if not file.stored)


class Ledger:
    """A submission and the file that it is kept in."""

    def __init__(self, path: Path, now: Submission) -> None:
        self.path = path
        self.now = now

    def note(self, **changes: Any) -> None:
        """Change the submission, and write it down."""
        self.now = replace(self.now, **changes)
        values = self.now.to_dict()
        signed = {**values, SIGNATURE: signature_of(_signed_text(values))}
        write_text(self.path, json.dumps(signed, indent=2, ensure_ascii=False) + "\n")

    def note_stored(self, name: str, *, stored: bool) -> None:
        """Note that the server has a file, or has lost it."""
        files = (
            replace(file, stored=stored) if file.name == name else file for file in self.now.files
        )
        self.note(files=tuple(files))


def record_path(package: Path, destination: str) -> Path:
    """Path of the record beside a package."""
    return package.with_name(f"{package.name}.{destination}{SUFFIX}")


def read_submission(path: Path) -> Submission | None:
    """The record that an earlier run left; None where there is none.

    Raises
    ------
    ZooError
        It is not one of ours, or was not written here by this user.
    """
    if not path.exists():
        return None
    try:
        values = read_json(path, limit=MAX_RECORD_BYTES)
        signature = values.pop(SIGNATURE, "") if isinstance(values, dict) else ""
        found = read_values(Submission, values)
    except (OSError, ValueError) as error:
        raise ZooError(
            f"{path.name} is no record of `unifmir publish` ({error}). What it stood for may lie "
            "on the server: look there before you move the file away, as the next run begins anew"
        ) from error
    if not is_signed(_signed_text(values), str(signature)) and not is_trusted(sha256_of(path)):
        raise ZooError(
            f"{path.name} was not written here by you, or was altered, and it says which record on "
            f"{found.server} is changed: nothing was asked. If it is yours, from another machine, "
            f"look into it and then: unifmir trust {path}. If it came with the package, remove it"
        )
    return found


def _signed_text(values: Any) -> str:
    return json.dumps(values, sort_keys=True)


def new_submission(
    publication: Publication,
    *,
    destination: str,
    server: str,
    place: str,
    metadata: dict[str, Any],
    files: tuple[PackageFile, ...],
) -> Submission:
    """The submission of a package that nothing was done for yet."""
    return Submission(
        destination=destination,
        server=server,
        place=place,
        package=publication.path.name,
        package_sha256=publication.sha256,
        key=secrets.token_hex(16),
        metadata=metadata,
        files=tuple(
            SubmittedFile(file.name, file.size_bytes, file.sha256, int(file.is_weights))
            for file in files
        ),
    )


def continued(earlier: Submission, fresh: Submission) -> Submission:
    """The plan of now with what an earlier run had done of it: the same record on the server.

    Raises
    ------
    ZooError
        The earlier one went elsewhere.
    """
    if earlier.state != "planned" and (earlier.server, earlier.place) != (
        fresh.server,
        fresh.place,
    ):
        raise ZooError(
            f"{earlier.package} was begun at {earlier.server} ({earlier.place}), and is now meant "
            f"for {fresh.server} ({fresh.place}): go on there, or move the record away "
            f"({record_path(Path(earlier.package), earlier.destination)})"
        )
    if earlier.state == "planned":
        return replace(fresh, key=earlier.key)
    there = {(file.name, file.sha256) for file in earlier.files if file.stored}
    files = tuple(replace(file, stored=(file.name, file.sha256) in there) for file in fresh.files)
    if earlier.package_sha256 == fresh.package_sha256:
        return replace(earlier, metadata=fresh.metadata, files=files)
    gone = {*earlier.dropped, *earlier.metadata} - set(fresh.metadata)
    return replace(
        fresh,
        files=files,
        dropped=tuple(sorted(gone)),
        key=earlier.key,
        state="uploading" if earlier.record else earlier.state,
        record=earlier.record,
        link=earlier.link,
        doi=earlier.doi,
    )

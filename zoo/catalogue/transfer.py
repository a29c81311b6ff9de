"""Downloads that go on where they were cut, and are checked before they are used.

pooch has the hashing used here, but its downloaders start again from the first byte and its
`retrieve` removes what a cut connection left; official checkpoints have up to 0.4 GB. So the
transfer is our own, on requests, in the place pooch would call a downloader.
"""

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from unifmir.atomic import write_text
from unifmir.errors import ZooError
from unifmir.plain_text_values import parse_json, read_json
from unifmir.shown_text import without_secrets
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.connection import Answer, answer
from unifmir.zoo.catalogue.connection_errors import Interrupted

logger = logging.getLogger(__name__)

ATTEMPTS = 5
BACKOFF_S = 1.0
"""Pause before the second attempt; doubled for each later one: 15 s in all."""
MAX_BYTES = 4_000_000_000
"""Limit of a download: ten times the largest official checkpoint."""
MAX_UNSAID_BYTES = 1_000_000_000
"""Limit of a download whose size neither the server nor the entry says."""
MAX_LISTING_BYTES = 4_000_000
LISTING_S = 20.0
"""Time that a listing may take in all."""

_PARTIAL = ".partial"
_STATE = ".partial.json"
_WEB_PAGE = re.compile(rb"\s*(<!doctype\s+html|<html)", re.IGNORECASE)
_T = TypeVar("_T")
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)")


@dataclass(frozen=True, slots=True)
class _Job:
    url: str
    partial: Path
    maximum_bytes: int
    size_bytes: int | None
    checked: bool
    """Whether a checksum is known: then a resumed file needs no other proof of being the same."""
    progress: Callable[[int, int], None]

    @property
    def state(self) -> Path:
        """File beside the partial one with its address and the server's mark of its version."""
        return self.partial.with_name(_STATE)

    def discard(self) -> None:
        """Remove what was transferred."""
        self.partial.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def refuse(self, what: str) -> NoReturn:
        """Remove what was transferred, and say what is wrong with it."""
        self.discard()
        raise ZooError(f"{self.url} {what}")

    def refuse_web_page(self) -> NoReturn:
        """Refuse what was made for people."""
        self.refuse(
            "sent a web page instead of the file: a login, a proxy or a notice; open the "
            "address in a browser to see which"
        )

    def check_size(self, size: int, most: int) -> None:
        """Refuse what is too large."""
        if size > most:
            self.refuse(f"has at least {size} bytes, expected at most {most}: refused")


def download(
    url: str,
    folder: Path,
    *,
    size_bytes: int | None = None,
    checksum: str | None = None,
    maximum_bytes: int = MAX_BYTES,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Transfer a file into a folder, going on from what an earlier attempt left there.

    Parameters
    ----------
    url : str
        https, or http on this machine.
    folder : Path
        Folder of this file alone, held with `lock_folder`.
    size_bytes, checksum : optional
        What the file must have, where known; the checksum as in `"md5:0123..."`.
    progress : callable
        Told bytes done and in all, 0 if not known.

    Returns
    -------
    Path
        The complete file, still under an unfinished name: the caller moves it.

    Raises
    ------
    ZooError
        A cut connection leaves the partial file for the next attempt; everything else nothing.
    """
    most = min(maximum_bytes, size_bytes or maximum_bytes)
    job = _Job(url, folder / _PARTIAL, most, size_bytes, checksum is not None, progress)
    try:
        if not _is_complete(job):
            again_if_interrupted(url, lambda: _transfer(job))
    except Interrupted as interruption:
        have = job.partial.stat().st_size if job.partial.exists() else 0
        raise ZooError(
            f"{url}: {interruption}, {ATTEMPTS} times; {have} bytes are kept and the next pull "
            "goes on from there"
        ) from interruption
    _check(job, checksum)
    job.state.unlink(missing_ok=True)
    return job.partial


def get_json(url: str) -> Any:
    """A JSON document from a server.

    Raises
    ------
    ZooError
        If it cannot be had, or is something else.
    """
    try:
        return again_if_interrupted(url, lambda: _json_once(url))
    except Interrupted as interruption:
        raise ZooError(f"{url}: {interruption}, {ATTEMPTS} times") from interruption


def again_if_interrupted(url: str, attempt: Callable[[], _T]) -> _T:
    """Try until an attempt is not interrupted; the last one's interruption is raised."""
    for number in range(1, ATTEMPTS):
        try:
            return attempt()
        except Interrupted as interruption:
            shown = without_secrets(url)
            logger.info("%s: %s, attempt %d of %d", shown, interruption, number, ATTEMPTS)
        time.sleep(BACKOFF_S * 2 ** (number - 1))
    return attempt()


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder: two processes must not write into one partial file.

    Raises
    ------
    InUseError
        If another process holds it.
    """
    with directories.changing(folder / _PARTIAL, directories.CACHE_VARIABLE):
        yield


def _is_complete(job: _Job) -> bool:
    """Whether an earlier run was killed after the last byte."""
    return job.checked and job.partial.exists() and job.partial.stat().st_size == job.size_bytes


def _transfer(job: _Job) -> None:
    """One attempt; Interrupted if another one may do better."""
    have, validator = _resumable(job)
    headers = {}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    with answer(job.url, headers) as response:
        start = _start(job, response, have)
        total = _total(response, start)
        _check_promise(job, response, total)
        _note_version(job, response)
        _write(job, response, start, total)


def _write(job: _Job, response: Answer, start: int, total: int) -> None:
    is_said = total or job.size_bytes
    most = job.maximum_bytes if is_said else min(job.maximum_bytes, MAX_UNSAID_BYTES)
    done = start
    with job.partial.open("ab" if start else "wb") as file:
        try:
            for piece in response.pieces():
                done += len(piece)
                if done > most:
                    break
                file.write(piece)
                job.progress(done, total)
        except Interrupted as error:
            raise Interrupted(f"the connection was cut after {done} bytes") from error
        except OSError as error:
            file.close()
            job.refuse(f"cannot be kept in {job.partial.parent}: {error.strerror or error}")
    job.check_size(done, most)
    if total and done < total:
        raise Interrupted(f"the connection was cut after {done} of {total} bytes")


def _json_once(url: str) -> Any:
    content = bytearray()
    with answer(url, {"Accept": "application/json"}, longest_s=LISTING_S) as response:
        for piece in response.pieces():
            content += piece
            if len(content) > MAX_LISTING_BYTES:
                raise ZooError(f"{url} sent more than {MAX_LISTING_BYTES} bytes for a listing")
    try:
        return parse_json(bytes(content), limit=MAX_LISTING_BYTES)
    except ValueError as error:
        what = "a web page" if _WEB_PAGE.match(content) else "something else"
        raise ZooError(f"{url} sent {what} instead of JSON; is the address right?") from error


def _resumable(job: _Job) -> tuple[int, str]:
    """Bytes that can be kept, and the version they are of."""
    try:
        state = read_json(job.state)
        have, validator = job.partial.stat().st_size, str(state["validator"])
        same = state["url"] == without_secrets(job.url) and (validator or job.checked)
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same or (job.size_bytes is not None and have >= job.size_bytes):
        job.discard()
        return 0, ""
    return have, validator


def _start(job: _Job, response: Answer, have: int) -> int:
    """Offset of the server's bytes: after what is there, or at the beginning."""
    if response.status == 200:
        return 0
    if response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found and int(found[1]) == have:
            return have
    job.discard()
    raise Interrupted(f"the server could not go on after {have} bytes")


def _total(response: Answer, start: int) -> int:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if re.fullmatch("[0-9]{1,15}", length) else 0


def _check_promise(job: _Job, response: Answer, total: int) -> None:
    """Refuse by the header what would be refused after the last byte."""
    if response.headers.get("Content-Type", "").startswith("text/html"):
        job.refuse_web_page()
    job.check_size(total, job.maximum_bytes)
    if total and job.size_bytes is not None and total != job.size_bytes:
        job.refuse(f"has {total} bytes, expected {job.size_bytes}: another file")
    if total > (free := shutil.disk_usage(job.partial.parent).free):
        job.refuse(f"has {total} bytes, and {job.partial.parent} has {free} free: make room")


def _note_version(job: _Job, response: Answer) -> None:
    # A weak tag allows other bytes with the same meaning: no use for going on after some of them.
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    state = {"url": without_secrets(job.url), "validator": validator or ""}
    write_text(job.state, json.dumps(state))


def _check(job: _Job, checksum: str | None) -> None:
    # Imported here: pooch takes 0.2 s to import, and a listing needs none of it.
    import pooch

    found = job.partial.stat().st_size
    with job.partial.open("rb") as file:
        head = file.read(512)
    if _WEB_PAGE.match(head):
        job.refuse_web_page()
    if job.size_bytes is not None and found != job.size_bytes:
        job.refuse(f"sent {found} bytes, expected {job.size_bytes}; pull again")
    if checksum is not None:
        algorithm, _, expected = checksum.partition(":")
        actual = pooch.file_hash(str(job.partial), alg=algorithm)
        if actual != expected:
            job.refuse(
                f"arrived damaged: its {algorithm} is {actual}, the server lists {expected}; "
                "pull again"
            )

"""Files on servers: which one an entry means, how large it is, with which checksum."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from unifmir.errors import ZooError
from unifmir.web_address import checked_address
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.catalogue.schema import UrlSource, ZenodoSource
from unifmir.zoo.catalogue.servers import ZENODO_VARIABLE, zenodo_address

WEIGHTS = ("*.pt", "*.pth", "*.safetensors")
"""Names of files that may be checkpoints, where an entry does not say."""

MAX_FILES = 10_000
MAX_NAME = 500
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Hexadecimal digits of a checksum, by its algorithm."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file on a server."""

    url: str
    filename: str
    """Name that is safe for a file here, whatever the server calls it."""
    size_bytes: int | None = None
    checksum: str | None = None
    """Algorithm and digest as pooch writes them: `"md5:0123..."`."""

    @property
    def is_archive(self) -> bool:
        """Whether the weights lie inside the file, by its name."""
        return self.filename.lower().endswith(".zip")


def find_remote_file(source: ZenodoSource | UrlSource) -> RemoteFile:
    """The file a source leads to. Asks the record's listing where it is one of Zenodo.

    Raises
    ------
    ZooError
        If the record is not there, or none of its files or several fit.
    """
    if isinstance(source, UrlSource):
        name = unquote(urlsplit(checked_address(source.url)).path)
        return RemoteFile(source.url, safe_name(name))
    # The address of a file is built here and not taken from the listing, which names zenodo.org
    # also when a mirror serves it.
    record = f"{zenodo_address()}/api/records/{source.record}"
    files = _listing(transfer.get_json(record), record)
    key = choose_name(list(files), source.patterns, f"record {source.record} ({record})")
    size, checksum = files[key]
    return RemoteFile(
        f"{record}/files/{quote(key, safe='')}/content", safe_name(key), size, checksum
    )


def patterns_of(source: ZenodoSource | UrlSource) -> tuple[str, ...]:
    """Shell patterns of the weights inside an archive."""
    named = source.patterns if isinstance(source, ZenodoSource) else WEIGHTS
    return tuple(pattern for pattern in named if not pattern.endswith(".zip")) or WEIGHTS


def choose_name(names: Collection[str], patterns: tuple[str, ...], where: str) -> str:
    """The one name that fits the first pattern that any fits."""
    for pattern in patterns:
        fits = [n for n in names if fnmatchcase(PurePosixPath(n).name.lower(), pattern.lower())]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise ZooError(
                f"{where} has {len(fits)} files like {pattern}: {', '.join(sorted(fits))[:500]}; "
                "download the one wanted and give it with `unifmir zoo add --from ID --file FILE`"
            )
    raise ZooError(
        f"{where} has no file like {' or '.join(patterns)}; it has "
        f"{', '.join(sorted(names))[:500] or 'no files'}"
    )


def safe_name(name: str) -> str:
    """The last part of a name, with nothing in it that a file system or shell would mind."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", PurePosixPath(name.replace("\\", "/")).name)
    return plain.lstrip(".-+")[-128:] or "model"


def _listing(document: Any, record: str) -> dict[str, tuple[int | None, str | None]]:
    """Size and checksum by file name of a record as Zenodo's API describes it."""
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise ZooError(
            f"{record} does not describe a Zenodo record with files; is {ZENODO_VARIABLE} right?"
        )
    if len(files) > MAX_FILES:
        raise ZooError(f"{record} lists {len(files)} files, expected at most {MAX_FILES}")
    found: dict[str, tuple[int | None, str | None]] = {}
    for file in files:
        key, size, checksum = (file.get(name) for name in ("key", "size", "checksum"))
        if not isinstance(key, str) or not 0 < len(key) <= MAX_NAME or not key.isprintable():
            raise ZooError(_odd(record, "key", key, f"a name of at most {MAX_NAME} letters"))
        if key in found:
            raise ZooError(f"{record} lists {key} twice")
        if size is not None and (type(size) is not int or not 0 <= size < 2**63):
            raise ZooError(_odd(record, f"size of {key}", size, "a number of bytes"))
        if checksum is not None and not _is_checksum(checksum):
            expected = "an algorithm and hexadecimal digits, as md5:0123..."
            raise ZooError(_odd(record, f"checksum of {key}", checksum, expected))
        found[key] = (size, checksum)
    return found


def _odd(record: str, what: str, value: Any, expected: str) -> str:
    return (
        f"{record} does not describe a Zenodo record: the {what} is {value!r:.80}, expected "
        f"{expected}"
    )


def _is_checksum(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    algorithm, _, digits = value.partition(":")
    return len(digits) == _DIGITS.get(algorithm) and re.fullmatch("[0-9a-f]+", digits) is not None

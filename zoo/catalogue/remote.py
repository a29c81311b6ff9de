"""Files on servers: which one an entry means, how large it is, with which checksum."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from unifmir.errors import ZooError
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.catalogue.schema import UrlSource, ZenodoSource
from unifmir.zoo.catalogue.web_address import ZENODO_VARIABLE, zenodo_address

WEIGHTS = ("*.pt", "*.pth", "*.safetensors")
"""Names of files that may be checkpoints, where an entry does not say."""

_CHECKSUM = re.compile(r"(md5|sha1|sha256|sha512):[0-9a-f]{32,128}")


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
        name = unquote(urlsplit(source.url).path)
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
    try:
        return {
            str(file["key"]): (_size(file.get("size")), _checksum(file.get("checksum")))
            for file in document["files"]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ZooError(
            f"{record} does not describe a Zenodo record with files; is {ZENODO_VARIABLE} right?"
        ) from error


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _checksum(value: Any) -> str | None:
    return value if isinstance(value, str) and _CHECKSUM.fullmatch(value) else None

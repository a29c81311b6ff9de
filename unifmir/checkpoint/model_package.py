"""Weights of a BioImage.IO package, formats 0.4 and 0.5, read by its description.

Only the description and one member are opened: the tensors of `pytorch_state_dict`, or those of
`torchscript` by the reader that leaves the program alone. Source: bioimage.io model description.
"""

import copy
import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.sniffing import description_of
from unifmir.errors import ArchiveError, CheckpointError
from unifmir.hashing import SHA256_PATTERN, sha256_of
from unifmir.plain_text_values import MAX_YAML_BYTES, parse_yaml
from unifmir.zip_archive import Archive, opened_zip

logger = logging.getLogger(__name__)

READ_KINDS = ("pytorch_state_dict", "torchscript")
"""Kinds of weights that hold tensors under names, the preferred first."""


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """The weights of a package, as its description names them."""

    kind: str
    """One of `READ_KINDS`."""
    member: str
    """Name in the archive."""
    sha256: str
    """Declared SHA-256; empty where none is."""
    lineage: dict[str, str]
    """unifmir's own record of how the package was made, as strings; empty in other packages."""


def packaged_weights(archive: Archive) -> PackagedWeights:
    """Which member of a package holds the weights.

    Raises
    ------
    CheckpointError
        The description cannot be read, or names no weights that are read and in the package.
    ArchiveError
        The archive is damaged.
    """
    members = archive.members
    name = description_of(members)
    if name is None:
        raise CheckpointError("it has no rdf.yaml, so it is no BioImage.IO package")
    description = read_description(archive, name)
    if unnamed := _unnamed(description, name, members):
        logger.warning(
            "the package holds %d files that its %s does not name, and that are not looked at: %s",
            len(unnamed),
            name,
            ", ".join(unnamed)[:200],
        )
    kinds = description.get("weights")
    kinds = kinds if isinstance(kinds, dict) else {}
    folder = name.rpartition("/")[0]
    for kind in READ_KINDS:
        weights = kinds.get(kind)
        if isinstance(weights, dict) and (source := _source(weights.get("source"))):
            member = _member(source, folder, members)
            if member is not None:
                declared = _declared_hash(weights.get("sha256"), name)
                return PackagedWeights(kind, member, declared, lineage_of_description(description))
    raise CheckpointError(
        f"its {name} names no weights of kind {' or '.join(READ_KINDS)} that are in the package; "
        f"it has {', '.join(map(str, kinds))[:200] or 'no weights'}"
    )


@contextmanager
def unpacked_weights(path: Path) -> Iterator[tuple[Path, PackagedWeights]]:
    """The weights of a package as a file of its own, removed after the block.

    Raises
    ------
    CheckpointError
        The package is damaged or dangerous, or its weights are not those that it declares.
    """
    with temporary_folder() as folder:
        target = folder / "weights.pt"
        try:
            with opened_zip(path) as archive:
                found = packaged_weights(archive)
                archive.unpack(found.member, target)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path.name} is a BioImage.IO package whose weights cannot be read: {error}"
            ) from error
        except ArchiveError as error:
            raise CheckpointError(
                f"{path.name} is a BioImage.IO package that is damaged or refused ({error}): "
                "get it again"
            ) from error
        sha256 = sha256_of(target)
        if found.sha256 not in ("", sha256):
            raise CheckpointError(
                f"{path.name}: the SHA-256 of {found.member} is {sha256}, its description says "
                f"{found.sha256}: the package is damaged or was altered, get it again"
            )
        yield target, found


def read_description(archive: Archive, name: str) -> dict[str, Any]:
    """The description of a package; CheckpointError where it is no mapping within bounds."""
    try:
        found = copy.deepcopy(_parsed(archive.read(name, most=MAX_YAML_BYTES)))
    except CheckpointError as error:
        raise CheckpointError(f"its {name}: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"its {name} is not a mapping")
    return found


@lru_cache(maxsize=1)
def _parsed(text: bytes) -> Any:
    """Values of a description: a verification asks for one three times, 0.1 s each."""
    return parse_yaml(text)


def _unnamed(description: Mapping[str, Any], name: str, members: Collection[str]) -> list[str]:
    """Members that no text of the description names."""
    named = {name}
    waiting: list[Any] = [description]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif source := _source(value):
            # Format 0.4 names a class as FILE:CLASS.
            for text in (source, source.partition(":")[0]):
                found = _member(text, name.rpartition("/")[0], members)
                named.update([found] if found else [])
    return sorted(set(members) - named)


def _declared_hash(value: Any, name: str) -> str:
    """A SHA-256 in small letters; empty where the description has none."""
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or not re.fullmatch(SHA256_PATTERN, value.lower()):
        raise CheckpointError(
            f"its {name} has {str(value)[:80]!r} as the sha256 of the weights, expected 64 "
            "hexadecimal digits"
        )
    return value.lower()


def _source(value: Any) -> str:
    """File name of a source: itself, or the end of an address it was published under."""
    if not isinstance(value, str):
        return ""
    if "://" not in value:
        return value.replace("\\", "/").removeprefix("./")
    # Zenodo's addresses of files end in /files/NAME/content.
    path = unquote(urlsplit(value).path).removesuffix("/content")
    return path.rpartition("/")[2]


def _member(source: str, folder: str, members: Collection[str]) -> str | None:
    inside = f"{folder}/{source}" if folder else source
    return next((name for name in (inside, source) if name in members), None)


def lineage_of_description(description: Mapping[str, Any]) -> dict[str, str]:
    """Unifmir's own record in a description, one string a field; empty where there is none."""
    value: Any = description
    for name in ("config", "unifmir", "lineage"):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return {}
    return {
        key: part if isinstance(part, str) else json.dumps(part, sort_keys=True, default=str)
        for key, part in value.items()
    }

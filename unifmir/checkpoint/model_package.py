"""Weights of a BioImage.IO package, formats 0.4 and 0.5, read by its description.

Only the description and one member are opened: the tensors of `pytorch_state_dict`, or those of
`torchscript` by the reader that leaves the program alone. Source: bioimage.io model description.
"""

import json
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from unifmir.atomic import temporary_folder
from unifmir.checkpoint.sniffing import description_of
from unifmir.errors import CheckpointError
from unifmir.hashing import sha256_of
from unifmir.zip_archive import checked_members

READ_KINDS = ("pytorch_state_dict", "torchscript")
"""Kinds of weights that hold tensors under names, the preferred first."""
MAX_DESCRIPTION_BYTES = 2_000_000
"""Limit of a description, which has about 10,000."""


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


def packaged_weights(archive: zipfile.ZipFile) -> PackagedWeights:
    """Which member of a package holds the weights.

    Raises
    ------
    CheckpointError
        The description cannot be read, or names no weights that are read and in the package.
    BadZipFile
        The archive is damaged or dangerous.
    """
    members = checked_members(archive)
    name = description_of(members)
    if name is None:
        raise CheckpointError("it has no rdf.yaml, so it is no BioImage.IO package")
    if members[name].file_size > MAX_DESCRIPTION_BYTES:
        raise CheckpointError(
            f"its {name} has {members[name].file_size} bytes, expected at most "
            f"{MAX_DESCRIPTION_BYTES}"
        )
    description = _description(archive.read(name), name)
    kinds = description.get("weights")
    kinds = kinds if isinstance(kinds, dict) else {}
    folder = name.rpartition("/")[0]
    for kind in READ_KINDS:
        weights = kinds.get(kind)
        if isinstance(weights, dict) and (source := _source(weights.get("source"))):
            member = _member(source, folder, members)
            if member is not None:
                declared = str(weights.get("sha256") or "").lower()
                return PackagedWeights(kind, member, declared, _lineage(description))
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
            with zipfile.ZipFile(path) as archive:
                found = packaged_weights(archive)
                with archive.open(found.member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path.name} is a BioImage.IO package whose weights cannot be read: {error}"
            ) from error
        # RuntimeError: encrypted; NotImplementedError, one of them: unknown compression.
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
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


def _description(content: bytes, name: str) -> dict[str, Any]:
    # Imported here: most checkpoints are no packages.
    from ruyaml import YAML
    from ruyaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(content.decode("utf-8"))
    # ValueError with UnicodeDecodeError: text, dates and numbers; RecursionError: nesting.
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"its {name} is not YAML ({first[:200]})") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"its {name} is not a mapping")
    return found


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


def _lineage(description: Mapping[str, Any]) -> dict[str, str]:
    config = description.get("config")
    section = config.get("unifmir") if isinstance(config, dict) else None
    lineage = section.get("lineage") if isinstance(section, dict) else None
    if not isinstance(lineage, dict):
        return {}
    return {
        str(key): value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in lineage.items()
    }

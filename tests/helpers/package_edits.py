"""A small BioImage.IO package, taken apart, changed, and put together again."""

import copy
import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import unifmir
from tests.helpers.artifact_edits import PARENT
from tests.helpers.hostile import Room
from tests.helpers.restoration_cases import small
from unifmir.checkpoint.saving import save
from unifmir.export.formats.bioimageio.rdf import RDF
from unifmir.zip_archive import write_zip

NAME = "unifmir-sr.bioimageio.zip"
STATE, SCRIPT, GRAPH = "weights.pt", "weights.torchscript.pt", "weights.onnx"
CODE, GIVEN, MADE = "architecture.py", "test_input.npy", "test_output.npy"
INSIDE = (STATE, SCRIPT, GRAPH, CODE, GIVEN, MADE)

Files = dict[str, bytes]
Description = dict[str, Any]
Edit = Callable[[Files, Description], None]


@cache
def template() -> tuple[bytes, bytes]:
    """A package and its parent."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(small("sr"), folder / "source.safetensors")
        source = unifmir.load(folder / "source.safetensors")
        (artifact,) = unifmir.export(source, folder, formats=("bioimageio",))
        return artifact.path.read_bytes(), (folder / PARENT).read_bytes()


def unpacked() -> tuple[Files, Description]:
    """Files and description, for whoever changes them."""
    files, description = _unpacked()
    return dict(files), copy.deepcopy(description)


@cache
def _unpacked() -> tuple[Files, Description]:
    from ruyaml import YAML

    with zipfile.ZipFile(io.BytesIO(template()[0])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, YAML(typ="safe").load(files[RDF].decode())


def packed(room: Room, files: Files, description: Description | None) -> Path:
    from ruyaml import YAML

    if description is not None:
        text = io.StringIO()
        YAML(typ="safe").dump(description, text)
        files = {**files, RDF: text.getvalue().encode()}
    path = room.given / NAME
    write_zip(files, path)
    (room.given / PARENT).write_bytes(template()[1])
    return path


def exchange(files: Files, description: Description, name: str, content: bytes) -> None:
    """Another file of that name, with the hash that the description then declares."""
    files[name] = content
    for entry in sources(description):
        if entry["source"] == name and "sha256" in entry:
            entry["sha256"] = hashlib.sha256(content).hexdigest()


def sources(value: Any) -> Iterator[dict[str, Any]]:
    """Every part of a description that names a file."""
    if isinstance(value, dict):
        if isinstance(value.get("source"), str):
            yield value
        for item in value.values():
            yield from sources(item)
    elif isinstance(value, list):
        for item in value:
            yield from sources(item)


def bomb() -> bytes:
    """Nine lists of nine lists of nine ...: a billion letters in a few lines."""
    lines = ["a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines).encode()


DESCRIPTIONS: dict[str, bytes] = {
    "no mapping": b"- a\n- b\n",
    "a number": b"1\n",
    "nothing": b"",
    "a bomb of aliases": bomb(),
    "an alias of itself": b"a: &a [*a]\n",
    "a Python object": b"a: !!python/object/apply:os.system ['touch ran']\n",
    "a Python name": b"weights: !!python/name:os.system\n",
    "a deep nest": b"a: " + b"[" * 20_000 + b"]" * 20_000,
    "no UTF-8": b"a: \xff\xfe\n",
    "control characters": b"a: \x00\x1b[2J\n",
    "tabs": b"a:\n\t- b\n",
    "a name twice": b"format_version: 0.5.4\nformat_version: 0.4.0\nweights: {}\n",
    "an open bracket": b"a: [1, 2\n",
}

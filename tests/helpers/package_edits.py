"""A small BioImage.IO package, taken apart, changed, and put together again."""

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

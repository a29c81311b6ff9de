"""Packages of AOTInductor: native code of strangers, damaged, and lying of themselves."""

import io
import json
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hostile_artifacts import Members, Served, give, lineage, packed, placed
from unifmir.export.lineage import Lineage
from unifmir.export.runtimes.aotinductor import RECORD, made_here

FORMAT = "aotinductor"
CANARY = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void run(void) {
    const char *told = "executed-canary";
    close(open(told, O_CREAT | O_WRONLY, 0600));
}
"""
"""Native code that leaves a file in the working folder as soon as it is loaded."""
MODEL = "package/data/aotinductor/model/"


@cache
def library() -> bytes:
    """The canary, compiled where there is a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return b"\x7fELF" + bytes(1000)
    with tempfile.TemporaryDirectory() as name:
        source, made = Path(name, "canary.c"), Path(name, "canary.so")
        source.write_text(CANARY)
        command = [compiler, "-shared", "-fPIC", "-o", str(made), str(source)]
        subprocess.run(command, check=True)
        return made.read_bytes()


def record() -> dict[str, Any]:
    return {"lineage": lineage().to_strings(), "made": made_here()}


def members() -> Members:
    """A package as PyTorch writes one, whose code is the canary."""
    return {
        "package/archive_format": b"pt2",
        "package/archive_version": b"0",
        f"{MODEL}model.wrapper.so": library(),
        f"{MODEL}model.wrapper.cpp": b"int main;",
        f"{MODEL}model.wrapper_metadata.json": b'{"AOTI_DEVICE_KEY": "cpu"}',
        f"package/{RECORD}": json.dumps(record()).encode(),
    }


def case(name: str, make: Callable[[], bytes], *, trusting: bool = True) -> Case:
    """A case of other bytes; those that are refused whoever made them are trusted."""

    def write(room: Room) -> tuple[Path, bool]:
        return placed(room, FORMAT, make()), trusting

    return Case(f"{name}{'' if trusting else ', untrusted'}", write)


def changed(name: str, change: Callable[[Members], object], *, trusting: bool = True) -> Case:
    def make() -> bytes:
        files = members()
        change(files)
        return packed(files)

    return case(name, make, trusting=trusting)


def recorded(name: str, change: Callable[[dict[str, Any]], Any], *, trusting: bool = True) -> Case:
    """A case of an altered record."""

    def apply(files: Members) -> None:
        said = record()
        made = change(said)
        files[f"package/{RECORD}"] = made if isinstance(made, bytes) else json.dumps(said).encode()

    return changed(name, apply, trusting=trusting)


def strangers() -> Iterator[Case]:
    """Whole packages, of all disguises, that nobody trusts."""
    yield changed("as it is", lambda _: None, trusting=False)
    for folder in ("", "a", "../package", "x/y"):
        yield changed(
            f"its code in {folder!r}",
            partial(lambda f, files: files.update({f"{f}/model.so": library()}), folder),
            trusting=False,
        )
    for member in ("model.py", "__init__.py", "sitecustomize.py", "data.pkl", "libtorch.so"):
        yield changed(
            f"with {member}",
            partial(lambda m, files: files.update({f"package/{m}": b"import os"}), member),
            trusting=False,
        )
    for key in made_here():
        yield recorded(
            f"for another {key}",
            partial(lambda k, said: said["made"].update({k: "x"}), key),
            trusting=False,
        )
    yield case("compressed", lambda: packed(members(), zipfile.ZIP_DEFLATED), trusting=False)
    yield case("behind a script", lambda: b"#!/bin/sh\n" + packed(members()), trusting=False)


def malformed() -> Iterator[Case]:
    for name, content in {
        "no bytes": b"",
        "a text": b"a package, really",
        "an empty zip": b"PK\x05\x06" + bytes(18),
    }.items():
        yield case(name, partial(lambda c: c, content))
    yield case("a library alone", library)
    for part in (0.1, 0.5, 0.9, 0.99):
        yield case(f"cut at {part:g}", partial(lambda p: packed(members())[: int(10**4 * p)], part))
    for name in ("../../victim/pwn.so", "/tmp/pwn.so", "C:\\pwn.so", "a/../../pwn.so"):
        yield changed(
            f"a member {name!r}", partial(lambda n, files: files.update({n: library()}), name)
        )
    for position in (100, 2000, 8000):
        yield case(
            f"damaged at {position}", partial(lambda p: _flipped(packed(members()), p), position)
        )
    yield case("two members of a name", _doubled)
    yield case("a link", _linked)
    yield case("encrypted", _encrypted)
    yield case("compressed by LZMA", lambda: packed(members(), zipfile.ZIP_LZMA))
    yield case("a null byte in a name", lambda: packed(members()).replace(b".cpp", b".c\0p"))
    yield case("a declared size of 4 GiB", _resized)
    yield changed("without a record", lambda files: files.pop(f"package/{RECORD}"))
    yield changed("two records", lambda files: files.update({f"other/{RECORD}": b"{}"}))


def _flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]


def _doubled() -> bytes:
    made = io.BytesIO(packed(members()))
    with zipfile.ZipFile(made, "a") as archive:
        name = f"{MODEL}model.wrapper.so"
        archive.filelist.append(archive.getinfo(name))
        archive._didModify = True  # type: ignore[attr-defined]  # zipfile itself would only warn
    return made.getvalue()


def _linked() -> bytes:
    made = io.BytesIO(packed(members()))
    with zipfile.ZipFile(made, "a") as archive:
        link = zipfile.ZipInfo("package/link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return made.getvalue()


def _encrypted() -> bytes:
    content = bytearray(packed(members()))
    start = content.index(b"PK\x01\x02")
    content[start + 8] |= 1
    return bytes(content)


def _resized() -> bytes:
    content = packed(members())
    start = content.index(b"PK\x01\x02")
    return content[: start + 24] + b"\xfe\xff\xff\xff" + content[start + 28 :]


def records() -> Iterator[Case]:
    for name, content in {
        "no bytes": b"",
        "a number": b"1",
        "a list": b"[]",
        "nothing": b"{}",
        "nested": b"[" * 100_000,
        "not a number": b'{"lineage": NaN, "made": {}}',
        "no UTF-8": b"\xff{}",
        "2 MB": b'{"a": "' + b"x" * 2_000_000 + b'"}',
        "a lineage alone": json.dumps({"lineage": {}}).encode(),
        "more": json.dumps({"lineage": {}, "made": {}, "run": "x"}).encode(),
    }.items():
        yield recorded(f"a record of {name}", partial(lambda c, _: c, content))
    values: tuple[Any, ...] = (None, [], "x", 1, {"task": []}, {"task": {"a": {}}})
    for key in ("lineage", "made"):
        for value in values:
            yield recorded(
                f"{key} {value!r}", partial(lambda k, v, said: said.update({k: v}), key, value)
            )
    for field in fields(Lineage):
        for value in ("", "\x1b[2J", "../../victim/pwn", None):
            yield recorded(
                f"{field.name} {value!r}",
                partial(lambda k, v, said: said["lineage"].update({k: v}), field.name, value),
            )
        yield recorded(
            f"no {field.name}", partial(lambda k, said: said["lineage"].pop(k), field.name)
        )


def cases() -> Iterator[Case]:
    for part in (strangers, malformed, records):
        yield from part()


def _give(given: tuple[Path, bool], room: Room) -> Served:
    path, trusting = given
    return give(path, room, trusting=trusting)


def lie(_case: Case, _came: Served) -> str:
    """None of them may be taken."""
    return "it was loaded"


KIND = HostileKind("package of AOTInductor", cases, _give, lie)

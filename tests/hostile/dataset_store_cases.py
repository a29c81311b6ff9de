"""Datasets whose manifest or arrays lie."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.helpers.hostile import Case, Room
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest


@dataclass(frozen=True)
class Store:
    """A dataset to be read."""

    path: Path


_FILES: dict[str, bytes] = {}


@cache
def _prepared() -> dict[str, bytes]:
    """Files of the dataset of `_FILES`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place, content in _FILES.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(content)
        out = folder / "a.zarr"
        prepare(PreparationRequest(folder, out, "denoise", fractions=(0, 0), most_shift_px=99))
        return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def _case(name: str, change: Callable[[Path], Any]) -> Case:
    def made(room: Room) -> Store:
        out = room.given / "a.zarr"
        for place, content in _prepared().items():
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            (out / place).write_bytes(content)
        change(out)
        return Store(out)

    return Case(f"store: {name}", made)


def _said(path: tuple[Any, ...], value: Any) -> Callable[[Path], None]:
    """A function that changes an entry of the manifest."""

    def change(store: Path) -> None:
        place = store / "manifest.json"
        values = json.loads(place.read_text())
        inner = values
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        place.write_text(json.dumps(values))

    return change


def stores(files: dict[str, bytes]) -> Iterator[Case]:
    """All cases; `files` are those of the folder that the dataset is of."""
    _FILES.update(files)
    first = ("pairs", 0)
    entries: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
        (("schema",), (0, 2, "1", None)),
        (("task",), ("sr", "volume", "nothing", "", 1)),
        (("kind",), ("noisy", "", None)),
        (("patch",), ([2, 16, 15], [2**40] * 3, [0, 1, 1], [2, 16], "2")),
        (("truth_patch",), (None, [1, 16, 16], [2, 32, 32])),
        (("splits",), ({}, {"000000": "all"}, {"../../x": "train"})),
        ((*first, "folder"), ("../000001", "000009", "0", "000001", "/etc")),
        ((*first, "patches"), (0, 2, 10**12, -1)),
        ((*first, "magnification"), (0, 65)),
        ((*first, "truth"), (None, {})),
        ((*first, "input", "scalings"), ([{"low": 0, "span": -1}], [{"low": 0, "span": 0}], [1])),
        ((*first, "input", "sha256"), ("", "x" * 64)),
        ((*first, "input", "dtype"), ("object", "")),
    ]
    for path, values in entries:
        for value in values:
            name = ".".join(map(str, path))
            yield _case(f"{name} is {json.dumps(value)[:30]}", _said(path, value))
    yield from _other_files()


def _other_files() -> Iterator[Case]:
    def removed(place: str) -> Callable[[Path], None]:
        return lambda store: (store / place).unlink()

    def written(place: str, content: bytes) -> Callable[[Path], Any]:
        return lambda store: (store / place).write_bytes(content)

    pair = "pairs/000000"
    for place in ("manifest.json", "zarr.json", f"{pair}/input/zarr.json"):
        yield _case(f"{place} is missing", removed(place))
        for content in (b"", b"{", b"[" * 100_000, b"null", b'{"a": NaN}', bytes(100)):
            if (place, content[:1]) != ("zarr.json", b"{"):  # a group need say nothing
                yield _case(f"{place} is {content[:8]!r}", written(place, content))
    chunk = f"{pair}/input/c/0/0/0/0"
    for content in (b"", b"x", bytes(1000), b"(\xb5/\xfd" + bytes(50)):
        yield _case(f"a chunk is {content[:8]!r}", written(chunk, content))

    def linked(store: Path) -> None:
        (store / chunk).unlink()
        (store / chunk).symlink_to("../../../../../../../victim/precious.txt")

    yield _case("a chunk that leads out", linked)

    def exchanged(store: Path) -> None:
        shutil.copy(store / pair / "input/zarr.json", store / pair / "places/zarr.json")

    yield _case("places described as the input", exchanged)


def lie(case: Case, came: list[Any]) -> str | None:
    """Whether patches that lie were served: none of the cases may be."""
    return f"{len(came)} patches were served" if came else "it was taken for empty"

"""Engines of TensorRT and their passports: native code, damaged, foreign, and lying."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import unifmir
from tests.helpers import fake_tensorrt
from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hostile_artifacts import network, trust, trusted
from unifmir.checkpoint.saving import save
from unifmir.compare import FP32, compare
from unifmir.errors import UnifmirError
from unifmir.export import isolation
from unifmir.export.formats.tensorrt import engine_format
from unifmir.export.formats.tensorrt.options import EngineOptions
from unifmir.export.opening import open_session
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.tensorrt import engine, session
from unifmir.export.runtimes.tensorrt.host import Host
from unifmir.model import image_interface

CARD = Host("Linux", "A card", "GPU-1", "8.6", "13.0", "580.65.06")
ENGINE = "unifmir-sr.engine"
PASSPORT = f"{ENGINE}.passport.json"
SMALL = "1x1x8x8,1x1x16x24,2x1x24x24"
"""Profile: the sizes it takes."""


class _Patched:
    """A library and a card that are not here, and that tell whether an engine was loaded."""

    def __init__(self) -> None:
        self.loaded = 0
        self.api = fake_tensorrt.module()
        runtime = self.api.Runtime

        def counted(log: Any) -> Any:
            made = runtime(log)
            load = made.deserialize_cuda_engine

            def deserialize(content: bytes) -> Any:
                self.loaded += 1
                return load(content)

            made.deserialize_cuda_engine = deserialize
            return made

        self.api.Runtime = counted
        self._patches: list[Any] = [
            mock.patch.dict(sys.modules, {"tensorrt": self.api, "tensorrt_rtx": None}),
            mock.patch.object(engine, "CudaMemory", fake_tensorrt.CpuMemory),
            *(
                mock.patch.object(m, "host", return_value=CARD)
                for m in (engine_format, engine, session)
            ),
            # In this process, which has the library's stand-in.
            mock.patch.object(isolation, "is_own", return_value=True),
        ]

    def __enter__(self) -> "_Patched":
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patch in reversed(self._patches):
            patch.stop()


@cache
def template() -> dict[str, bytes]:
    """Files of an engine that was exported by another installation."""
    with tempfile.TemporaryDirectory() as name, _Patched():
        folder = Path(name)
        with mock.patch.dict("os.environ", {"UNIFMIR_TRUSTED": str(folder / "theirs")}):
            save(network(), folder / "parent.safetensors")
            options = {"tensorrt": EngineOptions(profile=SMALL)}
            unifmir.export(network(), folder / "out", formats=("tensorrt",), options=options)
        return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def case(
    name: str,
    change: Callable[[dict[str, bytes], Room], object],
    *,
    trusting: bool = True,
) -> Case:
    """A case of altered files; their engine is trusted, where not even that may help."""

    def write(room: Room) -> tuple[Path, bool]:
        files = dict(template())
        change(files, room)
        for file, content in files.items():
            (room.given / file).write_bytes(content)
        return room.given / ENGINE, trusting

    return Case(f"{name}{'' if trusting else ', untrusted'}", write)


def passport(name: str, change: Callable[[dict[str, Any]], Any], *, trusting: bool = True) -> Case:
    """A case of an altered passport."""

    def apply(files: dict[str, bytes], _: Room) -> None:
        said = json.loads(files[PASSPORT])
        made = change(said)
        files[PASSPORT] = made if isinstance(made, bytes) else json.dumps(said).encode()

    return case(name, apply, trusting=trusting)


VALUES: tuple[Any, ...] = (None, -1, "", "x/../../victim/pwn", [], {})
"""What a field is replaced by."""


def malformed() -> Iterator[Case]:
    for name, content in {
        "no bytes": b"",
        "a text": b"{not json",
        "no UTF-8": b"\xff\xfe{}",
        "a number": b"1",
        "a list": b"[]",
        "nothing in it": b"{}",
        "nested": b"[" * 100_000,
        "not a number": b'{"schema": NaN}',
        "a long number": b'{"schema": ' + b"9" * 10_000 + b"}",
    }.items():
        yield passport(f"a passport of {name}", partial(lambda c, _: c, content))
    yield case("no passport", lambda files, _: files.pop(PASSPORT))
    yield case("an engine without bytes", lambda files, _: files.update({ENGINE: b""}))
    yield case("an engine that is a text", lambda files, _: files.update({ENGINE: b"engine"}))
    for part in (1, 100, 1000):
        yield case(
            f"an engine {part} bytes short",
            partial(lambda n, files, _: files.update({ENGINE: files[ENGINE][:-n]}), part),
        )
    yield case("one byte more", lambda files, _: files.update({ENGINE: files[ENGINE] + b"\0"}))


def fields() -> Iterator[Case]:
    for key in json.loads(template()[PASSPORT]):
        yield passport(f"no {key}", partial(lambda k, said: said.pop(k), key))
        for value in VALUES:
            if key in ("engine_types", "verification") and value is None:
                continue  # as of one that was not run
            yield passport(
                f"{key} is {value!r}", partial(lambda k, v, said: said.update({k: v}), key, value)
            )


def lies() -> Iterator[Case]:
    def inner(key: str, **more: object) -> Callable[[dict[str, Any]], None]:
        return lambda said: said[key].update(more)

    yield passport("another library", inner("library", version="9.0"))
    yield passport("a library that is another module", inner("library", name="this"))
    yield passport("a library by a path", inner("library", name="../victim/precious"))
    yield passport("another card", inner("built_on", compute_capability="9.0"))
    yield passport("another system", inner("built_on", system="Windows"))
    yield passport("another parent", inner("parent", sha256="0a" * 32))
    yield passport("a parent by a path", inner("parent", name="../victim/precious.txt"))
    yield passport("another task", inner("lineage", task="../../victim/pwn"))
    yield passport("another scale", inner("lineage", scale="8"))
    yield passport("a huge profile", inner("profile", max=[10**9] * 4))
    yield passport("a profile of other axes", inner("profile", max=[1]))
    for precision in ("fp16", "bf16"):
        yield passport(f"called {precision}", inner("lineage", precision=precision))
    yield case("as it is", lambda *_: None, trusting=False)
    for key, value in (("verification", None), ("engine_types", None), ("rebuild", "rm -rf /")):
        yield passport(
            f"{key} {value!r}",
            partial(lambda k, v, said: said.update({k: v}), key, value),
            trusting=False,
        )

    def own(files: dict[str, bytes], room: Room) -> None:
        """Records of trust that lie beside the engine are not this user's."""
        digest = json.loads(files[PASSPORT])["engine_sha256"]
        (room.given / "trusted").mkdir()
        (room.given / "trusted" / digest).write_text("00" * 32)

    yield case("a record of trust beside it", own, trusting=False)


def cases() -> Iterator[Case]:
    for part in (malformed, fields, lies):
        yield from part()


@dataclass(frozen=True)
class Taken:
    """What became of an engine that was loaded."""

    loaded: int
    """How often the library was given one."""
    failures: list[str]
    """How its picture differs, where it could be run."""


@cache
def picture() -> tuple[np.ndarray, np.ndarray]:
    """An input of the engine, and what it becomes."""
    given = np.random.default_rng(0).random((1, 1, 16, 20), dtype=np.float32)
    with torch.inference_mode():
        return given, image_interface(network())(torch.from_numpy(given)).numpy()


def give(given: tuple[Path, bool], room: Room) -> Taken:
    """Verify an engine and open it.

    Raises
    ------
    UnifmirError
        It was not opened.
    """
    # Verifying writes into the passport.
    path, trusting = Path(shutil.copytree(given[0].parent, room.out / "engine"), ENGINE), given[1]
    failures: list[str] = []
    with _Patched() as patched, trusted(room):
        if trusting:
            trust(path)
        with contextlib.suppress(UnifmirError):  # it is opened all the same
            unifmir.verify(path)
        try:
            opened = open_session(RUNTIMES["tensorrt"], path, device="cuda:0", threads=1)
            failures = FP32.failures(compare(picture()[1], opened.run(picture()[0])))
        except UnifmirError:
            if trusting or not patched.loaded:
                raise
    return Taken(patched.loaded, failures)


def lie(case: Case, came: Taken) -> str | None:
    """Why it was wrong to take an engine."""
    if "untrusted" in case.name:
        return f"native code of a stranger was loaded {came.loaded} times"
    return came.failures[0] if came.failures else None


KIND = HostileKind("TensorRT engine", cases, give, lie)

"""Every hostile input of every kind is refused, or served rightly."""

from pathlib import Path

import pytest

from tests.helpers import hostile
from tests.helpers.hostile import Attempt, Case, HostileKind, attempt, attempts
from tests.hostile import KINDS, kind_named
from unifmir.errors import UnifmirError

COSTLY = (
    # Their cases run models: two thirds of the time of all.
    "artifact_lies_inputs",
    "onnx_inputs",
    "openvino_inputs",
    "package_inputs",
    "torchscript_inputs",
    # An image or an engine is written and given to the command anew for each case.
    "engine_inputs",
    "header_array_inputs",
    "name_inputs",
    "png_inputs",
    "tiff_inputs",
    "zarr_inputs",
    # Servers, stores and archives are made anew for each case.
    "archive_inputs",
    "dataset_inputs",
    "huggingface_inputs",
    "hypha_inputs",
    "metadata_inputs",
    "old_package_inputs",
    "request_inputs",
    "submission_inputs",
    "zenodo_inputs",
)
"""Kinds of which the slow tests try a tenth, 10 to 40 cases each, and `make test-all` all."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=pytest.mark.long if name in COSTLY else ()) for name in KINDS],
)
def test_nothing_hostile_is_believed(module, tmp_path):
    kind = kind_named(module)
    made = attempts(kind, tmp_path)
    assert [one for one in made if one.outcome not in hostile.WELL] == []
    assert len({one.case for one in made}) == len(made) >= 100


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("module", COSTLY)
def test_nothing_of_a_tenth_of_a_costly_kind_is_believed(module, tmp_path):
    made = attempts(kind_named(module), tmp_path, every=10)
    assert [one for one in made if one.outcome not in hostile.WELL] == []
    assert len(made) >= 10


def outcome(tmp_path: Path, tool) -> Attempt:
    """What a tool's answer to one harmless file is taken for."""

    def write(room: hostile.Room) -> Path:
        path = room.given / "a.bin"
        path.write_bytes(b"a")
        return path

    kind = HostileKind("toy", list, tool, lambda _case, came: came)
    return attempt(kind, Case("toy", write), tmp_path / "room")


def refusing(*_: object) -> None:
    raise UnifmirError("a.bin: expected b, found a; give b")


def starting(*_: object) -> None:
    import subprocess

    subprocess.run(["true"], check=True)


def copying(_given: Path, room: hostile.Room) -> None:
    (room.out / "result").write_bytes(hostile.SECRET)


def changing(given: Path, _room: hostile.Room) -> None:
    given.write_bytes(b"b")


def greedy(*_: object) -> None:
    bytearray(2 * hostile.MORE_MEMORY)


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (refusing, hostile.REFUSED),
        (lambda *_: None, hostile.RIGHT),
        (lambda *_: "it says 2", hostile.BELIEVED),
        (starting, hostile.EXECUTED),
        (copying, hostile.OUTSIDE),
        (changing, hostile.OUTSIDE),
        (lambda *_: 1 / 0, hostile.TRACEBACK),
        (greedy, hostile.TRACEBACK),
    ],
)
def test_each_way_to_fail_is_noticed(tool, expected, tmp_path):
    assert outcome(tmp_path, tool).outcome == expected


def test_a_hang_is_noticed(tmp_path, monkeypatch):
    import time

    monkeypatch.setattr(hostile, "SECONDS", 0.05)
    assert outcome(tmp_path, lambda *_: time.sleep(20)).outcome == hostile.HANG

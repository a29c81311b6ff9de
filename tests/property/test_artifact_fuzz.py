"""Artifacts with bytes of them changed by chance: refused, or served rightly."""

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import hostile
from tests.helpers.hostile import Case, HostileKind, Room, attempt
from tests.helpers.hostile_artifacts import exported, give, lie, placed
from unifmir.zip_archive import write_stored_zip

SECONDS = 120.0
"""Time for a format; each round is of a new seed, which the failure names."""
ZIPS = ("openvino", "torchscript")


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, left out, doubled, or moved."""
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        if not made:
            break
        start = int(rng.integers(len(made)))
        end = start + int(rng.integers(1, 40))
        part = bytes(made[start:end])
        match int(rng.integers(5)):
            case 0:
                made[start] ^= 1 << int(rng.integers(8))
            case 1:
                made[start:end] = b""
            case 2:
                made[start:start] = part
            case 3:
                made[start:end] = rng.bytes(len(part))
            case _:
                where = int(rng.integers(len(made)))
                made[where : where + len(part)] = part
    return bytes(made)


def mutated_member(content: bytes, rng: np.random.Generator) -> bytes:
    """An archive whose checksums are right, with a member that is altered."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    # Weights are most of the bytes, and the least of what can go wrong.
    names = [name for name in files if "/data/" not in name or rng.random() < 0.05]
    name = str(rng.choice(names))
    files[name] = mutated(files[name], rng)
    made = io.BytesIO()
    write_stored_zip(files, made)
    return made.getvalue()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("format_name", ["onnx", "openvino", "torchscript"])
def test_what_was_changed_by_chance_is_refused_or_right(format_name, tmp_path):
    kind = HostileKind(
        format_name,
        list,
        # A program that is trusted would be run; that it is not is another test's.
        lambda path, room: give(
            path, room, runtime="eager" if format_name == "torchscript" else None
        ),
        lie,
    )
    content = exported(format_name)
    start = time.monotonic()
    tried = 0
    while time.monotonic() - start < SECONDS:
        seed = np.random.SeedSequence().entropy
        rng = np.random.default_rng(seed)
        inside = format_name in ZIPS and rng.random() < 0.8
        changed = (mutated_member if inside else mutated)(content, rng)

        def write(room: Room, changed: bytes = changed) -> Path:
            return placed(room, format_name, changed)

        found = attempt(kind, Case(f"seed {seed}", write), tmp_path / str(tried))
        assert found.outcome in hostile.WELL, found
        tried += 1
    assert tried > 10

"""Artifacts that hostile ones are made of, and how an artifact is given to the tool.

One small network, exported once a process by each format alone, without the pipeline.
"""

import io
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

import unifmir
from tests.golden.weights import filled
from tests.helpers.hostile import Case, Room
from tests.helpers.quick_proofs import quick_proofs
from tests.helpers.restoration_cases import picture
from unifmir import trusted_files
from unifmir.checkpoint.saving import save
from unifmir.compare import FP32, compare
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.errors import UnifmirError
from unifmir.export import limits
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit
from unifmir.export.formats import FORMATS
from unifmir.export.lineage import Lineage, lineage_of
from unifmir.hashing import sha256_of
from unifmir.model import build, image_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.precision.recipe import PrecisionRecipe

Members = dict[str, bytes]
"""Content of an archive by name."""
PARENT = "parent.safetensors"
TRUSTED = "trusted"
"""Folder of the room whose records count while a case is given: those of another installation."""
SECONDS = 6.0
"""In place of `limits.SECONDS`, which a file may take: a kind has hundreds of them."""

LIES = {
    "task": ("x/../../victim/pwn", "denoise", "sr\0", "\x1b[2Jsr", "sr" * 60_000),
    "scale": ("8", "1e999", "-1", '"2"'),
    "precision": ("fp8", "../victim", ""),
    "interface": ("network", "x"),
    "parent": ('{"name": "../victim/precious.txt", "sha256": "00"}', "{}", "[" * 50_000, "NaN"),
    "config": ("{}", "[" * 50_000, '{"task": "sr"}', '{"body": {"embed_dim": 1e12}}'),
    "input_axes": ('["batch"]', "[]"),
    "schema": ("2", "1e309"),
}
"""What an artifact may say of itself: field of the lineage -> values that are wrong."""


def packed(files: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these files, the same bytes each time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
    return made.getvalue()


@cache
def network() -> Network:
    """A network of `sr` that runs in milliseconds."""
    body = BodyConfig(embed_dim=8, depths=(2,), num_heads=(2,), mlp_hidden=16)
    made = build(SingleTaskConfig("sr", body, tail_features=8, scale=2))
    made.load_state_dict(filled(made.state_dict(), seed=0))
    return made


@cache
def image() -> np.ndarray:
    """What is restored."""
    return picture((24, 32))


@cache
def right() -> np.ndarray:
    """What it becomes."""
    restored: np.ndarray = unifmir.restore(image(), network(), runtime="eager")
    return restored


@cache
def exported(format_name: str) -> bytes:
    """An artifact as it is written."""
    with tempfile.TemporaryDirectory() as name:
        job = ExportJob(
            network=network(),
            module=image_interface(network()),
            example=example(network().config, "image"),
            lineage=lineage(),
            recipe=PrecisionRecipe("fp32"),
            opset=17,
            credit=Credit(),
        )
        path = Path(name, f"unifmir-sr{FORMATS[format_name].suffix}")
        FORMATS[format_name].write(job, path)
        return path.read_bytes()


@cache
def lineage() -> Lineage:
    """What an artifact of the network says of itself."""
    with tempfile.TemporaryDirectory() as name:
        parent = save(network(), Path(name, PARENT))
    return lineage_of(network().config, "image", Precision("fp32"), parent)


@cache
def parent() -> bytes:
    """The network's file, which every artifact names."""
    with tempfile.TemporaryDirectory() as name:
        save(network(), Path(name, PARENT))
        return Path(name, PARENT).read_bytes()


def placed(room: Room, format_name: str, content: bytes, name: str = "unifmir-sr") -> Path:
    """Put an artifact of a stranger into the room, its parent beside it."""
    (room.given / PARENT).write_bytes(parent())
    path = room.given / f"{name}{FORMATS[format_name].suffix}"
    path.write_bytes(content)
    return path


@dataclass(frozen=True)
class Served:
    """What `verify` and `restore` made of an artifact; at least one of them took it."""

    passed: bool
    restored: np.ndarray | None


@contextmanager
def trusted(room: Room) -> Iterator[None]:
    """Be another installation, whose records of what it wrote and trusts are new ones."""
    records = {"UNIFMIR_TRUSTED": str(room.folder / TRUSTED)}
    with (
        mock.patch.dict("os.environ", records),
        mock.patch.object(limits, "SECONDS", SECONDS),
        quick_proofs(),
    ):
        yield


def trust(path: Path) -> None:
    """Trust a file, if it is one."""
    if path.is_file():
        trusted_files.trust(sha256_of(path))


def give(path: Path, room: Room, *, trusting: bool = False, runtime: str | None = None) -> Served:
    """Verify an artifact and restore an image with it, as another installation.

    Raises
    ------
    UnifmirError
        Neither took it.
    """
    told: list[str] = []
    passed, restored = False, None
    with trusted(room):
        if trusting:
            trust(path)
        try:
            report = unifmir.verify(path)
            passed = report.passed
            told += report.failures[:2]
        except UnifmirError as error:
            told.append(str(error))
        try:
            restored = unifmir.restore(image(), path, device="cpu", threads=1, runtime=runtime)
            np.save(room.out / "restored.npy", restored)
        except UnifmirError as error:
            told.append(str(error))
    if restored is None and not passed:
        raise UnifmirError("; ".join(told))
    return Served(passed, restored)


def lie(_case: Case, came: Served) -> str | None:
    """Why what was served is not right.

    It is not finite, of another shape, or another picture, whether `verify` passed it or not: the
    parent lies beside it, which `restore` holds it against.
    """
    restored = came.restored
    if restored is None:
        return None
    if restored.shape != right().shape or not np.isfinite(restored).all():
        return f"restored {restored.shape} with {np.isfinite(restored).mean():.0%} finite"
    failures = FP32.failures(compare(right(), restored))
    return f"restored another picture: {failures[0]}" if failures else None

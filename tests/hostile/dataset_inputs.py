"""Folders to prepare of which a pair is bad, and datasets that lie.

Each folder has a good pair as well: it must be kept, and the bad one be named and set aside.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.helpers.hostile import Case, HostileKind, Room
from tests.helpers.hostile_images import special_files
from tests.helpers.lab_folders import noisy, structure, write
from tests.hostile import dataset_archive_cases, dataset_store_cases
from unifmir.datasets.dataset_manifest import DatasetManifest
from unifmir.datasets.pairing import PairRule
from unifmir.datasets.preparation import prepare
from unifmir.datasets.preparation_request import PreparationRequest
from unifmir.datasets.stored_dataset import StoredDataset
from unifmir.errors import UnifmirError

RNG = np.random.default_rng(13)
TRUTH = structure(RNG, (2, 16, 16)).astype(np.uint16)
IMAGE = noisy(RNG, TRUTH)
GOOD, BAD = "low/good.tif", "bad"
RULE = PairRule("low", "high")


@dataclass(frozen=True)
class FolderCase(Case):
    """A folder with a bad pair; `harmless` where it may be kept as well."""

    rule: PairRule = RULE
    harmless: bool = False
    good: str = GOOD


@cache
def good_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / GOOD, IMAGE, "zyx")
        write(folder / "high/good.tif", TRUTH, "zyx")
        rng = np.random.default_rng(14)
        truth = structure(rng, (2, 16, 16)).astype(np.uint16)
        write(folder / "low/bad.tif", noisy(rng, truth), "zyx")
        write(folder / "high/bad.tif", truth, "zyx")
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.tif")}


def folder_case(name: str, change: Callable[[Path], Any], **more: Any) -> FolderCase:
    """A folder of two good pairs, of which `change` spoils the one named bad."""

    def made(room: Room) -> Path:
        for place, content in good_files().items():
            (room.given / place).parent.mkdir(exist_ok=True)
            (room.given / place).write_bytes(content)
        change(room.given)
        return room.given

    return FolderCase(name, made, **more)


def cut_files() -> Iterator[FolderCase]:
    for part in ("low", "high"):
        size = len(good_files()[f"{part}/bad.tif"])
        for cut in (0, 1, 4, 7, 8, 9, 40, 100, 200, 300, size // 2, size - 700, size - 1):

            def change(folder: Path, part: str = part, cut: int = cut) -> None:
                path = folder / part / "bad.tif"
                path.write_bytes(path.read_bytes()[:cut])

            # What ends a file of tifffile's is no pixel.
            yield folder_case(f"{part} cut after {cut} bytes", change, harmless=cut == size - 1)


def changed_bytes() -> Iterator[FolderCase]:
    rng = np.random.default_rng(15)
    for number in range(30):
        at, value = int(rng.integers(0, 320)), int(rng.integers(0, 256))

        def change(folder: Path, at: int = at, value: int = value) -> None:
            path = folder / "low/bad.tif"
            content = bytearray(path.read_bytes())
            content[at] = value
            path.write_bytes(bytes(content))

        yield folder_case(f"{number}: byte {at} is {value}", change, harmless=True)


def images(name: str, low: np.ndarray, high: np.ndarray, **more: Any) -> FolderCase:
    """A pair of these arrays, in TIFF files that say no axes but their shape."""

    def change(folder: Path) -> None:
        for part, image in (("low", low), ("high", high)):
            tifffile.imwrite(folder / part / "bad.tif", image, photometric="minisblack")

    return folder_case(name, change, **more)


def wrong_shapes() -> Iterator[FolderCase]:
    for z, y, x in (
        *((2, 15, 16), (2, 16, 15), (1, 16, 16), (3, 16, 16), (2, 17, 16), (2, 16, 17)),
        *((2, 32, 16), (2, 16, 32), (2, 24, 24), (4, 32, 32), (2, 8, 8), (16, 2, 16)),
        *((2, 1, 16), (2, 16, 1), (2, 1, 1), (1, 1, 1), (2, 7, 7)),
    ):
        size = f"{z} x {y} x {x}"
        other = np.random.default_rng(1).integers(100, 900, (z, y, x)).astype(np.uint16)
        yield images(f"a truth of {size}", IMAGE, other)
        yield images(f"an input of {size}", other, TRUTH)
    for shape in (
        (2, 2, 16, 16),
        (1, 2, 2, 16, 16),
        (2, 2, 2, 16, 16),
        (2, 2, 2, 2, 16, 16),
    ):
        other = np.resize(IMAGE, shape)
        yield images(f"an input of {len(shape)} axes {shape}", other, TRUTH)
        yield images(f"a truth of {len(shape)} axes {shape}", IMAGE, other)


def wrong_numbers() -> Iterator[FolderCase]:
    for value in (np.nan, np.inf, -np.inf, 3e38):
        spoiled = TRUTH.astype(np.float32)
        spoiled[0, 3, 4] = value
        yield images(f"a pixel of {value} in the input", spoiled, TRUTH, harmless=value == 3e38)
        yield images(f"a pixel of {value} in the truth", IMAGE, spoiled, harmless=value == 3e38)
        yield images(f"all pixels {value}", np.full_like(spoiled, value), TRUTH)
    for value in (0, 1, 255, 65535):
        yield images(f"an input of {value} everywhere", np.full_like(IMAGE, value), TRUTH)
        yield images(f"a truth of {value} everywhere", IMAGE, np.full_like(TRUTH, value))
    for most in (255, 511, 1023):
        yield images(f"a truth saturated at {most}", IMAGE, np.minimum(TRUTH * 4, most))
        yield images(f"an input saturated at {most}", np.minimum(IMAGE * 64, most), TRUTH)
    yield images("complex numbers", IMAGE.astype(np.complex64), TRUTH)
    yield images("numbers beyond float32", IMAGE * 1e300, TRUTH)
    yield images("a truth moved by 5 pixels", IMAGE, np.roll(TRUTH, 5, axis=2), harmless=True)


def other_files() -> Iterator[FolderCase]:
    contents = {
        "a web page": b"<!doctype html><title>404</title>",
        "an archive": b"PK\x03\x04" + bytes(30),
        "a JPEG": b"\xff\xd8\xff" + bytes(100),
        "a pickle": b"cos\nsystem\n(S'touch x'\ntR.",
        "zeros": bytes(5000),
        "text": b"no image\n" * 100,
        "escape sequences": b"\x1b[2J\x1b]0;x\x07" * 50,
    }
    for name, content in contents.items():
        for part in ("low", "high"):

            def change(folder: Path, part: str = part, content: bytes = content) -> None:
                (folder / part / "bad.tif").write_bytes(content)

            yield folder_case(f"{name} in {part}", change)
    for part in ("low", "high"):

        def remove(folder: Path, part: str = part) -> None:
            (folder / part / "bad.tif").unlink()

        yield folder_case(f"none in {part}", remove)


def special_names() -> Iterator[FolderCase]:
    for template in special_files("bad.tif", b"II*\0"):
        if template.name in ("a name of 300 letters", "a name with a null", "a file below a file"):
            continue  # no such file can be in a folder

        def special(folder: Path, template: Case = template) -> None:
            (folder / "low/bad.tif").unlink()
            template.write(Room(folder.parent / "special").made())
            shutil.move(folder.parent / "special/given/bad.tif", folder / "low/bad.tif")

        yield folder_case(template.name, special)
    for name in ("bad\x1b[2J.tif", "bad\n.tif", "bad\u202e.tif"):

        def rename(folder: Path, name: str = name) -> None:
            for part in ("low", "high"):
                (folder / part / "bad.tif").rename(folder / part / name)

        yield folder_case(f"the name {name!r}", rename)


def archives() -> Iterator[FolderCase]:
    for name, content, harmless in dataset_archive_cases.archives():

        def change(folder: Path, content: bytes = content) -> None:
            (folder / "bad.npz").write_bytes(content)
            (folder / "good.npz").write_bytes(dataset_archive_cases.good())

        yield folder_case(
            f"npz: {name}", change, rule=PairRule("*.npz"), harmless=harmless, good="good.npz"
        )


def stores() -> Iterator[Case]:
    yield from dataset_store_cases.stores(good_files())


def give(given: Any, room: Room) -> Any:
    """Prepare a folder, and read all of it as training does; or read a dataset."""
    if isinstance(given, dataset_store_cases.Store):
        dataset = StoredDataset(given.path)
        return [
            (dataset.input(one), dataset.truth(one, "shared")) for one in dataset.patches("train")
        ]
    rule = RULE if not (given / "bad.npz").exists() else PairRule("*.npz")
    request = PreparationRequest(given, room.out / "a.zarr", "denoise", (rule,), fractions=(0, 0))
    try:
        manifest = prepare(request)
    except UnifmirError as error:
        return f"one bad file ended it all: {error}"
    dataset = StoredDataset(room.out / "a.zarr")
    for patch in dataset.patches("train"):
        dataset.input(patch)
        dataset.truth(patch, "own")
    return manifest


def lie(case: Case, came: Any) -> str | None:
    """Why what came is wrong: the good pair is not there, or the bad one is, or is not named."""
    if isinstance(came, list):
        return dataset_store_cases.lie(case, came)
    if not isinstance(came, DatasetManifest):
        return str(came)
    assert isinstance(case, FolderCase)
    kept = {pair.input.name for pair in came.pairs}
    told = [one for one in came.set_aside if BAD in one.name]
    if case.good not in kept:
        return f"the good pair is not kept: {came.set_aside}"
    if any(BAD in name for name in kept):
        return None if case.harmless else "the bad pair is kept"
    if len(told) != 1 or len(told[0].reason) < 10:
        return f"the bad pair is not told of: {came.set_aside}"
    return None


def cases() -> Iterable[Case]:
    """All cases."""
    for some in (
        cut_files,
        changed_bytes,
        wrong_shapes,
        wrong_numbers,
        other_files,
        special_names,
        archives,
    ):
        yield from some()
    yield from stores()


KIND = HostileKind("folder to prepare, dataset", cases, give, lie)

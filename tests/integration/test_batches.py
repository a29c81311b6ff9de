"""Folders of images of which some are bad: each is tried, each is named, nothing hidden is left."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.images.tiff import TiffSource


def nan(path: Path) -> None:
    values = np.random.default_rng(0).random((24, 20)).astype(np.float32)
    values[3, 4] = np.nan
    tifffile.imwrite(path, values)


def colour(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((24, 20, 3), np.uint8), photometric="rgb")


def cut_short(path: Path) -> None:
    tifffile.imwrite(path, np.random.default_rng(0).random((64, 64)))
    path.write_bytes(path.read_bytes()[:9000])


def no_image(path: Path) -> None:
    path.write_bytes(b"II*\0 and then nothing")


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("<html>not found</html>")


def complex_numbers(path: Path) -> None:
    tifffile.imwrite(path, np.ones((24, 20), np.complex64))


BAD: tuple[Callable[[Path], None], ...] = (
    nan,
    colour,
    cut_short,
    no_image,
    empty,
    text,
    complex_numbers,
)


def good(path: Path) -> None:
    values = np.random.default_rng(0).integers(100, 4000, (24, 20)).astype(np.uint16)
    tifffile.imwrite(path, values, imagej=True)


@pytest.fixture(scope="module")
def model(tiny_single, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(tiny_single("sr"), path)
    return path


def filled(folder: Path, files: int, bad: int) -> dict[str, str]:
    """Write images of which `bad` are bad; the kind of each bad one."""
    kinds: dict[str, str] = {}
    for index in range(files):
        path = folder / f"image-{index:03}.tif"
        # Spread out, so that good ones come before, between and after.
        if index * bad // files != (index + 1) * bad // files:
            make = BAD[len(kinds) % len(BAD)]
            make(path)
            kinds[path.name] = make.__name__
        else:
            good(path)
    return kinds


def check(folder: Path, kinds: dict[str, str], files: int, done: Result) -> None:
    """Every file is restored or named, and the folder holds nothing else."""
    assert done.exit_code == 1, done.stderr
    told = json.loads(done.stdout)
    by_status = {status: [one for one in told if one["status"] == status] for status in STATUSES}
    assert len(by_status["restored"]) == files - len(kinds)
    assert {Path(one["input"]).name for one in by_status["refused"]} == set(kinds)
    for one in by_status["refused"]:
        assert one["reason"].startswith(one["input"])
        assert f"refused: {one['reason']}" in done.stderr
    counts = f"{files} files: {files - len(kinds)} restored, 0 skipped, {len(kinds)} refused"
    assert counts in done.stderr
    names = {path.name for path in folder.iterdir()}
    sources = {name for name in names if not name.endswith(".sr.tif")}
    assert len(sources) == files
    assert names - sources == {f"{Path(n).stem}.sr.tif" for n in sources - set(kinds)}


STATUSES = ("restored", "skipped", "refused")


def test_bad_files_never_stop_the_others_and_are_named(tmp_path, model, monkeypatch):
    monkeypatch.setattr("unifmir.zoo.restore.files.default_workers", lambda *_: 1)
    kinds = filled(tmp_path, files=12, bad=len(BAD))
    command = ["restore", str(tmp_path), "--model", str(model), "--device", "cpu", "--json"]
    check(tmp_path, kinds, 12, CliRunner().invoke(app, command))


@pytest.mark.slow  # 160 images are restored
def test_of_200_files_160_are_restored_and_40_named(tmp_path, model, monkeypatch):
    monkeypatch.setattr("unifmir.zoo.restore.files.default_workers", lambda *_: 1)
    kinds = filled(tmp_path, files=200, bad=40)
    command = ["restore", str(tmp_path), "--model", str(model), "--device", "cpu", "--json"]
    check(tmp_path, kinds, 200, CliRunner().invoke(app, command))


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch) -> Path:
    """A good image, a bad one, a good one; one process restores them."""
    monkeypatch.setattr("unifmir.zoo.restore.files.default_workers", lambda *_: 1)
    good(tmp_path / "a.tif")
    nan(tmp_path / "b.tif")
    good(tmp_path / "c.tif")
    return tmp_path


def restore(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["restore", *map(str, arguments), "--device", "cpu"])


def test_fail_fast_ends_at_the_first(mixed, model):
    done = restore(mixed, "--model", model, "--fail-fast")
    assert done.exit_code == 2
    assert str(mixed / "b.tif") in done.stderr
    assert len(list(mixed.iterdir())) == 3


def test_what_is_skipped_and_what_exists_is_told(mixed, model):
    (mixed / "a.sr.tif").write_bytes(b"precious")
    kept = restore(mixed, "--model", model, "--skip-existing")
    assert kept.exit_code == 1
    assert f"skipped: {mixed / 'a.tif'}" in kept.stderr
    assert "3 files: 1 restored, 1 skipped, 1 refused" in kept.stderr
    again = restore(mixed, "--model", model)
    assert "3 files: 0 restored, 0 skipped, 3 refused" in again.stderr
    assert (mixed / "a.sr.tif").read_bytes() == b"precious"


def test_an_image_that_fails_while_it_is_restored_leaves_nothing(mixed, model, monkeypatch):
    read = TiffSource.read

    def damaged(self, region):
        values = read(self, region)
        if self.info.name == "c.tif":
            reads.append(1)
        if self.info.name == "c.tif" and len(reads) > 2:
            raise ValueError("a strip that no library expected")
        return values

    reads: list[int] = []
    monkeypatch.setattr(TiffSource, "read", damaged)
    done = restore(mixed, "--model", model)
    assert done.exit_code == 1
    assert f"refused: {mixed / 'c.tif'}: failed with ValueError: a strip" in done.stderr
    assert {path.name for path in mixed.iterdir()} == {"a.tif", "a.sr.tif", "b.tif", "c.tif"}


REFUSED = """
import sys
from unifmir.cli.main import app
model, *images = sys.argv[1:]
for image in images:
    try:
        app(["restore", image, "--model", model], prog_name="unifmir")
    except SystemExit as end:
        print(image, end.code, "torch" in sys.modules)
"""


def test_a_bad_image_is_refused_before_torch_is_imported(tmp_path, model):
    images = [tmp_path / f"{kind.__name__}.tif" for kind in BAD]
    for kind, image in zip(BAD, images, strict=True):
        kind(image)
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, model, *images],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        check=True,
    )
    assert done.stdout.splitlines() == [f"{image} 2 False" for image in images], done.stderr
    for image in images:
        assert re.search(rf"^error: {image}: ", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("task", "shape", "axes", "told"),
    [
        ("volume", (24, 20), "YX", "expected multiples of 3"),
        ("projection", (24, 20), "YX", "projects 6"),
        ("isotropic", (6, 24, 20), "ZYX", "how far apart its planes are"),
    ],
)
def test_size_and_planes_are_looked_at_before_the_model_is_loaded(
    tiny_single, tmp_path, monkeypatch, task, shape, axes, told
):
    save(tiny_single(task), tmp_path / "tiny.safetensors")
    values = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": axes})

    def loaded(*_arguments, **_more):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("unifmir.zoo.restore.files.predictor_for", loaded)
    done = restore(tmp_path / "a.tif", "--model", tmp_path / "tiny.safetensors")
    assert done.exit_code == 2
    assert told in done.stderr
    assert str(tmp_path / "a.tif") in done.stderr

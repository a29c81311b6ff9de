"""The wheel in environments of its own: the lowest versions that are allowed, and newer Pythons.

Each is made by pip from the package index that the machine has: some gigabytes for torch, which are
removed again. What it computes is held against the environment that runs the tests.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from packaging.version import Version

from tests.helpers.wheels import call
from tests.packaging.lowest import EXTRAS, LOWEST, REPO, lower_bounds, read_project
from unifmir.compare import FP32, compare

MINUTES = 60.0
PINS = {"3.11": LOWEST, "3.12": REPO / "constraints.txt", "3.13": REPO / "constraints.txt"}
"""Version of Python -> what is installed with it. The tests' own environment is 3.11 with
constraints.txt."""


@dataclass(frozen=True, slots=True)
class Place:
    """An environment with the wheel, and a folder to work in."""

    scripts: Path
    folder: Path

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run one of the environment's programs, which must succeed; its stdout."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        program_path = self.scripts / program
        return call(program_path, *arguments, cwd=self.folder, env=kept, seconds=10 * MINUTES)


def pins(constraints: Path) -> dict[str, str]:
    """Version by distribution."""
    lines = constraints.read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_each_lower_bound_is_a_version_that_is_tested():
    tested = pins(LOWEST)
    bounds = lower_bounds(read_project())
    found = {name: tested.get(name.lower().replace(".", "-")) for name in bounds}
    assert None not in found.values()
    assert {n: Version(str(v)) for n, v in found.items()} == {
        name: Version(version) for name, version in bounds.items()
    }, "make them anew: python -m tests.packaging.lowest"


def test_lowest_versions_are_exact_and_without_torchvision():
    assert all(Version(version) for version in pins(LOWEST).values())
    assert "torchvision" not in pins(LOWEST)


def test_the_versions_of_python_that_are_named_are_those_of_the_tests():
    project = read_project()
    head = "Programming Language :: Python :: "
    named = [line.removeprefix(head) for line in project["classifiers"] if line.startswith(head)]
    assert named == ["3", *PINS]
    assert project["requires-python"] == f">={next(iter(PINS))}"


def find_python(version: str) -> Path | None:
    """An interpreter that runs, on PATH or of pyenv, whose names on PATH may lead nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = shutil.which(f"python{version}")
    candidates = [
        Path(sys.executable),
        *([Path(found)] if found else []),
        *pyenv.glob(f"{version}.*/bin/python{version}"),
    ]
    code = "import ensurepip, sys, venv; print('{}.{}'.format(*sys.version_info))"
    for candidate in candidates:
        answer = subprocess.run((candidate, "-c", code), capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return candidate
    return None


@contextmanager
def made_place(version: str, wheel: Path, extras: Sequence[str], folder: Path) -> Iterator[Place]:
    """The wheel with these extras in a new environment, which is removed after the block."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine, on PATH or of pyenv")
    call(python, "-m", "venv", folder / "venv", cwd=folder)
    made = Place(folder / "venv" / ("Scripts" if os.name == "nt" else "bin"), folder)
    try:
        # Compiling all of torch takes longer than compiling what is imported of it.
        install = ("-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile")
        named = f"{wheel}[{','.join(extras)}]" if extras else wheel
        pinned = ("--constraint", PINS[version], named)
        call(made.scripts / "python", *install, *pinned, cwd=folder, seconds=30 * MINUTES)
        yield made
    finally:
        shutil.rmtree(folder)


def write_cells(folder: Path) -> Path:
    """An image to restore."""
    cells = np.random.default_rng(0).poisson(40, (70, 90)).astype("uint16")
    tifffile.imwrite(folder / "cells.tif", cells)
    return folder / "cells.tif"


def assert_as_here(results: Iterable[Path], image: Path, folder: Path) -> None:
    """Hold restored images against what the environment of the tests makes of the same one."""
    here = ("restore", image, "--task", "sr", "--out", "here.tif")
    call(sys.executable, "-m", "unifmir", *here, cwd=folder)
    expected = tifffile.imread(folder / "here.tif")
    for path in results:
        assert not FP32.failures(compare(expected, tifffile.imread(path)))


@pytest.fixture(scope="module", params=list(PINS))
def place(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """The wheel with all extras, with each Python."""
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    with made_place(request.param, wheel, EXTRAS, folder) as made:
        yield made


@pytest.mark.slow
@pytest.mark.long  # seven gigabytes to fetch and unpack, three times
@pytest.mark.timeout(50 * MINUTES)
def test_export_verify_and_restore_work(place, tmp_path):
    place.run("python", "-m", "pip", "check")
    formats = ("onnx", "openvino", "bioimageio", "safetensors")
    chosen = [word for name in formats for word in ("--format", name)]
    place.run("unifmir", "export", "--task", "sr", *chosen, "--out", "out")
    artifacts = [file for file in (place.folder / "out").iterdir() if file.suffix != ".json"]
    assert len(artifacts) == len(formats)
    for artifact in artifacts:
        assert "passed" in place.run("unifmir", "verify", artifact)

    cells = write_cells(place.folder)
    onnx = ("--artifact", place.folder / "out" / "unifmir-sr.onnx")
    place.run("unifmir", "restore", cells, *onnx, "--out", "onnx.tif")
    place.run("unifmir", "restore", cells, "--task", "sr", "--out", "model.tif")
    place.run("unifmir", "restore", cells, "--task", "sr", "--out", "model.ome.zarr")
    assert (place.folder / "model.ome.zarr").is_dir()
    made = (place.folder / name for name in ("onnx.tif", "model.tif"))
    assert_as_here(made, cells, tmp_path)


@pytest.mark.slow
@pytest.mark.long  # gigabytes to fetch and unpack
@pytest.mark.timeout(20 * MINUTES)
def test_the_newest_python_exports_and_restores_with_the_extra_of_processors(
    wheel, tmp_path_factory, tmp_path
):
    version = list(PINS)[-1]
    folder = tmp_path_factory.mktemp("newest")
    with made_place(version, wheel, ("cpu",), folder) as place:
        told = place.run("unifmir", "export", "--task", "sr", "--format", "onnx", "--out", "out")
        assert "passed" in told
        cells = write_cells(folder)
        onnx = ("--artifact", folder / "out" / "unifmir-sr.onnx")
        place.run("unifmir", "restore", cells, *onnx, "--out", "onnx.tif")
        assert_as_here([folder / "onnx.tif"], cells, tmp_path)

"""The wheel holds one top-level package with everything in it, and works where nothing else is."""

import os
import re
import shutil
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import unifmir
from tests.helpers.wheels import call, wheel_from

FOLDERS = {
    "unifmir": "unifmir",
    **{name: f"unifmir/{name}" for name in ("export", "zoo", "benchmarks", "cli")},
}
"""Folder of the checkout -> folder of the wheel."""
NOT_SHIPPED = ("benchmarks/studies", "benchmarks/results", "cli/web")
"""Scripts behind our own tables, and their results; sources of the web page, which is built."""


def names_in(wheel: Path) -> list[str]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def files_to_ship(repo: Path) -> set[str]:
    """Every file of the package folders, by its name in the wheel; links are not followed."""
    shipped = set()
    for folder, target in FOLDERS.items():
        root = repo / folder
        skipped = [path for path in root.iterdir() if path.is_symlink()]
        skipped += [repo / name for name in NOT_SHIPPED]
        shipped |= {
            f"{target}/{path.relative_to(root).as_posix()}"
            for path in root.rglob("*")
            if path.is_file()
            and "__pycache__" not in path.parts
            and not any(folder in path.parents for folder in skipped)
            and path not in skipped
        }
    return shipped


def test_the_wheel_has_one_top_level_name(wheel):
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert tops == {"unifmir", f"unifmir-{unifmir.__version__}.dist-info"}
    with zipfile.ZipFile(wheel) as archive:
        info = f"unifmir-{unifmir.__version__}.dist-info"
        assert archive.read(f"{info}/top_level.txt").decode().split() == ["unifmir"]


def test_the_wheel_has_every_file_of_the_packages_once(wheel, repo):
    names = [name for name in names_in(wheel) if name.startswith("unifmir/")]
    assert len(names) == len(set(names))
    assert set(names) == files_to_ship(repo)


def test_the_wheel_has_presets_and_c_files(wheel, repo):
    patterns = ("training/presets/*.toml", "native/*.c", "native/*.h")
    for pattern in patterns:
        wanted = {
            f"unifmir/{path.relative_to(repo / 'unifmir').as_posix()}"
            for path in (repo / "unifmir").glob(pattern)
        }
        assert wanted, pattern
        assert wanted <= set(names_in(wheel))


@pytest.mark.slow  # one more build
def test_the_wheel_has_the_page_where_it_was_built(source, tmp_path):
    page = source / "cli" / "web" / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<title>unifmir</title>", "utf-8")
    (page / "assets" / "index-1a2b.js").write_text("0", "utf-8")
    names = names_in(wheel_from(source, tmp_path))
    shutil.rmtree(page)
    assert {name for name in names if name.startswith("unifmir/cli/web/")} == {
        "unifmir/cli/web/dist/index.html",
        "unifmir/cli/web/dist/assets/index-1a2b.js",
    }


def test_the_wheel_carries_licence_and_entry_point(wheel):
    info = f"unifmir-{unifmir.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        points = archive.read(f"{info}/entry_points.txt").decode()
        assert "BSD 3-Clause" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "unifmir = unifmir.cli.main:run" in points
    assert "[napari.manifest]\nunifmir = unifmir.cli.napari:napari.yaml\n" in points


@pytest.mark.slow  # two more builds
def test_a_wheel_from_the_source_archive_is_the_same(source, wheel, tmp_path):
    code = (
        "from setuptools import build_meta; import sys; print(build_meta.build_sdist(sys.argv[1]))"
    )
    call(sys.executable, "-c", code, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    again = wheel_from(unpacked, tmp_path / "wheel")
    assert sorted(names_in(again)) == sorted(names_in(wheel))


def test_the_version_is_the_same_everywhere(repo):
    citation = (repo / "CITATION.cff").read_text("utf-8")
    changelog = (repo / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [unifmir.__version__]
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == unifmir.__version__


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a new environment with the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    packages = Path(
        sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    )
    # The dependencies are those of this environment: torch is not fetched and unpacked again.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    call(
        *(sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--quiet"),
        *("--no-deps", "--no-index", wheel),
        cwd=folder.parent,
    )
    return scripts


@pytest.mark.slow
def test_the_installed_wheel_works_in_an_empty_folder(installed, tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    where = "import unifmir, unifmir.cli.main as m; print(unifmir.__file__); print(m.__file__)"
    for file in call(installed / "python", "-c", where, cwd=tmp_path, env=env).split("\n")[:2]:
        assert Path(file).is_relative_to(installed.parent)
    assert "export" in call(installed / "unifmir", "--help", cwd=tmp_path, env=env)
    call(
        *(installed / "unifmir", "export", "--task", "sr", "--format", "onnx", "--out", "out"),
        cwd=tmp_path,
        env=env,
    )
    assert list((tmp_path / "out").glob("*.onnx"))

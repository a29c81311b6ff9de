"""Partners' checks: environments beside this one, judgements, and what is not run."""

import io
import json
import os
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.compat.canned import PASSED
from unifmir.errors import ExportError, UnknownNameError
from unifmir.export.formats.bioimageio import tensors
from unifmir.export.formats.bioimageio.lint import Package, read_package
from unifmir.export.formats.bioimageio.partners import (
    PARTNERS,
    core_releases,
    deepimagej,
    jdll,
    package_checks,
    qupath,
    side_environments,
)
from unifmir.export.formats.bioimageio.partners.base import CheckedPackage, NotRunError
from unifmir.export.formats.bioimageio.partners.package_checks import check_package
from unifmir.export.formats.bioimageio.partners.side_environments import (
    FOLDER,
    SideEnvironment,
    pip_reason,
)
from unifmir.hashing import sha256_of
from unifmir.trusted_files import remember_own
from unifmir.zip_archive import write_zip

pytestmark = pytest.mark.xdist_group("small package")  # made once

SAYING = (
    "import json, sys; sys.stdout.write('words\\n' + json.dumps({'told': sys.argv[1:]}) + '\\n')"
)


@pytest.fixture
def path(small_package: Path) -> Path:
    return small_package


@pytest.fixture
def own(path: Path, monkeypatch, tmp_path) -> Path:
    """The package, as if it had been written here, and a test of the library that passes."""
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    monkeypatch.setattr(package_checks, "run_test", lambda *_: PASSED)
    remember_own(sha256_of(path))
    return path


@pytest.fixture
def environments(monkeypatch, tmp_path: Path) -> Path:
    """A private folder for environments."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(FOLDER, str(folder / "environments"))
    return folder / "environments"


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """Commands that would have been run; `venv` makes a folder with this Python in it."""
    called: list[list[str]] = []

    def call(command: list[str]) -> None:
        called.append(list(command))
        if "venv" in command:
            python = side_environments._python(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)

    monkeypatch.setattr(side_environments, "_called", call)
    return called


def given(path: Path, *, offline: bool = False) -> CheckedPackage:
    return CheckedPackage(path, read_package(path), offline, lambda _: None)


def test_an_environment_is_made_once_and_a_programs_last_line_is_its_answer(
    path, environments, commands, tmp_path
):
    program = tmp_path / "saying.py"
    program.write_text(SAYING)
    side = SideEnvironment("old", ("library==1.0",), alone=("big==2.0",))
    for _ in range(2):
        assert side.run(program, ["a", path], given(path)) == {"told": ["a", str(path)]}
    installs = [command[-1] for command in commands if "install" in command]
    assert installs == ["library==1.0", "big==2.0"]
    assert [one.name for one in environments.iterdir()] == [side.path.name]
    assert side.path.stat().st_mode & 0o077 == 0


def test_versions_that_pip_does_not_have_are_left_to_it(path, environments, monkeypatch, commands):
    make = side_environments._called

    def call(command):
        make(command)
        if "numpy==1.26.4" in command:
            raise NotRunError("pip failed: no wheel")

    monkeypatch.setattr(side_environments, "_called", call)
    side = SideEnvironment("engine", ("library==1.0",), wanted=("numpy==1.26.4",))
    side._interpreter(given(path))
    assert commands[-1][-2:] == ["library==1.0", "numpy"]
    assert side.differences({"library": "1.0", "numpy": "2.1.0"}) == (
        "numpy 2.1.0 in place of 1.26.4",
    )
    assert side.differences({"library": "1.0+cpu", "numpy": "1.26.4"}) == ()


@pytest.mark.parametrize(
    ("system", "machine", "asked"),
    [
        ("Linux", "x86_64", ["https://download.pytorch.org/whl/cpu", "torch==2.5.1+cpu"]),
        ("Linux", "aarch64", ["--no-deps", "torch==2.5.1"]),
        ("Darwin", "arm64", ["--no-deps", "torch==2.5.1"]),
        ("Windows", "AMD64", ["--no-deps", "torch==2.5.1"]),
    ],
)
def test_a_partners_torch_is_a_build_for_the_cpu(
    path, environments, monkeypatch, commands, system, machine, asked
):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    SideEnvironment("engine", ("library==1.0",), torch="2.5.1")._interpreter(given(path))
    assert commands[-1][-2:] == asked
    assert not any("--extra-index-url" in command for command in commands[:-1])


@pytest.mark.parametrize("offline", [True, False])
def test_what_has_no_environment_is_not_run_and_leaves_nothing(
    path, environments, monkeypatch, offline
):
    def fail(_command):
        raise NotRunError("pip failed: no network")

    monkeypatch.setattr(side_environments, "_called", fail)
    with pytest.raises(NotRunError, match="--offline" if offline else "no network"):
        SideEnvironment("old", ("library==1.0",))._interpreter(given(path, offline=offline))
    assert list(environments.iterdir()) == []


def test_an_environment_that_others_can_write_to_is_not_used(path, environments, commands):
    side = SideEnvironment("old", ("library==1.0",))
    side._interpreter(given(path))
    side.path.chmod(0o777)
    with pytest.raises(NotRunError, match="open to others"):
        side._interpreter(given(path))


def test_a_program_that_dies_is_an_error_with_its_last_words(
    path, environments, commands, tmp_path
):
    program = tmp_path / "dying.py"
    program.write_text("raise SystemExit('out of luck')")
    found = SideEnvironment("old", ()).run(program, [], given(path))
    assert "status 1" in found["error"]
    assert "out of luck" in found["error"]
    program.write_text("import json; print(json.dumps({'missing': 'No module named x'}))")
    with pytest.raises(NotRunError, match="No module named x"):
        SideEnvironment("old", ()).run(program, [], given(path))


def test_reasons_of_pip_hold_no_address():
    told = pip_reason("WARNING: x\nERROR: no versions at https://me:secret@host/simple for y\n")
    assert told == "pip failed: no versions at <address> for y"


def test_the_linked_torch_is_that_of_this_environment(tmp_path):
    there = tmp_path / ("Lib" if os.name == "nt" else "lib/python3") / "site-packages"
    there.mkdir(parents=True)
    side_environments._link_torch(tmp_path)
    import torch

    assert (there / "torch" / "__init__.py").resolve() == Path(torch.__file__).resolve()
    assert list(there.glob("torch-*.dist-info"))


FOUND = {"status": "passed", "reproduced": ["onnx"], "failures": []}


def test_ilastik_takes_one_tensor_and_one_format_that_reproduces(path):
    package = given(path)
    part = {**FOUND, "status": "valid-format", "failures": ["torchscript: differs"]}
    assert core_releases.passes(part, package)[0] == "failed"
    assert core_releases.takes_one_tensor(part, package)[0] == "passed"
    outcome, told = core_releases.takes_one_tensor({**part, "reproduced": []}, package)
    assert outcome == "failed"
    assert "torchscript: differs" in told
    package.contents.rdf["inputs"] *= 2
    assert core_releases.takes_one_tensor(FOUND, package)[0] == "failed"


def test_deepimagej_judges_the_worst_pixel():
    expected = np.array([[[[0.0, 10.0]]]], np.float32)
    assert deepimagej.share_of_allowed(expected, expected) == 0
    off = expected + np.array([0, 5e-4], np.float32)
    assert deepimagej.share_of_allowed(off, expected) == pytest.approx(5e-4 / 1.15e-3, rel=1e-2)
    for broken in (off[..., :1], expected * np.nan):
        assert deepimagej.share_of_allowed(broken, expected) == np.inf


def test_a_package_passes_deepimagejs_comparison_and_a_changed_one_fails_with_the_figure(
    own, tmp_path, environments
):
    checks = check_package(own, partners=("deepimagej", "jdll", "qupath"), offline=True)
    told = {one.name: one for one in checks.checks}
    assert [one.outcome for one in checks.checks] == 3 * ["passed"] + 2 * ["not run"]
    assert "of what is allowed" in told["deepimagej"].detail
    assert "in place of 2.0.0" in told["deepimagej"].instead[0]
    # Of this package the user's records hold the zip alone.
    assert "torchscript was not run" in told["deepimagej"].instead[1]
    assert "--offline" in told["jdll"].detail
    assert checks.score is not None
    assert "deepimagej" in checks.score.run
    assert checks.score.expected == ("ilastik", "biapy")
    json.dumps(checks.to_dict())

    package = read_package(own)
    name = package.rdf["outputs"][0]["test_tensor"]["source"]
    test = np.load(io.BytesIO(package.files[name]))
    changed = tmp_path / "changed.zip"
    write_zip({**package.files, name: tensors.npy_bytes(test + np.float32(1e-3))}, changed)
    remember_own(sha256_of(changed))
    checks = check_package(changed, partners=("deepimagej",), offline=True)
    assert set(checks.failed) == {"lint", "deepimagej"}
    assert checks.score is not None
    assert any(reason.startswith("deepimagej") for reason in checks.score.reasons)


@pytest.mark.slow  # processes of another environment
def test_the_torchscript_file_runs_in_the_torch_of_a_side_environment(
    path, environments, commands, monkeypatch
):
    asked = []

    def call(side, program, arguments, _given):
        asked.append(side.torch)
        done = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", program, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    monkeypatch.setattr(SideEnvironment, "run", call)
    report = jdll.run_old_torch(given(path))
    assert (report.name, report.outcome) == ("jdll-torch", "passed")
    assert asked == [jdll._OLDEST_TORCH[sys.version_info[:2]]]
    assert report.instead == (f"torch {report.versions['torch']} in place of 2.0.0",)

    package = read_package(path)
    name = package.rdf["weights"]["torchscript"]["source"]
    broken = CheckedPackage(
        path, Package(package.rdf, {**package.files, name: b"no script"}), True, lambda _: None
    )
    report = jdll.run_old_torch(broken)
    assert report.outcome == "failed"
    assert "Error" in report.detail


def test_bioengines_environment_has_what_its_runtime_has():
    check = core_releases.BIOENGINE.check
    assert isinstance(check, partial)
    side = check.keywords["environment"]
    assert side.pins == {
        "bioimageio.core": "0.10.4",
        "onnxruntime": "1.20.1",
        "numpy": "1.26.4",
        "torch": "2.5.1",
    }
    assert "onnx" not in side.requirements


def test_programs_of_a_package_from_elsewhere_are_not_run(
    path, monkeypatch, tmp_path, environments
):
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "nothing"))
    monkeypatch.setattr(package_checks, "run_test", lambda *_: pytest.fail("it was run"))
    checks = check_package(path, offline=True)
    outcomes = {one.name: one.outcome for one in checks.checks}
    assert outcomes == {"lint": "passed", **dict.fromkeys(["library", *PARTNERS], "not run")}
    for one in checks.checks[1:]:
        static = one.name in PARTNERS and not PARTNERS[one.name].runs_programs
        assert ("unifmir trust" in one.detail) != static
    assert checks.score is None


def test_qupath_is_told_what_it_lacks(path):
    package = given(path)
    (told,) = qupath.limits_of(package)
    assert "0 and 100 of each tile" in told
    package.contents.rdf["inputs"][0]["axes"][2]["id"] = "z"
    assert "z axis" in qupath.limits_of(package)[0]


def test_a_malformed_description_fails_in_words(path, tmp_path, monkeypatch):
    package = read_package(path)
    broken = CheckedPackage(
        path, Package({**package.rdf, "inputs": "none"}, dict(package.files)), True, lambda _: None
    )
    report = package_checks._report(PARTNERS["qupath"], broken, "")
    assert report.outcome == "failed"
    assert "cannot be checked" in report.detail


def test_no_file_and_no_such_partner_are_told(path, tmp_path):
    with pytest.raises(ExportError, match="no such file"):
        check_package(tmp_path / "none.zip")
    with pytest.raises(UnknownNameError, match="did you mean 'ilastik'"):
        check_package(path, partners=("ilastic",))

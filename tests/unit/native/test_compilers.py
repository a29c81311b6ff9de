"""Which C compiler makes the kernels, and that Clang inside Zig leaves nothing behind."""

import os
import platform
import sys
from pathlib import Path

import pytest

from unifmir import native
from unifmir.errors import MissingExtraError
from unifmir.native import compilation
from unifmir.native.compilers import Compiler, compilers_here, find_compiler


def program(path: Path, text: str) -> Path:
    """A program that says `text`, and its arguments and places for files."""
    path.parent.mkdir(exist_ok=True)
    told = '"$@" "$TMPDIR" "$ZIG_GLOBAL_CACHE_DIR" "$ZIG_LOCAL_CACHE_DIR"'
    path.write_text(f"#!/bin/sh\necho {text}\nprintf '%s\\n' {told}\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A machine without any compiler; the folder where programs and packages are found."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setitem(sys.modules, "ziglang", None)
    return tmp_path


@pytest.fixture
def package(nothing, monkeypatch):
    """The folder of a package `ziglang`, whose program says 9.9."""
    monkeypatch.delitem(sys.modules, "ziglang")
    monkeypatch.setattr("sys.path", [str(nothing)])  # where the real one is not
    zig = program(nothing / "ziglang" / "zig", "9.9")
    (zig.parent / "__init__.py").touch()
    return zig.parent


def test_the_variable_goes_before_programs_and_may_have_several_words(nothing, monkeypatch):
    program(nothing / "bin" / "cc", "cc 1")
    mine = program(nothing / "elsewhere" / "my cc", "mine 2.0")
    assert find_compiler().command == (str(nothing / "bin" / "cc"),)
    monkeypatch.setenv("CC", f"'{mine}' -m64")
    found = find_compiler()
    assert found == Compiler((str(mine), "-m64"))
    assert (found.name, found.version) == ("my cc -m64", "mine 2.0")
    assert not found.is_zig
    monkeypatch.setenv("CC", "nowhere")
    with pytest.raises(MissingExtraError, match="CC names nowhere, which is not on PATH"):
        find_compiler()


def test_the_package_is_taken_where_no_program_is(nothing, package):
    zig = Compiler((str(package / "zig"), "cc"))
    assert find_compiler() == zig
    assert (zig.is_zig, zig.name, zig.version) == (True, "zig cc", "zig 9.9")
    there = program(nothing / "bin" / "clang", "clang version 1")
    assert find_compiler() == Compiler((str(there),))
    assert list(compilers_here()) == [Compiler((str(there),)), zig]


@pytest.mark.parametrize("lack", ["the program", "permission", "the package's own file"])
def test_a_package_without_its_program_is_none(package, lack):
    if lack == "the program":
        (package / "zig").unlink()
    elif lack == "permission":
        (package / "zig").chmod(0o600)
    else:
        (package / "__init__.py").unlink()  # a folder of that name in the working folder
    with pytest.raises(MissingExtraError, match=r"pip install 'unifmir\[compiler\]'"):
        find_compiler()


def test_what_it_keeps_lies_in_the_folder_it_is_given(package, tmp_path):
    done = find_compiler().run(["-O3"], tmp_path)
    assert done.stdout.splitlines() == ["9.9", "cc", "-O3", *[str(tmp_path)] * 3]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of x86's processors")
def test_zig_has_names_of_its_own_for_processors():
    assert Compiler(("/bin/gcc",)).target("x86-64-v3") == "-march=x86-64-v3"
    assert Compiler(("/x/zig", "cc")).target("x86-64-v3") == "-march=x86_64_v3"
    assert Compiler(("/bin/python-zig", "cc")).target("native") == "-march=native"


@pytest.mark.slow  # compiles
def test_the_real_package_writes_no_file_but_the_library(monkeypatch, tmp_path):
    pytest.importorskip("ziglang", reason="no ziglang: pip install unifmir[compiler]")
    for name in ("home", "here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in [one for one in os.environ if one.startswith(("XDG_", "ZIG_", "CC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    monkeypatch.setenv(compilation.CACHE, str(tmp_path / "kernels"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    compilation.load_library.cache_clear()
    try:
        native.require()
    finally:
        compilation.load_library.cache_clear()
    assert native.compiler_version().startswith("zig 0.")
    (made,) = (tmp_path / "kernels").iterdir()
    assert made.suffix == ".so"
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "trusted" not in str(path)]
    assert left == [made]

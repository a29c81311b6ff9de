"""The folder of compiled kernels: the user's alone, and nothing loaded that was not made here."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.native_marks import needs_compiler
from unifmir import native
from unifmir.errors import ExportError
from unifmir.native import compilation
from unifmir.native.compilers import Compiler
from unifmir.trusted_files import remember_own

pytestmark = pytest.mark.xdist_group("kernel cache")  # compiled once


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Iterator[Path]:
    """The folder of the kernels; they are loaded anew in this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(compilation.CACHE, str(folder))
    monkeypatch.setattr(compilation, "_compile", compiled)
    _calls.clear()
    compilation.load_library.cache_clear()
    yield folder
    compilation.load_library.cache_clear()


_really_compile = compilation._compile
_libraries: dict[str, bytes] = {}
_calls: list[str] = []


def compiled(compiler: Compiler, arguments: list[str], out: Path) -> None:
    """A compiler that takes seconds once, whatever asks for the library."""
    _calls.append(out.name)
    if out.name not in _libraries:
        _really_compile(compiler, arguments, out)
        _libraries[out.name] = out.read_bytes()
    out.write_bytes(_libraries[out.name])


def loaded_again() -> int:
    """How often the compiler ran when the library was loaded as by another process."""
    before = len(_calls)
    compilation.load_library.cache_clear()
    native.require()
    return len(_calls) - before


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(monkeypatch, tmp_path, cache):
    broken = tmp_path / "brokencc"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho too old >&2; exit 1\n')
    broken.chmod(broken.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(ExportError, match=r"brokencc cannot compile.*\ntoo old"):
        native.require()
    assert list(cache.iterdir()) == []


@needs_compiler
def test_a_compiled_library_is_kept_in_a_private_folder(cache):
    assert loaded_again() == 1
    (made,) = cache.iterdir()
    assert cache.stat().st_mode & 0o077 == 0
    assert made.stat().st_mode & 0o077 == 0
    assert loaded_again() == 0


def replaced(path: Path, content: bytes) -> None:
    # Not in place: this process runs the file's pages.
    aside = path.with_name("aside")
    aside.write_bytes(content)
    aside.replace(path)


def altered(path: Path) -> None:
    replaced(path, path.read_bytes() + b"x")


def another(path: Path) -> None:
    # Also a library, and trusted: but under another name.
    source = path.parent.parent / "other.c"
    source.write_text("long has_bf16(void) { return 7; }")
    made = source.with_name("unifmir-other.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source], check=True)
    remember_own(compilation._mark(made))
    replaced(path, made.read_bytes())


def linked(path: Path) -> None:
    elsewhere = path.parent.parent / path.name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def writable(path: Path) -> None:
    path.chmod(0o666)


def text(path: Path) -> None:
    replaced(path, b"no library")


@needs_compiler
@pytest.mark.parametrize("change", [altered, another, linked, writable, text])
def test_what_was_not_made_here_is_compiled_anew(cache, change):
    native.require()
    (made,) = cache.iterdir()
    right = made.read_bytes()
    change(made)
    assert loaded_again() == 1
    assert not made.is_symlink()
    assert made.read_bytes() == right
    assert compilation.load_library().has_bf16() in (0, 1)
    assert loaded_again() == 0


@needs_compiler
def test_a_library_that_this_user_has_no_record_of_is_not_loaded(cache, monkeypatch, tmp_path):
    native.require()
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "of another user"))
    assert loaded_again() == 1
    assert loaded_again() == 0


@needs_compiler
@pytest.mark.parametrize("what", ["link", "open", "file", "shared place"])
def test_a_folder_that_is_not_private_is_not_used(cache, what, caplog, monkeypatch):
    elsewhere = cache.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    if what == "link":
        cache.symlink_to(elsewhere)
    elif what == "open":
        cache.mkdir()
        cache.chmod(0o770)
    elif what == "file":
        cache.write_text("")
    else:
        elsewhere.chmod(0o1777)
        monkeypatch.setenv(compilation.CACHE, str(elsewhere / "a" / "b"))
    assert loaded_again() == 1
    assert loaded_again() == 1
    assert "compiled again in every process" in caplog.text
    assert list(elsewhere.iterdir()) == []
    assert not cache.is_dir() or list(cache.iterdir()) == []


@needs_compiler
def test_a_private_folder_in_a_shared_place_serves(cache, monkeypatch):
    shared = cache.with_name("shared")
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "mine").mkdir(mode=0o700)
    monkeypatch.setenv(compilation.CACHE, str(shared / "mine" / "kernels"))
    assert loaded_again() == 1
    assert loaded_again() == 0

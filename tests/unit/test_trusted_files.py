"""Records of what may run here: signed, private, and of no use anywhere else."""

import os
import shutil
from pathlib import Path

import pytest

from unifmir import trusted_files
from unifmir.errors import UntrustedError
from unifmir.trusted_files import is_own, is_trusted, remember_own, require_trusted, trust

OURS, OTHER = "0a" * 32, "1b" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    where = tmp_path / "state" / "trusted"
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(where))
    return where


def test_nothing_is_trusted_before_it_is_said(folder):
    assert not is_trusted(OURS)
    assert not folder.exists(), "asking writes nothing"


def test_what_is_trusted_is_and_nothing_else():
    trust(OURS.upper())
    trust(OURS)
    assert is_trusted(OURS)
    assert not is_trusted(OTHER)


def test_records_are_private(folder):
    trust(OURS)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "key").stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir() if path.name.startswith("key")] == ["key"]


def test_records_are_private_where_new_files_are_shared_with_a_group(folder):
    before = os.umask(0o002)
    try:
        trust(OURS)
    finally:
        os.umask(before)
    assert is_trusted(OURS)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_record_of_another_file_or_another_user_is_none(folder, tmp_path, monkeypatch):
    trust(OURS)
    shutil.copy(folder / OURS, folder / OTHER)
    assert not is_trusted(OTHER), "the signature is of the other file"
    theirs = tmp_path / "theirs"
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(theirs))
    trust(OTHER)
    shutil.copy(theirs / OTHER, folder / OTHER)
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(folder))
    assert not is_trusted(OTHER), "the signature is by another key"


@pytest.mark.parametrize("name", ["", "key", OURS])
def test_what_others_can_write_or_read_is_not_used(folder, name):
    trust(OURS)
    (folder / name).chmod(0o777)
    assert not is_trusted(OURS)


def test_links_are_not_followed(folder, tmp_path):
    trust(OURS)
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    folder.symlink_to(moved)
    assert not is_trusted(OURS)
    with pytest.raises(UntrustedError, match="is a link"):
        trust(OTHER)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_a_damaged_record_or_key_trusts_nothing(folder, content):
    trust(OURS)
    kept = (folder / OURS).read_bytes()
    (folder / OURS).write_bytes(content)
    assert not is_trusted(OURS)
    (folder / OURS).write_bytes(kept)
    (folder / "key").write_bytes(content)
    assert not is_trusted(OURS)


@pytest.mark.parametrize("given", ["", "../key", "g" * 64, "0a" * 31, "0a" * 32 + "\n"])
def test_only_a_hash_can_be_trusted(given, folder):
    with pytest.raises(UntrustedError, match="64 hexadecimal digits"):
        trust(given)
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_told(folder):
    folder.parent.parent.joinpath("state").write_text("a file")
    with pytest.raises(UntrustedError, match="UNIFMIR_TRUSTED"):
        trust(OURS)
    assert not is_trusted(OURS)


def test_what_cannot_be_recorded_is_this_process_s_own_alone(folder, caplog, monkeypatch):
    monkeypatch.setattr(trusted_files, "_unrecorded", set())
    folder.parent.parent.joinpath("state").write_text("a file")
    remember_own(OURS)
    assert "other processes do not run it until `unifmir trust` says so" in caplog.text
    assert is_trusted(OURS), "it is verified by running it"
    assert not is_trusted(OTHER)
    monkeypatch.setattr(trusted_files, "_unrecorded", set())
    assert not is_trusted(OURS), "as in another process"


def test_the_refusal_says_what_to_do(tmp_path):
    file = tmp_path / "theirs.pt2"
    with pytest.raises(UntrustedError, match=rf"theirs\.pt2 holds .*unifmir trust {file}.*{OTHER}"):
        require_trusted(file, OTHER, "native code")
    trust(OTHER)
    require_trusted(file, OTHER, "native code")


def test_what_is_trusted_is_not_what_was_written_here(folder):
    trust(OTHER)
    assert not is_own(OTHER)
    remember_own(OURS)
    trust(OURS)
    assert is_own(OURS), "trusting what was written here takes nothing away"
    assert is_trusted(OURS)
    shutil.copy(folder / OURS, folder / OTHER)
    assert not is_own(OTHER)

"""The reader of archives: what is no plain row of files is refused before it is unpacked."""

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.zip_contents import read_zip
from unifmir import zip_archive
from unifmir.errors import ArchiveError
from unifmir.zip_archive import opened_zip, write_zip

Build = Callable[[zipfile.ZipFile], None]


def named(*names: str) -> Build:
    def build(archive: zipfile.ZipFile) -> None:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x")

    return build


def link(archive: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("weights.pt")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")


def other_compression(archive: zipfile.ZipFile) -> None:
    archive.writestr("a", b"x" * 100, compress_type=zipfile.ZIP_LZMA)


HOSTILE = {
    "parent": (named("../a"), "outside its folder"),
    "parent inside": (named("a/../../b"), "outside its folder"),
    "parent of Windows": (named("a\\..\\..\\b"), "outside its folder"),
    "root": (named("/etc/passwd"), "outside its folder"),
    "drive": (named("C:/a"), "outside its folder"),
    "twice": (named("a", "a"), "two members of the name"),
    "twice by slashes": (named("a/b", "a\\b"), "two members of the name"),
    "link": (link, "a link or a device"),
    "other compression": (other_compression, "method 14"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(("build", "problem"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_no_row_of_files_is_refused(build: Build, problem: str, tmp_path: Path):
    path = tmp_path / "given.zip"
    with zipfile.ZipFile(path, "w") as archive:
        build(archive)
    with pytest.raises(ArchiveError, match=problem):
        read_zip(path)


def altered(change: Callable[[bytearray, int, int], None]) -> bytes:
    """An archive of one member whose two headers were changed."""
    file = io.BytesIO()
    write_zip({"a": b"content " * 10}, file)
    content = bytearray(file.getvalue())
    change(content, content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02"))
    return bytes(content)


def test_an_encrypted_member_is_refused():
    def encrypted(content: bytearray, local: int, central: int) -> None:
        content[local + 6] |= 1
        content[central + 8] |= 1

    with pytest.raises(ArchiveError, match="encrypted"), opened_zip(altered(encrypted)):
        pass


def test_a_member_that_declares_to_grow_without_measure_is_refused():
    def larger(content: bytearray, local: int, central: int) -> None:
        content[local + 22 : local + 26] = (2_000_000_000).to_bytes(4, "little")
        content[central + 24 : central + 28] = (2_000_000_000).to_bytes(4, "little")

    grown = pytest.raises(ArchiveError, match=r"grow from .* to 2000000000 bytes")
    with grown, opened_zip(altered(larger)):
        pass


def test_members_from_files_are_the_same_bytes_as_those_from_memory(tmp_path):
    contents = {"a.txt": b"content " * 1000, "b.pt": bytes(range(256)) * 9000}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    write_zip(contents, tmp_path / "memory.zip")
    write_zip({name: tmp_path / name for name in contents}, tmp_path / "files.zip")
    assert (tmp_path / "files.zip").read_bytes() == (tmp_path / "memory.zip").read_bytes()
    assert read_zip(tmp_path / "files.zip") == contents


def test_the_most_that_deflate_can_do_is_taken(tmp_path):
    zeros = bytes(50_000_000)
    write_zip({"a": zeros}, tmp_path / "a.zip")
    assert read_zip(tmp_path / "a.zip") == {"a": zeros}


def test_too_many_members_or_bytes_are_refused(tmp_path, monkeypatch):
    write_zip({"a": b"12345", "b": b"12345"}, tmp_path / "a.zip")
    monkeypatch.setattr(zip_archive, "MAX_UNPACKED_BYTES", 9)
    with pytest.raises(ArchiveError, match="unpacks to 10 bytes"):
        read_zip(tmp_path / "a.zip")
    monkeypatch.setattr(zip_archive, "MAX_MEMBERS", 1)
    with pytest.raises(ArchiveError, match="2 members"):
        read_zip(tmp_path / "a.zip")

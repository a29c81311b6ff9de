"""Weights inside a downloaded package: taken out, and never written anywhere else."""

import struct

import pytest

from tests.helpers.small_models import without_configurations
from tests.helpers.zoo_server import PLANARIA, left, zipped
from unifmir import zip_archive
from unifmir.checkpoint.saving import save
from unifmir.errors import ZooError
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.load import load
from unifmir.zoo.catalogue.pull import cached_file, local_file
from unifmir.zoo.catalogue.schema import ZooEntry

BIG = bytes(range(256)) * 12_000


@pytest.fixture
def entry(monkeypatch) -> ZooEntry:
    """A packaged model whose file is on Zenodo, and may be a small one here."""
    without_configurations(monkeypatch)
    return find(PLANARIA)


@pytest.fixture
def checkpoint(tiny_single, tmp_path):
    """A denoising checkpoint."""
    save(tiny_single("denoise"), tmp_path / "in.safetensors")
    return (tmp_path / "in.safetensors").read_bytes()


def test_the_weights_are_taken_out_of_a_package(server, entry, checkpoint):
    package = zipped({"rdf.yaml": b"x", "weights/w.safetensors": checkpoint, "cover.png": b"p"})
    server.record({"package.zip": package})
    path = local_file(entry)
    assert (path.name, path.read_bytes()) == ("w.safetensors", checkpoint)
    assert left() == ["w.safetensors"]
    assert load(PLANARIA).task == "denoise"
    assert cached_file(entry) == path


@pytest.mark.parametrize(
    "name", ["../w.pt", "a/../../w.pt", "/etc/w.pt", "C:\\w.pt", "..\\w.pt", "w.pt\0.png"]
)
def test_a_package_that_would_write_elsewhere_is_refused(server, entry, name, tmp_path):
    clean = name.replace("\0", "0")
    package = zipped({"rdf.yaml": b"x", clean: b"evil"})
    # The library that writes the package cleans names; a hostile one would not.
    package = package.replace(clean.encode(), name.encode())
    server.record({"package.zip": package})
    with pytest.raises(ZooError, match="made to do harm"):
        local_file(entry)
    assert left() == []
    assert not list(tmp_path.rglob("w.pt"))


def test_a_package_without_weights_or_with_too_much_is_refused(server, entry, monkeypatch):
    server.record({"package.zip": zipped({"rdf.yaml": b"x"})})
    with pytest.raises(ZooError, match=r"no file like \*\.pt"):
        local_file(entry)
    server.record({"package.zip": zipped({"w.pt": bytes(2_000_000)})})
    monkeypatch.setattr(zip_archive, "MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(ZooError, match="unpacks to 2000000 bytes: refused"):
        local_file(entry)
    monkeypatch.setattr(zip_archive, "MAX_MEMBERS", 1)
    server.record({"package.zip": zipped({"w.pt": b"", "v": b""})})
    with pytest.raises(ZooError, match="has 2 members"):
        local_file(entry)
    assert left() == []


def test_a_member_larger_than_it_declares_is_refused(server, entry):
    package = bytearray(zipped({"w.pt": bytes(2_000_000)}))
    real, declared = struct.pack("<I", 2_000_000), struct.pack("<I", 1_000)
    assert package.count(real) == 2
    server.record({"package.zip": bytes(package.replace(real, declared))})
    with pytest.raises(ZooError, match=r"cannot be unpacked|more than it declares"):
        local_file(entry)
    assert left() == []


def test_a_damaged_package_is_refused(server, entry):
    package = bytearray(zipped({"w.pt": BIG}))
    package[2000] ^= 255
    server.record({"package.zip": bytes(package)})
    with pytest.raises(ZooError, match="cannot be unpacked"):
        local_file(entry)
    assert left() == []

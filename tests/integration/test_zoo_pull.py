"""Pulling models from a server on this machine that behaves as servers do, badly included."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.small_models import without_configurations
from tests.helpers.zoo_server import (
    FILE,
    PLANARIA,
    RECORD,
    Reply,
    left,
    zipped,
)
from unifmir.checkpoint.saving import save
from unifmir.errors import CheckpointError, InUseError, ZooError
from unifmir.file_locks import PREFIX
from unifmir.hashing import sha256_of
from unifmir.zoo.catalogue import directories, pins, transfer
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.load import load
from unifmir.zoo.catalogue.pull import local_file
from unifmir.zoo.catalogue.remote import safe_name
from unifmir.zoo.catalogue.schema import ZooEntry, parse_entry
from unifmir.zoo.catalogue.verifying import verify_local

BIG = bytes(range(256)) * 12_000
"""3 MB: three pieces of a transfer."""


@pytest.fixture(autouse=True)
def _small_files_are_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    without_configurations(monkeypatch)


@pytest.fixture
def entry() -> ZooEntry:
    """A packaged model whose file is on Zenodo."""
    return find(PLANARIA)


@pytest.fixture
def checkpoint(tiny_single, tmp_path):
    """A denoising checkpoint."""
    save(tiny_single("denoise"), tmp_path / "in.safetensors")
    return (tmp_path / "in.safetensors").read_bytes()


def with_source(entry: ZooEntry, **source: object) -> ZooEntry:
    """The entry with other facts about its source."""
    document = entry.model_dump(mode="json")
    document["source"] |= source
    return parse_entry(json.dumps(document), entry.id)


def test_a_model_is_pulled_once_and_pinned(server, entry):
    server.record({"model_best.pt": BIG, "rdf.yaml": b"name: x"})
    told: list[tuple[int, int]] = []
    path = local_file(entry, progress=lambda done, total: told.append((done, total)))
    assert (path.name, path.read_bytes()) == ("model_best.pt", BIG)
    assert told[-1] == (len(BIG), len(BIG))
    assert len(told) > 1
    pin = pins.pin_of(PLANARIA, "download")
    assert pin is not None
    assert (pin.sha256, pin.size_bytes, pin.source) == (
        hashlib.sha256(BIG).hexdigest(),
        len(BIG),
        server.url + FILE,
    )
    requests = len(server.asked)
    assert local_file(entry) == path
    assert len(server.asked) == requests
    assert left() == ["model_best.pt"]


def test_a_pulled_checkpoint_is_loaded(server, checkpoint):
    server.record({"model_best.safetensors": checkpoint})
    network = load(PLANARIA)
    assert (network.task, network.source.zoo_id) == ("denoise", PLANARIA)
    assert network.source.sha256 == hashlib.sha256(checkpoint).hexdigest()
    assert verify_local(find(PLANARIA)).passed


def test_a_cut_connection_goes_on_where_it_was(server, entry):
    server.record({"model_best.pt": BIG}, cut_after=2_000_000)
    assert local_file(entry).read_bytes() == BIG
    first, second = server.ranges()
    assert first is None
    start = int(str(second).removeprefix("bytes=").removesuffix("-"))
    # A piece that did not fill is lost with the connection.
    assert 0 < start <= 2_000_000
    assert [h.get("If-Range") for p, h in server.asked if p == FILE] == [None, '"v1"']
    assert left() == ["model_best.pt"]


def test_what_a_failed_pull_left_is_used_by_the_next(server, entry, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.record({"model_best.pt": BIG}, cut_after=2_000_000)
    with pytest.raises(ZooError, match=r"cut after \d+ .*bytes are kept and the next pull goes on"):
        local_file(entry)
    assert left() == [".partial", ".partial.json"]
    assert local_file(entry).read_bytes() == BIG
    assert server.ranges()[1] is not None
    assert left() == ["model_best.pt"]


def test_a_file_that_changed_meanwhile_starts_again(server, entry, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.record({"model_best.pt": BIG}, cut_after=2_000_000)
    with pytest.raises(ZooError, match="cut"):
        local_file(entry)
    server.record({"model_best.pt": BIG[::-1]}, etag='"v2"')
    assert local_file(entry).read_bytes() == BIG[::-1]


def test_a_server_without_ranges_starts_again(server, entry):
    server.record({"model_best.pt": BIG}, cut_after=2_000_000, ranges=False)
    assert local_file(entry).read_bytes() == BIG


def test_a_complete_file_of_a_killed_run_is_not_transferred_again(server, entry):
    server.record({"model_best.pt": BIG})
    folder = directories.cache() / "zoo" / PLANARIA
    folder.mkdir(parents=True)
    (folder / ".partial").write_bytes(BIG)
    assert local_file(entry).read_bytes() == BIG
    assert server.ranges() == []


def test_bytes_of_unknown_origin_are_not_continued(server, entry):
    server.record({"model_best.pt": BIG})
    folder = directories.cache() / "zoo" / PLANARIA
    folder.mkdir(parents=True)
    (folder / ".partial").write_bytes(b"something else")
    assert local_file(entry).read_bytes() == BIG
    assert server.ranges() == [None]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("path", [RECORD, FILE])
def test_a_busy_server_is_asked_again(server, entry, path, status):
    server.record({"model_best.pt": BIG})
    server.replies[path].failures = [status, status]
    assert local_file(entry).read_bytes() == BIG


@pytest.mark.parametrize("path", [RECORD, FILE])
def test_a_broken_server_is_given_up(server, entry, path):
    server.record({"model_best.pt": BIG})
    server.replies[path].failures = [500] * 50
    with pytest.raises(ZooError, match=f"500 .*{transfer.ATTEMPTS} times"):
        local_file(entry)
    assert left() == []


@pytest.mark.parametrize("path", [RECORD, FILE])
def test_a_missing_file_is_not_asked_for_again(server, entry, path):
    server.record({"model_best.pt": BIG})
    server.replies[path].failures = [404]
    with pytest.raises(ZooError, match=r"is not there \(404\)"):
        local_file(entry)
    assert [asked for asked, _ in server.asked].count(path) == 1
    assert left() == []


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_a_model(server, entry, content_type):
    page = b"<!DOCTYPE html><html>Please log in</html>"
    server.record({"model_best.pt": page}, content_type=content_type)
    with pytest.raises(ZooError, match="a web page instead of the file"):
        local_file(entry)
    assert left() == []


def test_a_web_page_is_not_a_listing(server, entry):
    server.replies[RECORD] = Reply(b"<html>Welcome</html>", content_type="text/html")
    with pytest.raises(ZooError, match="a web page instead of JSON"):
        local_file(entry)


@pytest.mark.parametrize("listing", [b"[]", b"{}", b'{"files": [{"key": "a"}, 3]}', b"null"])
def test_a_listing_of_another_kind_is_refused(server, entry, listing):
    server.replies[RECORD] = Reply(listing)
    with pytest.raises(ZooError, match="does not describe a Zenodo record"):
        local_file(entry)


def test_a_file_that_is_not_the_listed_one_is_refused(server, entry):
    server.record({"model_best.pt": BIG})
    server.replies[FILE].content = BIG[:-1] + b"x"
    with pytest.raises(ZooError, match="arrived damaged: its md5 is"):
        local_file(entry)
    assert left() == []
    server.replies[FILE].content = BIG[:-1]
    with pytest.raises(ZooError, match=f"{len(BIG) - 1} bytes, expected {len(BIG)}"):
        local_file(entry)
    assert left() == []


def test_a_truncated_file_of_unknown_length_is_refused(server, entry):
    server.record({"model_best.pt": BIG}, length=False)
    server.replies[FILE].content = BIG[:-5]
    with pytest.raises(ZooError, match=f"sent {len(BIG) - 5} bytes, expected {len(BIG)}"):
        local_file(entry)
    assert left() == []


@pytest.mark.parametrize("length", [True, False])
def test_a_file_larger_than_anything_expected_is_refused(server, entry, monkeypatch, length):
    monkeypatch.setattr(transfer, "MAX_BYTES", 1_000_000)
    server.record({"model_best.pt": BIG}, length=length)
    with pytest.raises(ZooError, match="expected at most 1000000"):
        local_file(entry)
    assert left() == []


def test_a_file_larger_than_its_entry_says_is_refused(server, entry):
    server.record({"model_best.pt": BIG})
    with pytest.raises(ZooError, match="expected at most 1000"):
        local_file(with_source(entry, size_bytes=1000))
    assert left() == []


def test_the_hash_of_the_entry_is_enforced(server, entry):
    server.record({"model_best.pt": BIG})
    right = with_source(entry, sha256=hashlib.sha256(BIG).hexdigest(), size_bytes=len(BIG))
    assert local_file(right).read_bytes() == BIG
    wrong = with_source(entry, sha256="0" * 64)
    with pytest.raises(ZooError, match="that the zoo entry names"):
        local_file(wrong)


def test_a_file_that_differs_from_the_first_pull_is_refused(server, entry):
    server.record({"model_best.pt": BIG})
    local_file(entry).unlink()
    server.record({"model_best.pt": BIG[::-1]})
    with pytest.raises(ZooError, match=r"at the first pull, \d{4}-\d\d-\d\d: its SHA-256 is"):
        local_file(entry)
    assert left() == []
    pin = pins.pin_of(PLANARIA, "download")
    assert pin is not None
    assert pin.sha256 == hashlib.sha256(BIG).hexdigest()


def test_a_damaged_cache_is_filled_again(server, entry):
    server.record({"model_best.pt": BIG})
    path = local_file(entry)
    path.write_bytes(BIG[:100])
    assert not verify_local(entry).passed
    with pytest.raises(ZooError, match="is damaged, and offline is set"):
        local_file(entry, offline=True)
    assert local_file(entry).read_bytes() == BIG
    assert verify_local(entry).passed


def test_offline_uses_what_is_here_and_asks_nobody(server, entry):
    server.record({"model_best.pt": BIG})
    with pytest.raises(ZooError) as caught:
        local_file(entry, offline=True)
    assert "https://doi.org/10.5281/zenodo.10579778" in str(caught.value)
    assert f"unifmir zoo add --from {PLANARIA} --file FILE" in str(caught.value)
    assert not server.asked
    path = local_file(entry)
    server.asked.clear()
    assert local_file(entry, offline=True) == path
    assert not server.asked


def test_two_files_that_fit_are_not_guessed_between(server, entry):
    server.record({"a.pt": b"a", "b.pt": b"b"})
    with pytest.raises(ZooError, match=r"2 files like \*\.pt: a\.pt, b\.pt"):
        local_file(entry)
    server.record({"readme.md": b"a"})
    with pytest.raises(ZooError, match=r"no file like .*; it has readme\.md"):
        local_file(entry)


def test_a_second_pull_of_the_same_model_is_told_who_is_at_it(server, entry):
    server.record({"model_best.pt": BIG})
    with (
        transfer.lock_folder(directories.cache() / "zoo" / PLANARIA),
        pytest.raises(InUseError, match=f"is being written by process {os.getpid()} "),
    ):
        local_file(entry)
    assert local_file(entry).read_bytes() == BIG


def test_a_killed_pull_does_not_keep_others_waiting(server, entry):
    server.record({"model_best.pt": BIG})
    folder = directories.cache() / "zoo" / PLANARIA
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from unifmir.zoo.catalogue import transfer\n"
        "with transfer.lock_folder(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, folder])
    assert killed.returncode == -signal.SIGKILL
    assert [path.name.startswith(PREFIX) for path in folder.iterdir()] == [True]
    assert local_file(entry).read_bytes() == BIG
    assert left() == ["model_best.pt"]


def test_a_file_that_cannot_be_loaded_is_kept_and_its_refusal_explained(server, entry):
    script = zipped({"m/data.pkl": b"x", "m/constants.pkl": b"x", "m/code/a.py": b"x"})
    server.record({"model_best.pt": script})
    with pytest.raises(CheckpointError, match="TorchScript file that is refused") as caught:
        load(PLANARIA)
    assert f"zoo model {PLANARIA}: Official fine-tuned model" in str(caught.value)
    assert left() == ["model_best.pt"]
    assert verify_local(entry).passed


def test_a_model_at_an_address_is_pulled(server, entry, checkpoint):
    url = f"{server.url}/models/a%20b.safetensors?download=1"
    server.replies["/models/a%20b.safetensors?download=1"] = Reply(checkpoint)
    document = entry.model_dump(mode="json") | {"source": {"kind": "url", "url": url}}
    path = local_file(parse_entry(json.dumps(document), "x"))
    assert (path.name, sha256_of(path)) == (
        "a_b.safetensors",
        hashlib.sha256(checkpoint).hexdigest(),
    )


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("model.pt", "model.pt"),
        ("../../x.pt", "x.pt"),
        ("a\\b.pt", "b.pt"),
        (".partial", "partial"),
        ("-rf", "rf"),
        ("..", "model"),
        ("", "model"),
        ("\u00e4 b;c\n.pt", "__b_c_.pt"),
        ("x" * 500 + ".pt", "x" * 125 + ".pt"),
    ],
)
def test_a_servers_file_name_is_made_harmless(name, safe):
    assert safe_name(name) == safe


def test_the_embedded_model_needs_no_network(server, monkeypatch, tmp_path):
    entry = find("unifmir-small-sim")
    weights = tmp_path / "weights" / "unifmir-small-sim.safetensors"
    weights.parent.mkdir()
    real: Callable[..., Path] = directories.packaged
    monkeypatch.setattr(
        directories, "packaged", lambda *p: weights if p[0] == "weights" else real(*p)
    )
    with pytest.raises(ZooError, match="missing in this installation"):
        local_file(entry)
    weights.write_bytes(b"weights")
    digest = sha256_of(weights)
    assert local_file(with_source(entry, sha256=digest), offline=True) == weights
    with pytest.raises(ZooError, match="install the package again"):
        local_file(with_source(entry, sha256="0" * 64))
    assert not server.asked

"""Files that were not written here: what verify and restore do with their programs."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile
import torch

import unifmir
from tests.helpers.command_line import run
from tests.helpers.quick_proofs import quick_proofs
from tests.helpers.restoration_cases import picture
from unifmir.checkpoint.saving import save
from unifmir.export.base import Artifact
from unifmir.hashing import sha256_of
from unifmir.zip_archive import write_stored_zip


@pytest.fixture(scope="module")
def written(tiny_single, tmp_path_factory) -> Artifact:
    """A TorchScript file, as it was written here."""
    folder = tmp_path_factory.mktemp("written")
    network = tiny_single("sr")
    save(network, folder / "parent.safetensors")
    script, _graph = unifmir.export(network, folder, formats=("torchscript", "onnx"))
    return script


@pytest.fixture
def graph(written: Artifact, tmp_path: Path) -> Path:
    """Copy of the ONNX file of the same export, with its parent."""
    for name in ("unifmir-sr.safetensors", "unifmir-sr.onnx"):
        shutil.copy(written.path.with_name(name), tmp_path)
    return tmp_path / "unifmir-sr.onnx"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, picture((40, 40)))
    return path


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As if what was written here had been written by another installation."""
    monkeypatch.setenv("UNIFMIR_TRUSTED", str(tmp_path / "trusted"))
    with quick_proofs():
        yield


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_it(*_: object, **__: object) -> None:
        raise AssertionError("a stranger's program was run")

    monkeypatch.setattr(torch.jit, "load", run_it)


@pytest.mark.slow
def test_what_was_written_here_is_run(written):
    report = unifmir.verify(written.path)
    assert report.passed
    assert not report.weights_only


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere", "never_run")
def test_a_strangers_program_is_verified_by_its_weights(written):
    verified = run("verify", written.path, "--json")
    assert verified.exit_code == 0, verified.stderr
    assert json.loads(verified.stdout)["weights_only"] is True
    assert "its program was not run" in run("verify", written.path).stdout


@pytest.mark.usefixtures("elsewhere", "never_run")
def test_a_strangers_program_restores_by_its_weights(written, image, tmp_path):
    restored = run("restore", image, "--artifact", written.path, "--runtime", "eager")
    assert restored.exit_code == 0, restored.stderr
    network = unifmir.load(written.path, task="sr")
    expected = unifmir.restore(tifffile.imread(image), network, runtime="eager")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.sr.tif"), expected)


@pytest.mark.usefixtures("never_run")
def test_weights_that_are_not_the_parents_do_not_pass(written, tmp_path):
    parent = written.path.with_name("unifmir-sr.safetensors")
    shutil.copy(parent, tmp_path)
    altered = tmp_path / written.path.name
    with zipfile.ZipFile(written.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    indices = 8 * 8**4  # bytes of a window's index, which no weight has
    weights = [name for name in files if "/data/" in name and len(files[name]) != indices]
    largest = max(weights, key=lambda name: len(files[name]))
    values = np.frombuffer(files[largest], np.float32) * np.float32(1.01)
    files[largest] = values.tobytes()
    write_stored_zip(files, altered)
    report = unifmir.verify(altered)
    assert report.weights_only
    assert not report.passed
    assert all(case.failures for case in report.results)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_file_that_is_trusted_is_run(written):
    given = run("verify", written.path, "--trust", written.sha256, "--json")
    assert json.loads(given.stdout)["weights_only"] is False


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_trusting_says_what_is_trusted(written, tmp_path):
    trusted = run("trust", written.path, "--json")
    assert trusted.exit_code == 0, trusted.stderr
    assert json.loads(trusted.stdout)["trusted"] == [
        {"file": str(written.path), "sha256": sha256_of(written.path)}
    ]
    assert not unifmir.verify(written.path).weights_only
    missing = run("trust", tmp_path / "none.pt2")
    assert missing.exit_code == 2
    assert "no such file" in missing.stderr
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"")
    data = run("trust", graph)
    assert data.exit_code == 2
    assert "needs no trust" in data.stderr


@pytest.mark.parametrize("command", ["verify", "restore", "benchmark"])
def test_a_hash_that_is_none_is_refused(command, written):
    given = {"verify": [written.path], "restore": ["--artifact", written.path, "a.tif"]}
    refused = run(command, *given.get(command, ["--artifact", written.path]), "--trust", "abc")
    assert refused.exit_code == 2
    assert "64 hexadecimal digits" in refused.stderr


def relabelled(graph: Path, key: str, change: Callable[[str], str]) -> None:
    model = onnx.load(graph)
    (said,) = (entry for entry in model.metadata_props if entry.key == key)
    said.value = change(said.value)
    graph.write_bytes(model.SerializeToString())


@pytest.mark.slow
def test_a_graph_that_says_it_is_another_network_does_not_pass(graph):
    def other_window(text: str) -> str:
        config = json.loads(text)
        return json.dumps(config | {"body": config["body"] | {"window_size": 16}})

    relabelled(graph, "config", other_window)
    report = unifmir.verify(graph)
    assert not report.passed
    assert [problem for problem in report.problems if "window_size=16" in problem]


def test_a_graph_of_another_folders_name_writes_nothing(graph, image, tmp_path):
    relabelled(graph, "task", lambda _: "x/../../victim/pwn")
    before = sorted(tmp_path.rglob("*"))
    refused = run("restore", image, "--artifact", graph, "--overwrite")
    assert refused.exit_code == 2
    assert "x/../../victim/pwn" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before

"""Files as training code leaves them, of the kinds that people report trouble with."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from tests.helpers.checkpoint_files import refusal, same_weights, saved
from tests.helpers.quick_rows import few_quick
from tests.helpers.training_files import (
    LOADED,
    TWO_SETS,
    UNSAFE,
    averaged,
    behind,
    write_archives,
    write_containers,
    write_refused,
    write_tar,
)
from unifmir.checkpoint.inspection import inspect_file
from unifmir.checkpoint.loading import load_file
from unifmir.errors import CheckpointError
from unifmir.networks.base import Network


@pytest.fixture
def network(tiny_single) -> Network:
    """A super-resolution network."""
    found: Network = tiny_single("sr")
    return found


@pytest.mark.parametrize("name", LOADED)
def test_a_file_with_one_set_of_weights_loads(name, network, tmp_path):
    path = saved(LOADED[name](network.state_dict()), tmp_path, name)
    assert same_weights(load_file(path), network)


@pytest.mark.parametrize("name", TWO_SETS)
def test_a_file_with_an_average_beside_asks_which(name, network, tiny_single, tmp_path):
    path = saved(TWO_SETS[name](network.state_dict()), tmp_path, name)
    message = refusal(path)
    assert "two sets of weights" in message
    assert "--weights raw or --weights ema" in message
    average = tiny_single("sr")
    average.load_state_dict(averaged(network.state_dict()))
    assert same_weights(load_file(path, weights="raw"), network)
    assert same_weights(load_file(path, weights="ema"), average)
    assert not same_weights(network, average)
    assert [inspect_file(path, weights=kind).weights for kind in ("raw", "ema")] == ["raw", "ema"]


def test_a_set_that_is_not_there_is_refused(network, tmp_path):
    path = saved(network.state_dict(), tmp_path)
    assert same_weights(load_file(path, weights="raw"), network)
    with pytest.raises(CheckpointError, match="no ema weights, only raw at the top"):
        load_file(path, weights="ema")


def test_two_sets_of_one_kind_are_not_guessed_between(network, tmp_path):
    state = network.state_dict()
    path = saved({**behind("student.", state), **behind("teacher.", state)}, tmp_path)
    assert "raw behind 'student.'; raw behind 'teacher.'" in refusal(path)


def test_what_belongs_to_no_network_is_told(network, tmp_path):
    path = saved(LOADED["lightning_loss.ckpt"](network.state_dict()), tmp_path)
    found = inspect_file(path)
    assert set(found.beside) == {
        "criterion.vgg.features.weight",
        "criterion.conv_first.weight",
        "val_psnr.total",
    }
    assert (found.nest, found.prefix) == ("state_dict", "model.")
    assert any("belong to no network: criterion" in note for note in found.notes)


def test_weights_in_half_precision_load(network, tmp_path):
    half = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    loaded = load_file(saved(half, tmp_path)).state_dict()
    assert all(torch.equal(loaded[key], half[key].to(loaded[key].dtype)) for key in half)


def test_other_containers_load(network, tmp_path):
    write_containers(network.state_dict(), tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6
    for path in files:
        assert same_weights(load_file(path), network), path.name


def test_archives_that_others_packed_load(network, tmp_path):
    files = write_archives(network.state_dict(), tmp_path)
    assert len(files) == 5
    for path in files:
        loaded = load_file(path)
        assert same_weights(loaded, network), path.name
        assert (loaded.source.name, loaded.source.size_bytes) == (path.name, path.stat().st_size)


def test_a_compressed_archive_leaves_nothing_in_the_temporary_folder(
    network, tmp_path, monkeypatch
):
    (temporary := tmp_path / "temporary").mkdir()
    (given := tmp_path / "given").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for path in write_archives(network.state_dict(), given):
        load_file(path)
    assert not list(temporary.iterdir())


def test_a_damaged_record_of_a_compressed_archive_is_refused(network, tmp_path):
    write_archives(network.state_dict(), tmp_path)
    path = tmp_path / "zip_deflated.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    message = refusal(path)
    assert "zip_deflated.pt" in message
    assert "damaged or incomplete" in message


def test_what_holds_no_network_is_refused_by_name(network, tmp_path):
    for name, words in write_refused(network.state_dict(), tmp_path).items():
        message = refusal(tmp_path / name)
        assert name in message
        assert words in message, message


def converted(message: str, folder: Path) -> Path:
    """Run the command of a refusal as it is printed; the file it says to use then."""
    (command,) = (line.strip() for line in message.splitlines() if line.startswith("  python"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, cwd=folder, env={**os.environ, "PATH": path})
    (written,) = folder.glob("*-weights.safetensors")
    assert f"use {written.name} here" in message
    return written


@pytest.mark.parametrize("name", few_quick(UNSAFE, ["of 'two' names.pt"]))
def test_the_printed_command_converts_a_file_that_is_refused(name, network, tmp_path):
    message = refusal(saved(UNSAFE[name](network.state_dict()), tmp_path, name))
    assert same_weights(load_file(converted(message, tmp_path)), network)


@pytest.mark.slow  # a process loads torch
def test_the_printed_command_converts_a_tar_of_the_first_torch(network, tmp_path):
    write_tar(network.state_dict(), tmp_path / "old_tar.pt")
    message = refusal(tmp_path / "old_tar.pt")
    assert "old_tar.pt is refused: it is a tar archive of torch before 0.1.10" in message
    assert same_weights(load_file(converted(message, tmp_path)), network)


@pytest.mark.slow  # two processes load torch
def test_the_printed_command_keeps_both_sets_and_whole_modules(network, tmp_path):
    import argparse

    two = TWO_SETS["params_and_ema.pth"](network.state_dict())
    message = refusal(saved({**two, "args": argparse.Namespace()}, tmp_path))
    path = converted(message, tmp_path)
    assert same_weights(load_file(path, weights="raw"), network)
    loaded = load_file(path, weights="ema").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in two["params_ema"].items())
    path.unlink()
    message = refusal(saved({"net": network, "epoch": 1}, tmp_path))
    assert same_weights(load_file(converted(message, tmp_path)), network)

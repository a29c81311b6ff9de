"""`unifmir inspect` and `unifmir prune`, from the command line to the files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file as load_safetensors

from tests.compat.packages import network
from tests.helpers.command_line import run as unifmir
from tests.helpers.script_archives import example, packaged, traced
from tests.helpers.training_files import averaged
from unifmir.checkpoint.loading import load_file
from unifmir.checkpoint.official import official_state_dict
from unifmir.hashing import sha256_of
from unifmir.networks.base import Network
from unifmir.output_place import PREFIX
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue import directories


@pytest.fixture
def checkpoint(tiny_multitask: Network, tmp_path: Path) -> Path:
    """An official-format multi-task file, in a folder of its own."""
    path = tmp_path / "in" / "model_best.pt"
    path.parent.mkdir()
    torch.save(official_state_dict(tiny_multitask), path)
    return path


def test_inspect_prints_one_json_document(checkpoint):
    result = unifmir("inspect", checkpoint, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["kind"], found["task"], found["format"]) == ("multitask", "", "torch-zip")
    assert found["candidate_tasks"] == list(TASKS)
    assert found["sha256"] == sha256_of(checkpoint)
    assert found["size_bytes"] == checkpoint.stat().st_size
    assert result.stderr == ""


def test_inspect_tells_people_the_same(checkpoint):
    result = unifmir("inspect", checkpoint)
    assert result.exit_code == 0
    found = json.loads(unifmir("inspect", checkpoint, "--json").stdout)
    assert "multi-task" in result.stdout
    assert f"{found['parameters']:,}" in result.stdout
    # A narrow terminal folds the hash, and cuts none of it.
    assert found["sha256"] in re.sub(r"\s", "", result.stdout)


def test_inspect_explains_a_file_that_does_not_fit(checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)
    cut = {
        k: v for k, v in state.items() if not k.startswith(("conv_lastv", "conv_before_upsamplev"))
    }
    torch.save(cut, tmp_path / "cut.pt")
    result = unifmir("inspect", tmp_path / "cut.pt", "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "a multi-task checkpoint without its volume tail" in result.stderr


def test_inspect_says_what_to_save_where_only_strangers_are_in_the_way(tiny_single, tmp_path):
    state = tiny_single("sr").state_dict()
    torch.save({**state, "extra.vgg.weight": torch.zeros(2, 2)}, tmp_path / "loss.pt")
    result = unifmir("inspect", tmp_path / "loss.pt")
    assert result.exit_code == 2
    assert "extra.vgg.weight [2, 2]" in result.stderr
    assert "save it alone, with network.state_dict()" in result.stderr


@pytest.mark.parametrize("command", [("verify",), ("restore", "cells.tif", "--artifact")])
def test_an_empty_graph_is_called_empty(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.onnx").touch()
    Path("cells.tif").touch()
    result = unifmir(*command, "empty.onnx")
    assert result.exit_code == 2
    assert "empty.onnx is empty" in result.stderr.replace("\n", " ")


def test_inspect_asks_for_the_right_task(tiny_single, tmp_path):
    torch.save(tiny_single("isotropic").state_dict(), tmp_path / "a.pt")
    assert json.loads(unifmir("inspect", tmp_path / "a.pt", "--json").stdout)["task"] == "denoise"
    chosen = unifmir("inspect", tmp_path / "a.pt", "--task", "isotropic", "--json")
    assert json.loads(chosen.stdout)["task"] == "isotropic"
    wrong = unifmir("inspect", tmp_path / "a.pt", "--task", "volume")
    assert wrong.exit_code == 2
    assert "--task denoise" in wrong.stderr


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"II*\0" + bytes(99)])
@pytest.mark.parametrize("command", ["inspect", "prune"])
def test_bad_files_end_with_code_2_and_no_traceback(command, content, tmp_path):
    bad = tmp_path / "bad.pt"
    bad.write_bytes(content)
    options = ["--task", "sr", "--out", tmp_path / "o.safetensors"] if command == "prune" else []
    result = unifmir(command, bad, *options)
    assert result.exit_code == 2
    assert "bad.pt" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [bad]


@pytest.mark.parametrize("task", TASKS)
def test_prune_writes_a_loadable_file_and_its_certificate(
    task, checkpoint, tiny_multitask, tmp_path
):
    before = sha256_of(checkpoint)
    out = tmp_path / "out" / "small.safetensors"
    result = unifmir("prune", checkpoint, "--task", task, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    written = json.loads((out.parent / "small.certificate.json").read_text("utf-8"))
    assert sorted(p.name for p in out.parent.iterdir()) == [
        "small.certificate.json",
        "small.safetensors",
    ]
    assert {key: told[key] for key in written} == written
    assert written["file"]["sha256"] == sha256_of(out)
    certificate = written["certificate"]
    assert certificate["parent"]["sha256"] == before == sha256_of(checkpoint)
    assert all(row["identical"] for row in certificate["comparisons"])
    # Every entry of the input is accounted for, every entry of the output has an origin.
    assert len(certificate["kept"]) + len(certificate["dropped"]) == len(
        official_state_dict(tiny_multitask)
    )
    assert sorted(certificate["kept"].values()) == sorted(load_safetensors(out))
    child = load_file(out)
    assert child.task == task
    assert child.certificate.to_dict() == certificate
    config = child.config
    channels = config.in_channels
    if config.view_unet is not None:
        channels = config.view_unet.views
    elif config.projector is not None:
        channels = config.projector.planes
    x = torch.rand(1, channels, 9, 13, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(child(x), tiny_multitask(x, task))


def test_prune_tells_people_what_it_saved(checkpoint, tmp_path):
    result = unifmir("prune", checkpoint, "--task", "sr", "--out", tmp_path / "sr.safetensors")
    assert result.exit_code == 0
    assert "bit for bit on 4 of 4 inputs" in result.stdout
    assert sha256_of(tmp_path / "sr.safetensors") in result.stdout


def test_prune_gives_the_same_bytes_every_time(checkpoint, tmp_path):
    for name in ("a", "b"):
        unifmir("prune", checkpoint, "--task", "sr", "--out", tmp_path / f"{name}.safetensors")
    assert sha256_of(tmp_path / "a.safetensors") == sha256_of(tmp_path / "b.safetensors")


def test_prune_replaces_older_outputs(checkpoint, tmp_path):
    out = tmp_path / "sr.safetensors"
    out.write_bytes(b"old")
    (tmp_path / "sr.certificate.json").write_text("old")
    assert unifmir("prune", checkpoint, "--task", "sr", "--out", out).exit_code == 0
    assert load_file(out).task == "sr"
    certificate = json.loads((tmp_path / "sr.certificate.json").read_text("utf-8"))
    assert certificate["file"]["sha256"] == sha256_of(out)


def test_prune_never_replaces_its_input(checkpoint, tmp_path):
    out = tmp_path / "sr.safetensors"
    unifmir("prune", checkpoint, "--task", "sr", "--out", out)
    before = sha256_of(out)
    link = tmp_path / "link.safetensors"
    link.symlink_to(out)
    for target in (out, link):
        result = unifmir("prune", out, "--task", "sr", "--out", target)
        assert result.exit_code == 2
        assert "would replace the input" in result.stderr
    assert sha256_of(out) == before


@pytest.mark.parametrize("name", ["sr.pt", "folder.safetensors"])
def test_prune_refuses_outputs_it_cannot_write(name, checkpoint, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    result = unifmir("prune", checkpoint, "--task", "sr", "--out", tmp_path / name)
    assert result.exit_code == 2
    assert name in result.stderr
    assert not (tmp_path / "sr.pt").exists()


@pytest.mark.parametrize("failing", ["weights", "certificate"])
def test_a_failure_while_writing_leaves_the_old_files(failing, checkpoint, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    old = {"sr.safetensors": b"old weights", "sr.certificate.json": b"old certificate"}
    for name, content in old.items():
        (folder / name).write_bytes(content)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "disk")

    target = "unifmir.checkpoint.saving.write_safetensors"
    if failing == "weights":
        monkeypatch.setattr(target, full)
    else:
        monkeypatch.setattr(Path, "write_text", full)
    result = unifmir("prune", checkpoint, "--task", "sr", "--out", folder / "sr.safetensors")
    assert result.exit_code == 2
    assert f"{folder / 'sr.safetensors'} cannot be written (No space left" in result.stderr
    assert "the disk is full: make room" in result.stderr
    assert PREFIX not in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == old
    assert not list(folder.glob(f"{PREFIX}*"))


def test_prune_of_another_task_is_refused_with_the_reason(tiny_single, tmp_path):
    torch.save(tiny_single("sr").state_dict(), tmp_path / "sr.pt")
    result = unifmir(
        "prune", tmp_path / "sr.pt", "--task", "volume", "--out", tmp_path / "o.safetensors"
    )
    assert result.exit_code == 2
    assert "--task sr" in result.stderr
    assert not (tmp_path / "o.safetensors").exists()


def test_a_missing_file_is_not_taken_for_a_zoo_model(tmp_path):
    shutil.rmtree(tmp_path / "absent", ignore_errors=True)
    result = unifmir(
        "prune", tmp_path / "absent.pt", "--task", "sr", "--out", tmp_path / "o.safetensors"
    )
    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_a_zoo_model_that_is_inspected_is_named_with_the_command_that_tells_of_it():
    result = unifmir("inspect", "unifmir-small-sim")
    assert result.exit_code == 2
    assert "`unifmir zoo show unifmir-small-sim`" in result.stderr


@pytest.fixture
def two_sets(tmp_path: Path) -> Path:
    """A file with the weights as trained, and their average."""
    state = network("sr").state_dict()
    path = tmp_path / "two.pth"
    torch.save({"params": state, "params_ema": averaged(state)}, path)
    return path


def first_weight(path: Path) -> torch.Tensor:
    return load_safetensors(path)["conv_first.weight"]


@pytest.mark.slow
def test_a_set_of_weights_is_chosen_wherever_a_checkpoint_goes(two_sets, tmp_path, monkeypatch):
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    both = torch.load(two_sets, weights_only=True)
    expected = {"raw": both["params"], "ema": both["params_ema"]}
    image = tmp_path / "cells.tif"
    tifffile.imwrite(image, np.random.default_rng(0).random((16, 16), dtype=np.float32))
    results = {}
    for kind in ("raw", "ema"):
        options = ("--weights", kind)
        inspected = unifmir("inspect", two_sets, *options, "--json")
        assert json.loads(inspected.stdout)["weights"] == kind
        out = tmp_path / kind
        pruned = unifmir("prune", two_sets, *options, "--task", "sr", "--out", f"{out}.safetensors")
        assert pruned.exit_code == 0, pruned.stderr
        exported = unifmir(
            "export", "--checkpoint", two_sets, *options, "--format", "safetensors", "--out", out
        )
        assert exported.exit_code == 0, exported.stderr
        about = ("--title", "x", "--dataset", "x", "--author", "x")
        added = unifmir("zoo", "add", "--id", f"my-{kind}", "--file", two_sets, *options, *about)
        assert added.exit_code == 0, added.stderr
        (given,) = (tmp_path / "home" / "files" / f"my-{kind}").iterdir()
        for path in (out.with_suffix(".safetensors"), *out.glob("*.safetensors"), given):
            assert torch.equal(first_weight(path), expected[kind]["conv_first.weight"]), path
        to = ("--runtime", "eager", "--out", out)
        restored = unifmir("restore", image, "--model", two_sets, *options, *to)
        assert restored.exit_code == 0, restored.stderr
        results[kind] = tifffile.imread(out / "cells.sr.tif")
        again = unifmir("restore", image, "--model", f"my-{kind}", *to, "--overwrite")
        assert again.exit_code == 0, again.stderr
        np.testing.assert_array_equal(tifffile.imread(out / "cells.sr.tif"), results[kind])
    assert not np.array_equal(results["raw"], results["ema"])


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "FILE"),
        ("prune", "FILE", "--task", "sr", "--out", "o.safetensors"),
        ("export", "--checkpoint", "FILE", "--out", "o"),
        ("restore", "cells.tif", "--model", "FILE"),
        ("zoo", "add", "--from", "unifmir-sr-er", "--file", "FILE"),
    ],
)
def test_every_command_asks_which_set_of_weights(command, two_sets, tmp_path, monkeypatch):
    monkeypatch.setenv(directories.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", np.ones((16, 16), np.float32))
    result = unifmir(*(two_sets if part == "FILE" else part for part in command))
    assert result.exit_code == 2
    assert "choose with --weights raw or --weights ema" in result.stderr.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.tif", "two.pth"]


def test_a_torchscript_file_named_like_our_own_is_a_checkpoint(tiny_single, tmp_path):
    network = tiny_single("sr")
    path = tmp_path / "weights.torchscript.pt"
    path.write_bytes(traced(network, example(network)))
    image = tmp_path / "cells.tif"
    tifffile.imwrite(image, np.random.default_rng(0).random((16, 16), dtype=np.float32))
    result = unifmir("restore", image, "--model", path, "--runtime", "eager")
    assert result.exit_code == 0, result.stderr
    package = tmp_path / "other.bioimageio.zip"
    package.write_bytes(packaged(path.read_bytes()))
    result = unifmir("restore", image, "--model", package, "--runtime", "eager", "--overwrite")
    assert result.exit_code == 0, result.stderr

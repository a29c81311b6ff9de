"""From a lab's images to a verified package: the commands of the README, at miniature size."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.document_blocks import REPO, blocks_of, unifmir_commands
from tests.helpers.lab_folders import lab_folder
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.networks.base import Network

CHAIN = ("data prepare", "train", "export")
"""First words of the three commands of a chain."""


def chain_with(command: str) -> list[list[str]]:
    """The commands of the README's chain that trains by this command, without `unifmir`."""
    for block in blocks_of(REPO / "README.md"):
        commands = [words[1:] for words in unifmir_commands(block)]
        if len(commands) == len(CHAIN) and commands[1][:2] == ["train", command]:
            return commands
    raise AssertionError(f"the README has no chain of three commands with `train {command}`")


def run_chain(
    commands: Sequence[Sequence[str]], miniature: Mapping[str, Sequence[object]]
) -> dict[str, str]:
    """Run commands with further options, by their first words; what each told as JSON."""
    told = {}
    for words, name in zip(commands, CHAIN, strict=True):
        assert " ".join(words).startswith(name)
        # Of an option that is given twice the last counts.
        arguments = [*words, *map(str, miniature.get(name, ())), "--json"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        told[name] = done.stdout
    return told


@pytest.fixture
def start(tmp_path: Path, tiny_multitask: Network) -> Path:
    """A network of random weights, in place of the embedded model."""
    path = tmp_path / "start.safetensors"
    save(tiny_multitask, path)
    return path


def require_verified_package(folder: Path) -> None:
    (package,) = folder.glob("*.zip")
    assert package.name.endswith(".bioimageio.zip")
    done = CliRunner().invoke(app, ["verify", str(package), "--json"])
    assert done.exit_code == 0, done.stderr
    assert '"passed": true' in done.stdout


@pytest.mark.slow
def test_pairs_become_a_verified_package_by_the_commands_of_the_readme(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab_folder(tmp_path / "lab", pairs=3, shape=(6, 24, 24), names=("noisy", "clean"))
    told = run_chain(
        chain_with("finetune"),
        {"data prepare": ("--patch", 16), "train": ("--init", start, "--steps", 2)},
    )
    assert json.loads(told["data prepare"])["splits"]["train"]["files"] == 3
    assert json.loads(told["train"])["tasks"] == ["denoise"]
    require_verified_package(tmp_path / "package")


@pytest.mark.slow
def test_noisy_images_alone_become_a_verified_package_by_the_commands_of_the_readme(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Of six stacks one is held out. A network of random weights gains by what it learns.
    lab_folder(tmp_path / "lab", pairs=6, shape=(8, 48, 48), names=("noisy", "clean"))
    told = run_chain(
        chain_with("self-supervised"),
        {
            "data prepare": ("--patch", 16),
            "train": ("--init", start, "--steps", 120, "--learning-rate", 3e-3),
        },
    )
    assert json.loads(told["train"])["tasks"] == ["denoise"]
    record = json.loads((tmp_path / "adapted.safetensors.training.json").read_text("utf-8"))
    assert "noisy patches in noisy.zarr" in record["data"]
    assert "of other files" in record["data"]
    require_verified_package(tmp_path / "package")

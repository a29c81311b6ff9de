"""Words of the command line: choices, other names for tasks, an image in a command's place."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

import unifmir
from unifmir.checkpoint.saving import save
from unifmir.cli import choices
from unifmir.cli.main import app
from unifmir.errors import UnknownNameError
from unifmir.export.formats import OPTIONS
from unifmir.json_values import plain
from unifmir.tasks import TASKS

LOADED = """
import sys
from unifmir.cli.main import app
try:
    app(sys.argv[1:], prog_name="unifmir")
except SystemExit as end:
    print(end.code)
print(*sys.modules)
"""


def run(*arguments: str | Path, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns), "TERMINAL_WIDTH": str(columns)}).invoke(
        app, [str(argument) for argument in arguments]
    )


@pytest.mark.parametrize(
    "command", ["restore", "export", "benchmark", "train finetune", "evaluate"]
)
@pytest.mark.parametrize("columns", [70, 80, 100])
def test_choices_never_break_inside_a_word(command, columns):
    shown = run(*command.split(), "--help", columns=columns).stdout
    words = set(re.findall(r"[\w-]+", shown))
    offered: dict[str, list[Any]] = {
        "restore": [choices.TaskChoice, choices.RuntimeChoice],
        "export": [choices.TaskChoice, choices.FormatChoice],
        "benchmark": [choices.TaskChoice, choices.RuntimeChoice, choices.WorkloadChoice],
        "train finetune": [choices.TaskChoice],
        "evaluate": [choices.TaskChoice],
    }
    assert not {name for choice in offered[command] for name in choice} - words


def test_options_of_one_format_have_a_panel_of_their_own():
    shown = run("export", "--help").stdout
    own, _, panel = shown.partition("Options of --format tensorrt")
    assert set(OPTIONS) == {"tensorrt"}
    assert "--timing-cache" in panel
    assert "--timing-cache" not in own


@pytest.mark.parametrize("name", TASKS)
def test_other_words_for_a_task_are_understood(name, tmp_path):
    assert TASKS[name].synonyms
    for word in (*TASKS[name].synonyms, TASKS[name].synonyms[0].capitalize()):
        for given in (("--task", word), (f"--task={word}",)):
            refused = run("restore", tmp_path / "missing.tif", *given)
            assert "no such file" in refused.stderr
        with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
            TASKS.require(word)


def test_no_two_tasks_share_a_word():
    words = [word for name in TASKS for word in (name, *TASKS[name].synonyms)]
    assert len(words) == len(set(words))
    assert all(word == word.lower() for word in words)


def test_an_unknown_task_is_refused_in_plain_words(tmp_path):
    refused = run("restore", tmp_path / "a.tif", "--task", "sr2")
    assert refused.exit_code == 2
    assert "Value error" not in refused.stderr
    assert "'sr2' is not one of 'sr'" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Value error, no such thing", "no such thing"),
        ("Input should be a valid string", "a valid string"),
        ("Assertion failed, too long", "too long"),
    ],
)
def test_messages_of_a_library_lose_its_own_words(message, shown):
    assert plain(message) == shown


@pytest.mark.parametrize("name", ["cells.tif", "missing.ome.zarr", "plain"])
def test_an_image_in_place_of_a_command_is_for_restore(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.tif").touch()
    (tmp_path / "plain").touch()
    refused = run(name, columns=200)
    assert refused.exit_code == 2
    unframed = re.sub(r"[\s│]+", " ", refused.stderr)
    assert f"unifmir restore {name} --task" in unframed


def test_a_wrong_command_is_not_taken_for_an_image():
    assert "unifmir restore" not in run("exprot").stderr


def test_the_table_of_results_names_the_axes_once(tiny_single, tmp_path):
    save(tiny_single("sr"), tmp_path / "tiny.safetensors")
    tifffile.imwrite(tmp_path / "a.tif", np.arange(24 * 20, dtype=np.uint16).reshape(24, 20))
    done = run("restore", tmp_path / "a.tif", "--model", tmp_path / "tiny.safetensors")
    assert done.exit_code == 0, done.stderr
    assert "shape (tczyx)" in done.stdout
    assert "t x c" not in done.stdout


@pytest.mark.slow
def test_restoring_imports_neither_compilers_nor_linters(tiny_single, tmp_path):
    save(tiny_single("sr"), tmp_path / "tiny.safetensors")
    tifffile.imwrite(tmp_path / "a.tif", np.arange(24 * 20, dtype=np.uint16).reshape(24, 20))
    command = ["restore", str(tmp_path / "a.tif"), "--model", str(tmp_path / "tiny.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command, "--runtime", "eager"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(unifmir.__file__).parents[1],
    )
    loaded = set(done.stdout.split())
    assert "torch" in loaded, done.stderr
    heavy = {"torch._dynamo", "sympy", "onnxslim", "onnxruntime", "bioimageio.spec", "openvino"}
    assert not heavy & loaded


@pytest.mark.slow  # the kernels are compiled
def test_the_first_compiling_of_the_kernels_is_told(tiny_single, tmp_path, monkeypatch):
    from unifmir.native import compilation

    compilation.load_library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save(tiny_single("sr"), tmp_path / "tiny.safetensors")
    tifffile.imwrite(tmp_path / "a.tif", np.arange(24 * 20, dtype=np.uint16).reshape(24, 20))
    command = ["restore", tmp_path / "a.tif", "--model", tmp_path / "tiny.safetensors"]
    first = run(*command)
    compilation.load_library.cache_clear()
    again = run(*command, "--overwrite")
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    assert "compiling the kernels" in first.stderr
    assert "compiling the kernels" not in again.stderr


@pytest.mark.slow
@pytest.mark.long  # processes are timed, in turn
def test_restoring_a_small_image_takes_at_most_2_2_times_a_bare_import_of_torch(tmp_path):
    from unifmir.benchmarks.studies import start_up

    commands = start_up.commands_in(tmp_path)
    for command in commands.values():
        start_up.timed(command)
    found = [{what: start_up.timed(one) for what, one in commands.items()} for _ in range(3)]
    rows = start_up.document_of(found)["rows"]
    assert isinstance(rows, list)
    ratios = {row["what"]: row["cpu_over_import"] for row in rows}
    assert max(ratios.values()) <= 2.2
    assert ratios["refusal of NaN"] < 0.6

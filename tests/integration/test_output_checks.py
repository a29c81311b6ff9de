"""A place that takes no output is told before anything is computed, by every command alike."""

import pytest

from tests.helpers.command_line import run as unifmir

MODEL = "unifmir-small-sim"
SHEET = "unifmir.datasets.contact_sheet"
COMMANDS = {
    "report": (["report", MODEL, "--out"], "page.html", "unifmir.zoo.catalogue.load.load_trained"),
    "prune": (
        ["prune", MODEL, "--task", "sr", "--out"],
        "sr.safetensors",
        "unifmir.zoo.catalogue.load.load",
    ),
    "data show": (["data", "show", "data.zarr", "--out"], "a.png", f"{SHEET}.contact_sheet"),
    "evaluate --csv": (["evaluate", "a.tif", "b.tif", "--csv"], "a.csv", ""),
    "evaluate --report": (["evaluate", "a.tif", "b.tif", "--report"], "a.html", ""),
    "evaluate --pictures": (["evaluate", "a.tif", "b.tif", "--pictures"], "shown", ""),
    "evaluate --data": (["evaluate", MODEL, "--data", "d.zarr", "--csv"], "a.csv", ""),
    "benchmark --plots": (
        ["benchmark", "--quick", "--plots"],
        "plots",
        "unifmir.benchmarks.measure.benchmark_run.benchmark",
    ),
    "export": (["export", "--task", "sr", "--out"], "out", ""),
    "train": (["train", "finetune", "--task", "sr", "--out"], "a.safetensors", ""),
    "data simulate": (["data", "simulate", "--task", "sr", "--out"], "pairs", ""),
}
"""Arguments, the output's name, and a function that computes and must not be reached.

Without one, a place that was looked at later would be told after other things: inputs that are not
there, or a time that the test has not.
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_inside_a_file_is_told_before_anything_is_computed(command, tmp_path, monkeypatch):
    arguments, name, computing = COMMANDS[command]
    (file := tmp_path / "file").write_text("x")

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("computed before the place was looked at")

    if computing:
        monkeypatch.setattr(computing, reached)
    monkeypatch.chdir(tmp_path)
    result = unifmir(*arguments, file / name)
    assert result.exit_code == 2, result.output
    assert str(file) in result.stderr
    assert "a part of the path is a file: choose another folder" in result.stderr
    assert file.read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

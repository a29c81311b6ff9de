"""`unifmir export --format tensorrt`, as a user calls it on a machine without a GPU."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unifmir.checkpoint.saving import save
from unifmir.cli.main import app


@pytest.fixture
def source(tiny_single, tmp_path):
    path = tmp_path / "source.safetensors"
    save(tiny_single("sr"), path)
    return path


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def export(source: Path, *arguments: str | Path):
    command = ["export", "--task", "sr", "--checkpoint", source, *arguments]
    return CliRunner().invoke(app, [str(a) for a in command])


def test_without_a_gpu_it_says_where_to_build_and_what_can_be_done_here(source, tmp_path):
    done = export(source, "--format", "tensorrt", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "on the machine that will run it" in done.output
    assert "--unverified-engine" in done.output
    assert not (tmp_path / "out").exists()


def test_without_a_library_it_says_what_to_install(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    arguments = ("--format", "tensorrt", "--unverified-engine", "--out", tmp_path / "out")
    done = export(source, *arguments)
    assert done.exit_code == 2
    assert "unifmir[tensorrt-rtx]" in done.output


@pytest.mark.slow  # an engine is built; tests/unit/export/tensorrt has one among the quick tests
def test_an_unverified_engine_is_published_as_one(source, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="an extra, not installed here")
    out = tmp_path / "out"
    arguments = ("--format", "tensorrt", "--unverified-engine", "--target", "8.6", "--json")
    done = export(source, *arguments, "--out", out)
    assert done.exit_code == 0, done.output
    assert "not verified" in done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["report"]["passed"] is False
    assert "without running it" in artifact["details"]["unverified"]
    assert sorted(p.name for p in out.iterdir()) == [
        "unifmir-sr.engine",
        "unifmir-sr.engine.onnx",
        "unifmir-sr.engine.passport.json",
        "unifmir-sr.engine.report.json",
        "unifmir-sr.safetensors",
    ]
    assert json.loads((out / "unifmir-sr.engine.passport.json").read_text())["targets"] == ["8.6"]
    again = CliRunner().invoke(app, ["verify", str(out / "unifmir-sr.engine")])
    assert again.exit_code == 2
    assert "needs an NVIDIA GPU" in again.output
    assert CliRunner().invoke(app, ["verify", str(out / "unifmir-sr.engine.onnx")]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "onnx", "--profile", "1x1x8x8,1x1x8x8,1x1x8x8"], "for --format tensorrt"),
        (["--format", "onnx", "--unverified-engine"], "for --format tensorrt"),
        (["--format", "tensorrt", "--builder-level", "9"], "expected 0 to 5"),
        (["--format", "tensorrt", "--target", "9.0"], "12.1"),
        (["--format", "tensorrt", "--unverified-engine", "--profile", "8"], "three shapes"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(source, tmp_path, arguments, told):
    if "--profile" in arguments and "tensorrt" in arguments:
        pytest.importorskip("tensorrt_rtx", reason="an extra, not installed here")
    done = export(source, *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()

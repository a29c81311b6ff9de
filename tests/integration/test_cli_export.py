"""`unifmir export` and `unifmir verify`, as a user calls them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import unifmir
from tests.compat.packages import TINY
from tests.golden.weights import filled
from tests.helpers.quick_rows import few_quick
from tests.helpers.waiting_process import waiting_process
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.errors import UnifmirError
from unifmir.export.formats import FORMATS
from unifmir.model import build
from unifmir.networks.base import Network

Single = Callable[[str], Network]


@pytest.fixture
def multitask() -> Network:
    """A multi-task network with small windows, whose images are small too."""
    network = build(TINY)
    network.load_state_dict(filled(network.state_dict(), seed=0))
    return network


@pytest.fixture
def multitask_file(multitask: Network, tmp_path: Path) -> Path:
    save(multitask, tmp_path / "multi.safetensors")
    return tmp_path / "multi.safetensors"


def run(*arguments: str | Path):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    """The command that exported sr from a multi-task file, and its folder."""
    folder = tmp_path_factory.mktemp("exported")
    network = build(TINY)
    network.load_state_dict(filled(network.state_dict(), seed=0))
    save(network, folder / "multi.safetensors")
    return run(
        *("export", "--task", "sr", "--checkpoint", folder / "multi.safetensors"),
        *("--format", "onnx", "--out", folder / "out", "--json"),
    ), folder / "out"


def test_export_of_one_task_from_a_multitask_file_then_verify(done):
    command, out = done
    assert command.exit_code == 0, command.output
    (artifact,) = json.loads(command.stdout)["artifacts"]
    assert artifact["report"]["passed"]
    assert sorted(p.name for p in out.iterdir()) == [
        "unifmir-sr.onnx",
        "unifmir-sr.onnx.report.json",
        "unifmir-sr.safetensors",
    ]
    again = run("verify", artifact["path"])
    assert again.exit_code == 0
    assert "passed" in again.stdout
    assert "unfitted PSNR" in again.stdout


def test_the_onnx_file_says_what_it_is(done):
    import onnx

    model = onnx.load(done[1] / "unifmir-sr.onnx")
    assert model.ir_version == 8
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    (image,), (restored,) = model.graph.input, model.graph.output
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, dims) == ("image", ["batch", 1, "height", "width"])
    dims = [d.dim_param or d.dim_value for d in restored.type.tensor_type.shape.dim]
    assert (restored.name, dims) == ("restored", ["batch", 1, "height_x2", "width_x2"])
    said = {p.key: p.value for p in model.metadata_props}
    assert said["task"] == "sr"
    assert said["scale"] == "2"
    assert json.loads(said["normalization"])["high_percent"] == 100.0
    assert len(json.loads(said["parent"])["sha256"]) == 64
    assert json.loads(said["size_rule"])["minimum"] == 1


@pytest.mark.parametrize(
    ("opset", "code"),
    # 17 is the default, which the other tests write.
    few_quick([(17, 0), (18, 0), (20, 0), (16, 2), (23, 2)], [(20, 0), (16, 2), (23, 2)]),
)
def test_opsets_from_17_to_20_are_written_and_others_refused(multitask_file, tmp_path, opset, code):
    done = run(
        *("export", "--task", "sr", "--checkpoint", multitask_file, "--format", "onnx"),
        *("--opset", str(opset), "--out", tmp_path / "out"),
    )
    assert done.exit_code == code, done.output
    assert (tmp_path / "out").exists() == (code == 0)


def test_fp16_gives_a_portable_and_a_computing_onnx_file(multitask_file, tmp_path):
    done = run(
        *("export", "--task", "sr", "--checkpoint", multitask_file, "--format", "onnx"),
        *("--precision", "fp16", "--out", tmp_path / "out", "--json"),
    )
    assert done.exit_code == 0, done.output
    artifacts = json.loads(done.stdout)["artifacts"]
    assert [a["variant"] for a in artifacts] == ["stored", "computing"]
    assert all(a["report"]["passed"] for a in artifacts)
    report = json.loads((tmp_path / "out" / "unifmir-sr.fp16.onnx.report.json").read_text())
    assert report["precision_plan"]["precision"] == "fp16"


@pytest.mark.slow
def test_calibration_images_are_read_and_wrong_ones_refused(multitask_file, tmp_path):
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    tifffile.imwrite(good, np.random.default_rng(0).integers(0, 4000, (96, 96), dtype=np.uint16))
    bad.write_text("<html>not found</html>")
    arguments = ["export", "--task", "sr", "--checkpoint", multitask_file, "--format", "onnx"]
    arguments += ["--precision", "fp16", "--out", tmp_path / "out", "--calibration"]
    assert run(*arguments, bad).exit_code == 2
    assert not (tmp_path / "out").exists()
    assert run(*arguments, good).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "missing.pt"], "missing.pt: no such file"),
        (["--model", "unifmir-smal-sim"], "unifmir-small-sim"),
        (["--checkpoint", "a.pt", "--model", "unifmir-sr-er"], "a.pt: no such file"),
        (["--licence", "my own"], "'my own' is no licence that BioImage.IO knows"),
    ],
)
def test_usage_errors_are_one_message_and_exit_code_2(arguments, message, tmp_path):
    done = run("export", "--task", "sr", *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_multitask_model_without_a_task_is_refused(multitask_file, tmp_path):
    done = run("export", "--checkpoint", multitask_file, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "isotropic" in done.output


def test_verify_shows_how_far_it_is(done, monkeypatch):
    path = done[1] / "unifmir-sr.onnx"
    shares: list[float] = []
    unifmir.verify(path, on_share=shares.append)
    assert len(shares) == 2 * len(unifmir.verify(path).results)
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    told = run("verify", path).stderr
    assert "verifying unifmir-sr.onnx" in told
    assert "100%" in told
    monkeypatch.delenv("FORCE_COLOR")
    assert run("verify", path).stderr == ""


COMPARING = """
import importlib, signal, sys, time
def wait(*_):
    print("comparing", flush=True)
    time.sleep(60)
importlib.import_module("unifmir.export.verification").held_against = wait
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["unifmir", "verify", sys.argv[1]]
from unifmir.cli.main import run; run()
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.slow  # a process of its own
def test_verify_can_be_interrupted(done, tmp_path, monkeypatch, sent, code):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with waiting_process(COMPARING, done[1] / "unifmir-sr.onnx", "comparing") as process:
        process.send_signal(sent)
        assert process.wait(20) == code
    assert not [path for path in tmp_path.iterdir() if path.name != ".ses"]


def test_verify_names_the_missing_parent(done, tmp_path):
    shutil.copytree(done[1], tmp_path / "out")
    (tmp_path / "out" / "unifmir-sr.safetensors").rename(tmp_path / "elsewhere.safetensors")
    artifact = tmp_path / "out" / "unifmir-sr.onnx"
    alone = run("verify", artifact)
    assert alone.exit_code == 2
    assert "--parent" in alone.output
    assert run("verify", artifact, "--parent", tmp_path / "elsewhere.safetensors").exit_code == 0


@pytest.mark.slow
def test_the_python_verbs_chain(multitask_file, tmp_path):
    model = unifmir.load(multitask_file)
    assert model.kind == "multitask"
    child = unifmir.prune(model, "sr")
    assert child.kind == "single"
    assert child.task == "sr"
    assert child.certificate.parameters_after < child.certificate.parameters_before
    (artifact,) = unifmir.export(child, tmp_path / "out", formats=("onnx",), precision="fp32")
    assert artifact.format == "onnx"
    assert unifmir.verify(artifact.path).passed
    with pytest.raises(UnifmirError):
        unifmir.verify(tmp_path / "multi.safetensors.missing")


@pytest.mark.slow
@pytest.mark.long  # test_ends.py kills every command at fewer moments
def test_killed_at_any_moment_export_leaves_nothing_that_passes_for_an_artifact(
    multitask_file, tmp_path
):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "unifmir", "export", "--task", "sr", "--format", "onnx"]
    command += ["--format", "torchscript", "--format", "safetensors"]
    command += ["--checkpoint", str(multitask_file), "--out", str(out)]
    begin = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - begin
    complete = {p.name: p.read_bytes() for p in out.iterdir()}
    suffixes = tuple(FORMATS[name].suffix for name in FORMATS)
    moments = np.random.default_rng(5).uniform(0.02, 1.02, 10) * whole
    for moment in [*moments, 0.97 * whole, whole]:
        for path in out.iterdir():
            path.unlink()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in out.rglob("*"):
            if path.name.endswith(suffixes):
                # Renamed in when all was verified: then it is the whole file.
                assert path.read_bytes() == complete[path.name]
                assert unifmir.verify(path, parent=out / "unifmir-sr.safetensors").passed
    subprocess.run(command, check=True, capture_output=True)
    assert {p.name for p in out.iterdir() if p.name in complete} == set(complete)

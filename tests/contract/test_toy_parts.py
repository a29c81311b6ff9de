"""One place to touch: a toy of each part, by one file and one row, goes the whole way.

CONTRIBUTING.md's table says what is added here: a task, a reference model, an export format and a
runtime. Nothing else in the project knows of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import unifmir
from tests import toys
from unifmir.benchmarks.measure import benchmark_run, timed_subject
from unifmir.benchmarks.plan.benchmark_plan import BenchmarkPlan
from unifmir.cli.main import app
from unifmir.config import BodyConfig, SingleTaskConfig
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.restoration.restoration_options import Options
from unifmir.samples import sample
from unifmir.training.configuration import TrainingConfig
from unifmir.training.evaluation import evaluate
from unifmir.training.training_run import TrainingCallbacks, TrainingRequest, train

TASK, MODEL, FORMAT, RUNTIME = "toy-task", "toy-model", "toy-format", "toy-runtime"


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """The toys are there, in this process and in those it starts."""
    paths = (str(toys.SITE), str(Path(__file__).resolve().parents[2]))
    inherited = os.environ.get("PYTHONPATH", "")
    with toys.registered(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([*paths, inherited]))
        yield


def trained(network: Network, out: Path) -> Network:
    """A network after two steps on the toy task's simulated images."""
    request = TrainingRequest(out, TrainingConfig("pretrain", [TASK], steps=2), network)
    train(request, TrainingCallbacks(lambda _task: None, lambda _step, _task, _loss: None))
    return unifmir.load(out, task=TASK)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's files lie."""
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Path]:
    """Trained models of the toy task: UniFMIR's network, and the toy reference model."""
    body = BodyConfig(embed_dim=16, depths=(2,), num_heads=(2,), mlp_hidden=32)
    unifmir_network = build(SingleTaskConfig(TASK, body, tail_features=8))
    paths = {}
    for name, network in (("unifmir", unifmir_network), ("reference", unifmir.load(MODEL))):
        paths[name] = folder / f"{name}.safetensors"
        assert trained(network, paths[name]).task == TASK
    return paths


@pytest.fixture(
    scope="module", params=["unifmir", pytest.param("reference", marks=pytest.mark.slow)]
)
def model(request: pytest.FixtureRequest, models: dict[str, Path]) -> Path:
    """One of them."""
    return models[request.param]


def test_it_is_trained_pruned_and_evaluated(model: Path):
    network = unifmir.load(model)
    pruned = unifmir.prune(network, TASK)
    assert pruned.certificate.comparisons
    found = evaluate(network, TASK, images=1)
    assert np.isfinite(found.model["psnr_db"])
    assert set(found.baselines) == {"input"}


@pytest.fixture(scope="module")
def exported(model: Path, folder: Path) -> dict[str, Path]:
    """Verified files of the model by format."""
    formats = (FORMAT, "onnx", "bioimageio")
    artifacts = unifmir.export(unifmir.load(model), folder / model.stem, formats=formats)
    assert all(artifact.report.passed for artifact in artifacts)
    return {artifact.format: artifact.path for artifact in artifacts}


@pytest.mark.parametrize("name", [FORMAT, "onnx", "bioimageio"])
def test_it_is_exported_packaged_and_verified_again(exported: dict[str, Path], name: str):
    report = unifmir.verify(exported[name])
    assert report.passed
    assert report.lineage.task == TASK


def test_it_restores_in_tiles_by_every_way(model: Path, exported: dict[str, Path]):
    image = sample(TASK).image
    whole = unifmir.restore(image, model, task=TASK, runtime="eager", device="cpu")
    assert whole.shape == image.shape
    scale = float(np.ptp(whole))
    for source in (model, *exported.values()):
        tiled = unifmir.restore(image, source, task=TASK, device="cpu", options=Options(tile=96))
        np.testing.assert_allclose(tiled, whole, atol=1e-4 * scale)


def benchmarked_as_the_same_picture(out: Path, models: int) -> None:
    """Check the results of the toy runtime beside eager."""
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert {row["subject"]["runtime"] for row in rows} == {RUNTIME, "eager"}
    assert len(rows) == 2 * models
    for row in rows:
        assert not row["error"]
        assert row["same_picture"]["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    # The command below is given both.
    [["reference"], pytest.param(["unifmir", "reference"], marks=pytest.mark.long)],
    ids="-".join,
)
def test_they_are_benchmarked_by_their_own_runtime(
    names: list[str], models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(timed_subject, "QUICK_MIN_VISIT_S", 0.01)
    monkeypatch.setattr(timed_subject, "QUICK_WARM_UP_S", 0.01)
    monkeypatch.setattr(benchmark_run, "_peaks", lambda *_: ())
    plan = BenchmarkPlan(
        models=tuple(str(models[name]) for name in names),
        tasks=(TASK,),
        runtimes=(RUNTIME, "eager"),
        workloads=("patch",),
        images=1,
        threads=1,
        rounds=1,
        seconds=0.05,
        samples=1,
        budget_s=0.001,
        quick=True,
    )
    out = tmp_path / "results.json"
    benchmark_run.benchmark(plan, out)
    benchmarked_as_the_same_picture(out, models=len(names))


@pytest.mark.slow  # the same by the command
def test_the_command_benchmarks_them_by_their_own_runtime(models: dict[str, Path], tmp_path: Path):
    out = tmp_path / "results.json"
    named = [word for model in models.values() for word in ("--model", str(model))]
    command = ["benchmark", *named, "--task", TASK, "--runtime", RUNTIME]
    command += ["--runtime", "eager", "--workload", "patch", "--images", "1", "--threads", "1"]
    command += ["--rounds", "1", "--seconds", "0.05", "--samples", "1", "--budget", "0.001"]
    command += ["--out", str(out)]
    # In a process of its own: this one has built its commands' choices without the toys.
    done = subprocess.run(
        [sys.executable, "-m", "unifmir", *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    benchmarked_as_the_same_picture(out, models=len(models))


def test_it_is_listed_in_the_zoo(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNIFMIR_HOME", str(tmp_path))
    added = CliRunner().invoke(
        app,
        [
            *("zoo", "add", "--id", "toys", "--file", str(model), "--title", "A toy model"),
            *("--dataset", "simulated points", "--author", "Nobody", "--task", TASK),
        ],
    )
    assert added.exit_code == 0, added.output
    listed = CliRunner().invoke(app, ["zoo", "list"])
    assert "toys" in listed.stdout
    assert MODEL in listed.stdout
    assert unifmir.load("toys").task == TASK

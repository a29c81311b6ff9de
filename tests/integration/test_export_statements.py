"""What the user states of a model on the command line, as it reaches the package, or is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.compat.packages import TINY
from tests.golden.weights import filled
from tests.helpers.benchmark_results import results, row, subject
from tests.helpers.quick_rows import few_quick
from tests.helpers.small_models import add_own_model
from unifmir.checkpoint.saving import save
from unifmir.cli.main import app
from unifmir.config import SingleConfig
from unifmir.export import pipeline
from unifmir.export.credit import Credit
from unifmir.export.formats.bioimageio.lint import read_package
from unifmir.hashing import sha256_of
from unifmir.model import build

MODEL = "my-model"
FIGURES = {"psnr_db": 31.5, "ssim": 0.9, "nrmse": 0.05}
RECORD = {"schema": 1, "optimizer": "Adam", "learning_rate": 1e-4, "epochs": 3.0, "data": "cells"}


def written(config: SingleConfig, path: Path) -> Path:
    """A checkpoint of a network of this configuration."""
    network = build(config)
    network.load_state_dict(filled(network.state_dict(), seed=0))
    save(network, path)
    return path


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a model that the user's zoo has, whose entry states its configuration."""
    path = written(TINY.single("sr"), tmp_path / "model_best.safetensors")
    add_own_model(monkeypatch, tmp_path, path, MODEL)
    return path


@pytest.fixture
def credited(monkeypatch: pytest.MonkeyPatch) -> list[Credit]:
    """The credit that each export gets, of which nothing is written."""
    found: list[Credit] = []

    def told(*_: object, credit: Credit, **__: object) -> tuple[()]:
        found.append(credit)
        return ()

    monkeypatch.setattr(pipeline, "export", told)
    return found


def evaluation(checkpoint: Path, **changes: object) -> dict[str, Any]:
    """A document of `unifmir evaluate --json`."""
    scores = {
        "images": 12,
        "seed": 0,
        "size": 128,
        "model": FIGURES,
        "baselines": {"input": FIGURES},
        "best_baseline": "input",
        "gain_db": 0.0,
    }
    document = {"model": checkpoint.name, "sha256": sha256_of(checkpoint), "tasks": {"sr": scores}}
    return {**document, **changes}


def file_of(content: object, path: Path) -> Path:
    """A file: JSON of values, or text as it is."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_a_checkpoint_in_a_models_place_is_described_by_its_entry(checkpoint, credited, tmp_path):
    given = ("--model", MODEL, "--checkpoint", checkpoint, "--out", tmp_path / "out")
    done = run(*given)
    assert done.exit_code == 0, done.output
    (credit,) = credited
    assert [person.name for person in credit.authors] == ["Ada Author"]
    assert (credit.licence, credit.training_data.partition(".")[0]) == ("CC0-1.0", "My images")
    run(*given, "--author", "Bo Builder")
    assert [person.name for person in credited[1].authors] == ["Bo Builder"]


def test_a_checkpoint_alone_is_described_by_nobody(checkpoint, credited, tmp_path):
    assert run("--checkpoint", checkpoint, "--out", tmp_path / "out").exit_code == 0
    assert credited == [Credit()]


def test_files_of_figures_and_of_the_training_are_read(checkpoint, credited, tmp_path):
    timed = results(row(subject(MODEL)), row(subject("other")))
    done = run(
        *("--model", MODEL, "--checkpoint", checkpoint, "--out", tmp_path / "out"),
        *("--training-record", file_of(RECORD, tmp_path / "t.json")),
        *("--evaluation", file_of(evaluation(checkpoint), tmp_path / "e.json")),
        *("--benchmark", file_of(timed.to_dict(), tmp_path / "b.json")),
    )
    assert done.exit_code == 0, done.output
    (credit,) = credited
    assert credit.training is not None
    assert credit.training.stated() == {k: v for k, v in RECORD.items() if k != "schema"}
    (quality,) = credit.evaluations
    assert [value for *_, value in quality.figures] == list(FIGURES.values())
    (cost,) = credit.measured_costs
    assert cost.time.startswith(
        "100 ms (median) for 1 x 512 x 512 in onnxruntime, fp32, on Example"
    )


Wrong = Callable[[Path, Path], list[str | Path]]
WRONG: dict[str, tuple[Wrong, str]] = {
    "a checkpoint of another task": (
        lambda _, to: [
            "--checkpoint",
            written(TINY.single("projection"), to / "other.safetensors"),
        ],
        "projection",
    ),
    "a checkpoint of every task": (
        lambda _, to: ["--checkpoint", _every_task(to / "all.safetensors")],
        "unifmir prune",
    ),
    "a checkpoint of another configuration": (
        lambda _, to: [
            "--checkpoint",
            written(replace(TINY.single("sr"), tail_features=16), to / "wide.safetensors"),
        ],
        "tail_features is 16, the entry says 8",
    ),
    "a file that is no checkpoint": (
        lambda _, to: ["--checkpoint", file_of("no checkpoint", to / "x.pt")],
        "x.pt",
    ),
    "a task that the model has not": (
        lambda file, _: ["--checkpoint", file, "--task", "denoise"],
        "a model for sr, not for denoise",
    ),
    "no training record": (
        lambda file, to: ["--checkpoint", file, "--training-record", to / "missing.json"],
        "missing.json",
    ),
    "a training record with an unknown fact": (
        lambda file, to: [
            *("--checkpoint", file, "--training-record"),
            file_of({**RECORD, "optimiser": "Adam"}, to / "t.json"),
        ],
        "t.json is no training record",
    ),
    "an evaluation of another model": (
        lambda file, to: [
            *("--checkpoint", file, "--evaluation"),
            file_of(evaluation(file, sha256="0" * 64), to / "e.json"),
        ],
        "evaluate that",
    ),
    "an evaluation without the task": (
        lambda file, to: [
            *("--checkpoint", file, "--evaluation"),
            file_of(evaluation(file, tasks={}), to / "e.json"),
        ],
        "e.json has no figures of sr",
    ),
    "an evaluation that is a training record": (
        lambda file, to: ["--checkpoint", file, "--evaluation", file_of(RECORD, to / "t.json")],
        "expected what `unifmir evaluate MODEL --json` printed",
    ),
    "no evaluation": (
        lambda file, to: ["--checkpoint", file, "--evaluation", to / "missing.json"],
        "missing.json",
    ),
    "a benchmark of other models": (
        lambda file, to: [
            *("--checkpoint", file, "--benchmark"),
            file_of(results(row(subject("other"))).to_dict(), to / "b.json"),
        ],
        "it has other",
    ),
    "a benchmark that is no JSON": (
        lambda file, to: ["--checkpoint", file, "--benchmark", file_of("{", to / "b.json")],
        "b.json",
    ),
    "no benchmark": (
        lambda file, to: ["--checkpoint", file, "--benchmark", to / "missing.json"],
        "missing.json: no such file",
    ),
}


QUICK = (
    "a checkpoint of another configuration",
    "an evaluation of another model",
    "a benchmark of other models",
)


def _every_task(path: Path) -> Path:
    network = build(TINY)
    save(network, path)
    return path


@pytest.mark.parametrize("kind", few_quick(list(WRONG), QUICK))
def test_what_does_not_fit_the_model_is_refused_before_anything_is_written(
    checkpoint, credited, tmp_path, kind
):
    arguments, told = WRONG[kind]
    done = run("--model", MODEL, *arguments(checkpoint, tmp_path), "--out", tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert not credited
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # the library's test of a package
def test_all_that_is_stated_stands_in_the_package(checkpoint, tmp_path):
    evaluated = CliRunner().invoke(app, ["evaluate", str(checkpoint), "--images", "1", "--json"])
    timed = results(row(subject(MODEL)))
    done = run(
        *("--model", MODEL, "--checkpoint", checkpoint, "--format", "bioimageio"),
        *("--training-record", file_of(RECORD, tmp_path / "t.json")),
        *("--evaluation", file_of(evaluated.stdout, tmp_path / "e.json")),
        *("--benchmark", file_of(timed.to_dict(), tmp_path / "b.json")),
        # Without an address of its images the format takes no evaluation.
        *("--repository", "https://example.org/mine", "--out", tmp_path / "out", "--json"),
    )
    assert done.exit_code == 0, done.output
    package = read_package(tmp_path / "out" / "unifmir-sr.bioimageio.zip")
    stated = package.rdf["config"]["bioimageio"]
    measured = json.loads(evaluated.stdout)["tasks"]["sr"]["model"]
    assert stated["evaluations"][-1]["results"] == [
        [measured[name]] for name in ("psnr_db", "ssim", "nrmse")
    ]
    assert stated["training"]["optimizer"] == "Adam"
    assert stated["inference_time"].startswith("100 ms (median)")
    assert package.rdf["license"] == "CC0-1.0"
    assert package.rdf["config"]["unifmir"]["pruning"]["parent"]["zoo_id"] == MODEL

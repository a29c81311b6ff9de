"""`unifmir benchmark`: a run, its tables and plots, the paper's tables, and what changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.helpers.benchmark_results import around, results, row, subject
from tests.helpers.task_rows import change_task
from unifmir.benchmarks.measure import benchmark_run as measure
from unifmir.benchmarks.measure import timed_subject
from unifmir.benchmarks.measure.results import Results, read_results
from unifmir.benchmarks.report.tables.paper_text import grouped, paper_text
from unifmir.checkpoint.saving import save
from unifmir.cli.benchmark import default_models
from unifmir.cli.main import app
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED


def run(*arguments: str | Path | int | float) -> Result:
    return CliRunner().invoke(app, ["benchmark", *(str(argument) for argument in arguments)])


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement of a second: what it says of time means nothing."""
    monkeypatch.setattr(timed_subject, "MIN_VISIT_S", 0.01)
    monkeypatch.setattr(timed_subject, "WARM_UP_S", 0.01)
    monkeypatch.setattr(measure, "_peaks", lambda *_: ())
    sizes = replace(TASKS["sr"].workloads, patch=((1, 16, 16),))
    change_task(monkeypatch, "sr", workloads=sizes)


@pytest.mark.usefixtures("_short")
def test_a_checkpoint_is_measured_and_written_down(tiny_single, tmp_path: Path):
    model, out = tmp_path / "tiny.safetensors", tmp_path / "results.json"
    save(tiny_single("sr"), model)
    options = ("--model", model, "--runtime", "eager", "--workload", "patch", "--threads", 1)
    few = ("--rounds", 2, "--seconds", 0.02, "--samples", 2, "--images", 1, "--budget", 0.001)
    done = run(*options, *few, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    (measured,) = read_results(out).rows
    assert document["rows"][0]["subject"]["model"] == "tiny.safetensors"
    assert measured.quality is not None
    assert (measured.quality["images"], measured.counts["macs"] > 0) == (1, True)
    assert str(tmp_path) not in out.read_text("utf-8")
    # A finished run is not thrown away by running it again.
    again = run(*options, *few, "--out", out)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_a_run_in_which_every_row_fails_is_exit_1(monkeypatch, tmp_path: Path):
    failed = results(row(latency=None, ratio=None, error="no runtime here"))
    monkeypatch.setattr(measure, "benchmark", lambda *_, **__: failed)
    done = run("--task", "sr", "--out", tmp_path / "none.json")
    assert done.exit_code == 1
    assert "no runtime here" in done.stdout
    assert "nothing was measured: every row failed" in done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "before.json"
    made(a=10.0, b=20.0).save(path)
    return path


def made(**medians_ms: float) -> Results:
    """A run of these models."""
    rows = [row(subject(name), latency=around(ms, rounds=15)) for name, ms in medians_ms.items()]
    return results(*rows)


@pytest.mark.parametrize(
    ("form", "mark"), [("text", "*a "), ("markdown", "| "), ("csv", ","), ("latex", r"\toprule")]
)
def test_results_are_shown_in_every_format(file: Path, form: str, mark: str):
    done = run("show", file, "--format", form)
    assert done.exit_code == 0, done.stderr
    assert mark in done.stdout


def test_details_are_three_tables_of_ranked_rows(file: Path):
    done = run("show", file, "--details")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("rank") == 3
    assert "median [95 %], ms" in done.stdout
    assert "peak RSS, MiB" in done.stdout


def test_plots_are_drawn_and_what_has_no_data_is_said(file: Path, tmp_path: Path):
    done = run("show", file, "--plots", tmp_path / "plots")
    assert done.exit_code == 0, done.stderr
    assert list((tmp_path / "plots").glob("*.png"))
    assert "no plot of growth" in done.stderr


def test_no_change_is_exit_0_and_a_slowdown_is_exit_1(file: Path, tmp_path: Path):
    same = run("diff", file, file)
    assert same.exit_code == 0, same.stderr
    assert "2 same, 0 not comparable" in same.stdout
    after = tmp_path / "after.json"
    made(a=20.0, b=20.0).save(after)
    worse = run("diff", file, after)
    assert worse.exit_code == 1
    assert "/a/" in worse.stderr
    assert "/b/" not in worse.stderr
    allowed = run("diff", file, after, "--threshold", 1.5)
    assert allowed.exit_code == 0


def test_a_file_that_is_no_result_is_refused(tmp_path: Path):
    path = tmp_path / "other.json"
    path.write_text("{}", "utf-8")
    refused = run("show", path)
    assert refused.exit_code == 2
    assert "not results" in refused.stderr


def test_a_file_with_a_row_twice_is_refused(file: Path, tmp_path: Path):
    document = json.loads(file.read_text("utf-8"))
    document["rows"].append(document["rows"][0])
    twice = tmp_path / "twice.json"
    twice.write_text(json.dumps(document), "utf-8")
    refused = run("diff", file, twice)
    assert refused.exit_code == 2
    assert "Results.rows.2: sr/" in refused.stderr
    assert "expected each row once" in refused.stderr


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ([[1.0, 1.0]], "baseline_ms has 1 rounds; expected as many as rounds_ms, 15"),
        ([[]] * 15, "baseline_ms has a round without times above 0"),
        ([[1.0, 0.0]] * 15, "baseline_ms has a round without times above 0"),
    ],
)
def test_times_of_a_baseline_that_fit_no_rounds_are_refused(file: Path, beside: object, told: str):
    document = json.loads(file.read_text("utf-8"))
    document["rows"][1]["latency"]["baseline_ms"] = beside
    file.write_text(json.dumps(document), "utf-8")
    refused = run("show", file)
    assert refused.exit_code == 2
    assert told in " ".join(refused.stderr.split())


@pytest.mark.slow  # full-size networks
def test_the_papers_tables_are_counted_again():
    done = run("--paper-tables", "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 33
    text = paper_text(rows)
    lines = text.splitlines()
    assert lines[0] == (
        "11 of 33 rows are reproduced to every printed digit, and 49 of their 85 figures."
    )
    assert lines[1] == "22 rows are not, for 12 reasons:"
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(" ") and line.endswith(" equal") for line in lines) == 11
    # Every figure that is not the paper's is in one group.
    assert sum(map(len, grouped(rows).values())) == 85 - 49
    printed = {
        (row["table"], row["task"], row["model"]): row["gflops"]["exact"]
        for row in rows
        if row["gflops"]["equal"]
    }
    # Facts of the tables, to all digits that were found.
    assert printed[2, "sr", "prune-UniFMIR"] == pytest.approx(44.069552128, abs=1e-9)
    assert printed[2, "denoise", "prune-UniFMIR"] == pytest.approx(40002.97320448, abs=1e-8)
    assert printed[2, "volume", "prune-UniFMIR"] == pytest.approx(1521.267083264, abs=1e-9)
    assert printed[2, "volume", "VCD-Net"] == pytest.approx(625.710022656, abs=1e-9)
    assert printed[1, "sr", "UniFMIR"] == pytest.approx(102.043090944, abs=1e-9)
    assert printed[1, "denoise", "UniFMIR"] == pytest.approx(199.565770752, abs=1e-9)
    assert printed[1, "isotropic", "UniFMIR"] == pytest.approx(199.141097472, abs=1e-9)
    assert printed[1, "projection", "UniFMIR"] == pytest.approx(1287.927595008, abs=1e-9)
    assert printed[1, "volume", "UniFMIR"] == pytest.approx(96.146566656, abs=1e-9)
    assert printed[1, "volume", "VCD-Net"] == pytest.approx(44.601635328, abs=1e-9)


def test_without_a_model_the_embedded_one_meets_the_references_of_its_task():
    assert default_models(("denoise",)) == (EMBEDDED, "care", "care-2d", "gvtnets", "unet")
    assert default_models(()) == (EMBEDDED, *REFERENCES)

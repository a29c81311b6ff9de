"""A benchmark from a plan to results, with tiny networks and real worker processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import psutil
import pytest

import unifmir
from tests.compat.packages import network
from tests.helpers.short_benchmarks import plan_of, short
from unifmir.benchmarks.measure import benchmark_run as measure
from unifmir.benchmarks.measure import rounds
from unifmir.benchmarks.measure.benchmark_run import benchmark, default_name
from unifmir.benchmarks.measure.progress import BenchmarkProgress
from unifmir.benchmarks.measure.results import Latency, read_results
from unifmir.checkpoint.saving import save
from unifmir.errors import BenchmarkError
from unifmir.output_place import PREFIX
from unifmir.tasks import TASKS

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    short(monkeypatch)


@pytest.fixture
def no_peaks(monkeypatch):
    """Peaks take seconds and are tested once."""
    monkeypatch.setattr(measure, "_peaks", lambda *_: ())


@pytest.fixture
def sr(tmp_path):
    """A tiny sr checkpoint."""
    path = tmp_path / "tiny-sr.safetensors"
    save(network("sr"), path)
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("no_peaks")
@pytest.mark.parametrize(
    "tasks",
    [
        ("sr",),
        pytest.param(("sr", "volume"), marks=pytest.mark.slow),
        pytest.param(tuple(TASKS), marks=(pytest.mark.slow, pytest.mark.long), id="all"),
    ],
    ids=" ".join,
)
def test_tasks_of_a_multi_task_model_are_measured(tiny_multitask, tmp_path, tasks):
    model, out = tmp_path / "tiny.safetensors", tmp_path / "results.json"
    save(tiny_multitask, model)
    told: list[BenchmarkProgress] = []
    plan = plan_of(model, tasks=() if tasks == tuple(TASKS) else tasks)
    results = benchmark(plan, out, on_progress=told.append, command="unifmir benchmark")
    assert [row.subject.task for row in results.rows] == list(tasks)
    for row in results.rows:
        assert row.error == ""
        assert row.latency is not None
        # Two rounds were asked for, and three starts have one each at least. None is added for a
        # baseline alone: its ratio is known.
        assert row.latency.starts == (1, 1, 1)
        assert len(row.latency.rounds_ms) == sum(row.latency.starts)
        assert row.ratio is not None
        assert row.ratio.ratio == 1.0
        assert row.cold is not None
        assert row.memory is not None
        assert row.memory.peak_rss_bytes > row.memory.before_load_bytes
        assert row.counts["macs"] > 0
        assert row.counts["file_bytes"] > 0
        assert row.same_picture is not None
        assert row.same_picture["identical"]
        assert row.energy is not None
        assert row.energy.joules_per_megapixel is not None or row.energy.source
        assert row.ran["threads"] == 1
        # It is the baseline: its ratio is known whatever the machine did.
        assert row.ranked
    assert results.complete
    assert read_results(out) == results
    assert told[-1].done == told[-1].total
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert not list(tmp_path.glob(f"{PREFIX}*"))
    assert results.settings["weights"].keys() == {f"tiny.safetensors/{task}" for task in tasks}
    assert {"torch", "onnxruntime", "numpy", "python", "unifmir"} <= results.versions.keys()
    assert {"processor", "cores", "memory_bytes", "system", "gpu"} <= results.machine.keys()
    # Nothing of where things lie on this machine.
    assert str(tmp_path) not in json.dumps(results.to_dict())


@pytest.mark.slow  # files are made; the toy parts are benchmarked by the quick tests
@pytest.mark.usefixtures("no_peaks")
@pytest.mark.parametrize(
    "runtimes",
    [
        pytest.param(("eager",), marks=pytest.mark.long),  # rows that the next has as well
        ("eager", "onnxruntime"),
    ],
    ids=" ".join,
)
def test_runtimes_precisions_and_files_of_the_user_compute_the_same_picture(sr, tmp_path, runtimes):
    (mine,) = unifmir.export(unifmir.load(sr), tmp_path / "out", formats=("torchscript",))
    plan = plan_of(
        sr,
        runtimes=runtimes,
        precisions=("fp32", "fp16"),
        artifacts=(mine.path,),
    )
    results = benchmark(plan, tmp_path / "results.json")
    assert len(results.rows) == 2 * len(runtimes) + 1
    for row in results.rows:
        assert row.error == ""
        assert row.same_picture is not None
        assert row.same_picture["passed"], row.subject.key
        assert row.ratio is not None
        assert "eager/fp32" in row.ratio.baseline
        assert row.counts["weight_bytes"] > 0
    small = [row for row in results.rows if row.subject.precision == "fp16"]
    assert len(small) == len(runtimes)
    assert all(row.counts["weight_bytes"] < 3 * row.counts["parameters"] for row in small)
    # The file runs as it is, and is compared with the model that it was made from.
    assert [row.subject.runtime for row in results.rows if row.subject.model == mine.path.name] == [
        "torchscript"
    ]


def test_a_file_that_no_runtime_reads_is_refused(sr, tmp_path):
    with pytest.raises(BenchmarkError, match="Checkpoints are given as models"):
        benchmark(plan_of(artifacts=(sr,)), tmp_path / "results.json")


def test_a_file_for_another_task_than_was_asked_for_is_refused(sr, tmp_path):
    (artifact,) = unifmir.export(unifmir.load(sr), tmp_path / "out", formats=("torchscript",))
    with pytest.raises(BenchmarkError, match=r"is for sr, and for none .* asked for: denoise"):
        benchmark(plan_of(artifacts=(artifact.path,), tasks=("denoise",)), tmp_path / "r.json")


def test_a_file_for_the_plain_network_is_refused(sr, tmp_path):
    (artifact,) = unifmir.export(
        unifmir.load(sr), tmp_path / "out", formats=("onnx",), interface="network"
    )
    with pytest.raises(BenchmarkError, match="--interface image"):
        benchmark(plan_of(artifacts=(artifact.path,)), tmp_path / "results.json")


@pytest.mark.slow  # a process is killed
@pytest.mark.usefixtures("no_peaks")
def test_a_worker_that_is_killed_gives_an_error_and_the_others_go_on(sr, tmp_path):
    killed: list[int] = []

    def kill_one(progress: BenchmarkProgress) -> None:
        if "start 2, round 1," in progress.text and not killed:
            (child, *_) = psutil.Process().children()
            killed.append(child.pid)
            child.kill()

    plan = plan_of(sr, runtimes=("eager", "onnxruntime"), rounds=6)
    results = benchmark(plan, tmp_path / "results.json", on_progress=kill_one)
    failed = [row for row in results.rows if row.error]
    assert len(failed) == 1
    assert "killed by the system (SIGKILL), most likely for want of memory" in failed[0].error
    assert failed[0].latency is None
    assert not failed[0].ranked
    assert len([row for row in results.rows if row.latency]) == 1
    assert results.complete


@pytest.mark.slow  # a process is interrupted, and goes on in another
@pytest.mark.usefixtures("no_peaks")
def test_an_interrupted_run_keeps_its_rows_and_goes_on(sr, tmp_path):
    out = tmp_path / "results.json"

    def interrupt(progress: BenchmarkProgress) -> None:
        if "pair-2" in progress.text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(plan_of(sr, workloads=("pair",)), out, on_progress=interrupt)
    assert not psutil.Process().children()
    part = read_results(out)
    assert not part.complete
    assert [row.subject.workload for row in part.rows] == ["pair-1"]

    with pytest.raises(BenchmarkError, match=r"plan seed is 0 there and 5 now.*--overwrite"):
        benchmark(plan_of(sr, workloads=("pair",), seed=5), out)
    with pytest.raises(BenchmarkError, match="interrupted run with 1 rows"):
        benchmark(plan_of(sr, workloads=("pair",)), out, resume=False)
    right, other = sr.read_bytes(), network("sr")
    other.get_parameter("conv_first.weight").data *= 2
    save(other, sr)
    with pytest.raises(BenchmarkError, match=r"weights of tiny-sr\.safetensors/sr"):
        benchmark(plan_of(sr, workloads=("pair",)), out)
    sr.write_bytes(right)
    assert read_results(out) == part

    whole = benchmark(plan_of(sr, workloads=("pair",)), out)
    assert whole.complete
    assert [row.subject.workload for row in whole.rows] == ["pair-1", "pair-2"]
    assert whole.rows[0] == part.rows[0]
    assert read_results(out) == whole


@contextmanager
def busy_cores() -> Iterator[None]:
    """Another process on every core."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(psutil.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@pytest.mark.slow  # images of usual size
@pytest.mark.usefixtures("no_peaks")
def test_eight_patches_are_timed_at_once(sr, tmp_path):
    plan = plan_of(sr, runtimes=("eager", "onnxruntime"), workloads=("batch",))
    results = benchmark(plan, tmp_path / "results.json")
    assert [row.subject.input_shape for row in results.rows] == [(8, 1, 128, 128)] * 2
    for row in results.rows:
        assert row.error == ""
        assert row.same_picture is not None
        assert row.same_picture["passed"]


@pytest.mark.slow  # processes of two runtimes, three times each
@pytest.mark.usefixtures("no_peaks")
@pytest.mark.parametrize(("target", "enough"), [(10.0, True), (1e-9, False)])
def test_rounds_of_a_start_go_on_while_they_differ(sr, tmp_path, target, enough):
    """One round says nothing of how rounds differ; two are enough for a target that all meet."""
    told: list[BenchmarkProgress] = []
    plan = plan_of(sr, runtimes=("eager", "onnxruntime"), rounds=3, target=target)
    results = benchmark(plan, tmp_path / "results.json", on_progress=told.append)
    found = [row.latency.starts for row in results.rows if row.latency is not None]
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(found[0]) == 3
    assert all(count == 2 if enough else count > 2 for count in found[0])
    assert told[-1].done == told[-1].total


@pytest.mark.slow  # processes of two runtimes, three times each
@pytest.mark.usefixtures("no_peaks")
@pytest.mark.parametrize("beside", [True, False])
def test_a_quick_baseline_is_timed_before_and_after_each_other(sr, tmp_path, monkeypatch, beside):
    monkeypatch.setattr(rounds, "BESIDE_S", 60.0 if beside else 0.0)
    out, runtimes = tmp_path / "results.json", ("eager", "onnxruntime")
    results = benchmark(plan_of(sr, runtimes=runtimes, rounds=3), out)
    base, other = (cast("Latency", row.latency) for row in results.rows)
    assert base.baseline_ms == ()
    assert sum(base.starts) == len(base.rounds_ms) == len(base.cpu_ms) == len(other.rounds_ms)
    assert other.baseline_ms == (base.rounds_ms if beside else ()), "two turns are one round"
    assert read_results(out).rows == results.rows


@pytest.mark.slow  # processes that keep the machine busy
@pytest.mark.usefixtures("no_peaks")
def test_who_else_used_the_machine_is_said_and_decides_nothing(sr, tmp_path):
    with ExitStack() as burning:

        def burn(progress: BenchmarkProgress) -> None:
            if progress.text.endswith(": loaded") and "eager" in progress.text:
                burning.enter_context(busy_cores())

        plan = plan_of(sr, rounds=5, seconds=0.5)
        results = benchmark(plan, tmp_path / "results.json", on_progress=burn)
    for row in results.rows:
        assert not any("other processes" in text for text in row.problems)
        (told,) = [text for text in row.remarks if "other processes took" in text]
        assert "usual is up to 5%" in told
        assert "the busiest was" in told


@pytest.mark.slow
def test_quick_results_say_so_have_the_machines_peaks_and_are_kept(sr, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "QUICK_PEAK_S", 0.01)  # seconds a peak
    plan, out = replace(plan_of(sr), quick=True), tmp_path / "results.json"
    results = benchmark(plan, out)
    assert results.settings["quick"] is True
    assert [peak.precision for peak in results.peaks][:1] == ["fp32"]
    assert all(peak.gflops_per_s > 0 and peak.gbytes_per_s > 0 for peak in results.peaks)
    with pytest.raises(BenchmarkError, match=r"complete results.*--overwrite"):
        benchmark(plan, out)
    assert read_results(out) == results

    def interrupt(progress: BenchmarkProgress) -> None:
        if "peaks" in progress.text:
            raise KeyboardInterrupt

    monkeypatch.setattr(measure, "_peaks", lambda *_: ())
    with pytest.raises(KeyboardInterrupt):
        benchmark(plan, out, overwrite=True, on_progress=interrupt)
    assert not read_results(out).complete


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": ()}, "nothing to benchmark"),
        ({"runtimes": ("onyx",)}, "unknown runtime 'onyx'"),
        ({"precisions": ("fp61",)}, "unknown precision 'fp61'; did you mean 'fp16'"),
        ({"workloads": ("big",)}, "unknown workload 'big'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:99"}, r"cuda:99 is not there: .*build for CUDA"),
        ({"device": "openvino:GPU.99"}, r"openvino:GPU.99 is not there: .*unifmir\[openvino\]"),
        ({"rounds": -1}, "rounds is -1: expected more than 0"),
        ({"rounds": 0}, "rounds is 0: expected more than 0"),
        ({"seconds": 0.0}, "seconds is 0.0: expected more than 0"),
        ({"samples": 0}, "samples is 0: expected more than 0"),
        ({"target": 0.0}, "target is 0.0: expected more than 0"),
        ({"budget_s": 0.0}, "budget_s is 0.0: expected more than 0"),
        ({"threads": 0}, "threads is 0: expected more than 0"),
        ({"baseline": "care"}, r"baseline 'care': expected MODEL, .* of tiny-sr\S*/eager/fp32"),
        ({"baseline": "/eager"}, "is the baseline '/eager'"),
        ({"artifacts": (Path("none.onnx"),)}, "none.onnx: no such file"),
        ({"tasks": ("denoise", "volume")}, "for none of the tasks asked for: denoise, volume"),
        ({"precisions": ("fp16-compute",)}, "eager has no fp16-compute on cpu"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_what_to_do(sr, tmp_path, changes, told):
    with pytest.raises(BenchmarkError, match=told):
        benchmark(plan_of(sr, **changes), tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()


def test_results_are_named_by_machine_and_versions():
    name = default_name()
    assert name.startswith("benchmark-")
    assert name.endswith(".json")
    assert "-torch2" in name
    assert "-ort1" in name
    assert "/" not in name
    assert " " not in name


SITE = """
from contextlib import ExitStack

from unifmir.export.runtimes import RUNTIMES
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

KEPT = ExitStack()
for registry, name, target in (
    (TASKS, "toy-task", "tests.toys.task:TOY_TASK"),
    (REFERENCES, "toy-model", "tests.toys.reference:TOY_MODEL"),
    (RUNTIMES, "renamed", "renamed:ROW"),
):
    KEPT.enter_context(registry.extended(name, target))
"""
RUNTIME = '''
from unifmir.export.runtimes.pytorch import ModuleRuntime

class RenamedRuntime(ModuleRuntime):
    """Eager under another name."""

    name = "renamed"

ROW = RenamedRuntime()
'''


@pytest.mark.slow  # tests/contract/test_toy_parts.py has the quick one, with a runtime of its own
@pytest.mark.usefixtures("no_peaks")
def test_a_task_a_model_and_a_runtime_that_are_new_are_benchmarked_by_their_rows(
    tmp_path, monkeypatch
):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    (site / "renamed.py").write_text(RUNTIME)
    monkeypatch.syspath_prepend(site)
    # The workers are processes of their own: they find the rows as these lines do here.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(REPO)]))
    rows: dict[str, object] = {}
    exec(SITE, rows)
    with cast("ExitStack", rows["KEPT"]):
        plan = plan_of(runtimes=("eager", "renamed"), workloads=("patch",))
        results = benchmark(replace(plan, models=("toy-model",)), tmp_path / "results.json")
    assert [row.subject.runtime for row in results.rows] == ["eager", "renamed"]
    for row in results.rows:
        assert row.error == ""
        assert row.subject.task == "toy-task"
        assert row.same_picture is not None
        assert row.same_picture["passed"]

"""Which subjects of a table go on with a start's rounds, and which are started once more."""

import pytest

from tests.compat.packages import network
from tests.helpers.short_benchmarks import plan_of, short
from unifmir.benchmarks.measure import benchmark_run as measure
from unifmir.benchmarks.measure import rounds
from unifmir.benchmarks.measure.benchmark_run import benchmark
from unifmir.benchmarks.measure.results import read_results
from unifmir.benchmarks.measure.statistics import Spread
from unifmir.checkpoint.saving import save


@pytest.mark.slow  # processes of three subjects, three times each
def test_rounds_go_on_for_the_subjects_that_are_not_known_well_enough(tmp_path, monkeypatch):
    """Of three, one is known at once, and one never: it alone goes on, with the baseline."""

    def known(baseline, latencies):
        widths = {key: 0.5 if "onnxruntime/fp32" in key else 0.0 for key in latencies}
        return {key: Spread(0.0, width, 1e9) for key, width in widths.items()} | {
            baseline: Spread(0.0, 0.0, 1)
        }

    short(monkeypatch)
    monkeypatch.setattr(measure, "_peaks", lambda *_: ())
    monkeypatch.setattr(rounds, "known", known)
    path = tmp_path / "tiny-sr.safetensors"
    save(network("sr"), path)
    runtimes, precisions = ("eager", "onnxruntime"), ("fp32", "fp16")
    plan = plan_of(path, runtimes=runtimes, precisions=precisions, rounds=3, target=0.03)
    rows = benchmark(plan, tmp_path / "results.json").rows
    starts = {
        (row.subject.runtime, row.subject.precision): row.latency.starts
        for row in rows
        if row.latency is not None
    }
    assert starts["onnxruntime", "fp16"] == (2, 2, 2), "two rounds tell how they differ"
    assert all(count > 2 for count in starts["onnxruntime", "fp32"])
    assert starts["eager", "fp32"] == starts["onnxruntime", "fp32"]
    assert [row.word for row in rows].count("wide") == 1
    assert all(row.ratio is not None for row in rows)


@pytest.mark.slow  # processes of three subjects, five times
def test_a_subject_that_was_known_is_started_again_when_it_no_longer_is(tmp_path, monkeypatch):
    """Others tell how much starts scatter: after the fourth start the fp16 file is too unsure."""

    def known(baseline, latencies):
        starts = max(len(one.starts) for one in latencies.values())
        good = {key for key in latencies if key == baseline or "fp16" in key or starts == 5}
        good -= {key for key in latencies if "fp16" in key and starts == 4}
        return {key: Spread(0.0, 0.0 if key in good else 0.5, 1e9) for key in latencies}

    short(monkeypatch)
    monkeypatch.setattr(measure, "_peaks", lambda *_: ())
    monkeypatch.setattr(rounds, "known", known)
    path = tmp_path / "tiny-sr.safetensors"
    save(network("sr"), path)
    runtimes, precisions = ("eager", "onnxruntime"), ("fp32", "fp16")
    plan = plan_of(path, runtimes=runtimes, precisions=precisions, rounds=3, budget_s=1e4)
    rows = benchmark(plan, tmp_path / "results.json").rows
    found = {row.subject.key: row.latency.starts for row in rows if row.latency is not None}
    (file,) = [starts for key, starts in found.items() if "onnxruntime/fp16" in key]
    assert len(file) == 5
    assert [count > 0 for count in file] == [True, True, True, False, True]
    assert all(row.ratio is not None and not row.error for row in rows)
    assert read_results(tmp_path / "results.json").rows == rows

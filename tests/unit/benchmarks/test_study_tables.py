"""Tables of the documents that say more than their rows: paths, baselines, what was resolved."""

import json
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from unifmir.benchmarks.studies import measured_tables
from unifmir.benchmarks.studies.busy_neighbour import busy_neighbour_text
from unifmir.benchmarks.studies.gpu_check import timing_command
from unifmir.benchmarks.studies.measured_tables import (
    full_size_speed_table,
    gpu_timings_text,
    screen,
)
from unifmir.benchmarks.studies.resolved_extras import EXTRAS, PYTHONS, builds, reason_of
from unifmir.benchmarks.studies.result_files import RESULTS

REPO = Path(__file__).resolve().parents[3]


def speeds(**providers):
    """Results of `full_size_speed` with a row for each runtime."""
    row = {"task": "sr", "input": [1, 1, 8, 8], "times_as_fast": 1.0, "slowest_round": 1.0}
    row |= {"fastest_round": 1.0, "psnr_db": None, "same_picture": True, "share_of_peak": 0.5}
    rows = [
        {**row, "runtime": name.replace("_", "-"), **({"provider": by} if by else {})}
        for name, by in providers.items()
    ]
    return {"command": "measure", "versions": {}, "machine": {"processor": "a processor"}} | {
        "rounds": 3,
        "rows": rows,
    }


@pytest.mark.parametrize(
    ("instructions", "bf16", "told"),
    [
        (
            ["avx2", "avx512f", "avx512_bf16"],
            "avx512_bf16",
            "`native-bf16` by avx512_bf16 (gcc 12.2.0). Not taken: avx2, amx_bf16. ",
        ),
        (
            ["avx2", "avx512f", "avx512_bf16", "amx_bf16"],
            "amx_bf16",
            "`native-bf16` by amx_bf16 (gcc 12.2.0). Not taken: avx2, avx512_bf16. ",
        ),
        (["avx2"], None, "`native` by avx2 (gcc 12.2.0). Not taken: avx512f, avx512_bf16, amx_"),
    ],
)
def test_a_table_of_speeds_names_the_path_taken_and_those_not_taken(instructions, bf16, told):
    ran = {"plain": "cpu", "native": "gcc 12.2.0"}
    if bf16:
        ran["native_bf16"] = f"gcc 12.2.0, {bf16}"
    document = speeds(**ran) | {"instructions": instructions}
    assert told in full_size_speed_table(document)


def test_a_table_of_an_older_file_says_nothing_of_paths():
    assert "Paths" not in full_size_speed_table(speeds(plain=None, native=None))


def test_the_check_of_a_gpu_times_both_models_at_every_size_in_both_precisions():
    command = timing_command(Path("full.pt"), ["eager", "onnxruntime"])
    given = list(pairwise(command))
    for option, values in {
        "--device": ["cuda:0"],
        "--model": ["unifmir-small-sim", Path("full.pt")],
        "--workload": ["patch", "batch", "image", "paper"],
        "--runtime": ["eager", "onnxruntime"],
        "--precision": ["fp32", "fp16-compute"],
        "--out": [RESULTS / "gpu-timings.json"],
    }.items():
        assert [value for name, value in given if name == option] == values


def test_times_of_a_gpu_are_shown_where_there_are_any(monkeypatch, tmp_path):
    monkeypatch.setattr(measured_tables, "RESULTS", tmp_path)
    assert gpu_timings_text({}).startswith("Not measured: there is no")
    [quick] = RESULTS.glob("benchmark-quick-*.json")
    (tmp_path / "gpu-timings.json").write_bytes(quick.read_bytes())
    assert gpu_timings_text({}) == screen(folded=False)(json.loads(quick.read_text("utf-8")))


def test_baselines_are_not_counted_among_the_rows_that_were_compared():
    counts = {"rows": 22, "trusted": 18, "words": {"nothing": 18, "wide": 4}}
    document = {"command": "c", "versions": {}, "beside": counts, "without": counts}
    told = busy_neighbour_text(document | {"compared": {"same": 21, "faster": 1}, "baselines": 5})
    assert "16 of 17 were the same; the other 5 rows are the baselines" in told
    assert "With one thread, held to one core" in told


def test_every_extra_is_resolved():
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(project["optional-dependencies"]) <= set(EXTRAS)


def test_no_extra_that_was_resolved_has_two_builds_of_onnx_runtime():
    rows = json.loads((RESULTS / "resolved-extras.json").read_text("utf-8"))["rows"]
    several = [(row["system"], row["extra"]) for row in rows if len(builds(row["packages"])) > 1]
    assert several == []
    for extra, build in (("cpu", "onnxruntime"), ("gpu", "onnxruntime-gpu")):
        found = {
            row["python"]: builds(row["packages"])
            for row in rows
            if (row["system"], row["extra"]) == ("Linux", extra) and "pip" in row["resolver"]
        }
        assert found == {python: [build] for python in PYTHONS}


def test_the_reason_of_a_failure_is_what_went_wrong_and_not_the_advice_after_it():
    messages = """
      Traceback (most recent call last):
        File "wheel.py", line 251, in download_wheel
      urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>
      The installation of tensorrt-cu13-libs for version 11.4 failed.
      [end of output]
    note: This error originates from a subprocess, and is likely not a problem with pip.
    hint: See above for details.
    """
    assert reason_of(messages) == (
        "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known> "
        "The installation of tensorrt-cu13-libs for version 11.4 failed."
    )
    told = "cause: Because there are no wheels, we can conclude that it cannot be.\nhint: Wheels"
    assert (
        reason_of(told) == "cause: Because there are no wheels, we can conclude that it cannot be."
    )
    assert "secret" not in reason_of("ERROR: no answer of https://user:secret@index.example/simple")

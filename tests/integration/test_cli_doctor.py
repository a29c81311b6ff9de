"""`unifmir doctor` on the command line."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from unifmir.benchmarks.measure import speeds
from unifmir.cli import output
from unifmir.cli.main import app
from unifmir.export.runtimes import RUNTIMES
from unifmir.zoo.doctor import diagnose as doctor
from unifmir.zoo.doctor.checkups import Finding
from unifmir.zoo.doctor.device_findings import DeviceFinding
from unifmir.zoo.doctor.diagnose import MODULES, Diagnosis, Route, Speed

HARDWARE = {
    "processor": "a processor",
    "instructions": ["avx2"],
    "cores": 8,
    "usable_cores": 4,
    "memory_bytes": 2**34,
    "available_bytes": 2**33,
    "system": "a system",
    "gpus": [{"name": "a GPU", "memory_bytes": 2**36, "compute_capability": "9.0"}],
    "driver": "580",
}
ROUTE = Route(MODULES, "cuda:0", "eager", "cuda", ("fp32", "fp16"))
FINDINGS = (
    Finding("runtime", "eager", "usable", "fp32"),
    Finding("library", "torch", "mismatched", "finds no GPU", "install the build for CUDA"),
)
DEVICES = (
    DeviceFinding(("cuda:0", "cuda:1"), True, ("a GPU",), ("eager",), False, "a driver"),
    DeviceFinding(("mps",), False, (), ("eager",), False, "a Mac"),
)
SPEEDS = (
    Speed("cpu", "broken", "fp32", 1.0, 8.0, same_picture=False, problems=("another picture",)),
    Speed("cuda:0", "eager", "fp32", 2.0, 4.0, same_picture=True),
    Speed("cpu", "openvino", "fp32", None, None, None, problems=("does not load",)),
)


@pytest.fixture
def asked(monkeypatch) -> list[str | None]:
    """Tasks that were measured; the diagnosis is made up."""
    tasks: list[str | None] = []

    def diagnose() -> Diagnosis:
        tasks.append(None)
        return Diagnosis(HARDWARE, {"torch": "2.13"}, FINDINGS, (ROUTE,), devices=DEVICES)

    def with_speeds(found: Diagnosis, task: str) -> Diagnosis:
        tasks[-1] = task
        return replace(found, task=task, speeds=SPEEDS)

    monkeypatch.setattr(doctor, "diagnose", diagnose)
    monkeypatch.setattr(speeds, "with_speeds", with_speeds)
    return tasks


def test_this_machine_can_run_models():
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["usable"]
    assert {one["name"] for one in document["findings"] if one["kind"] == "runtime"} == set(
        RUNTIMES
    )
    assert any(route["device"] == "cpu" for route in document["routes"])


def test_hardware_routes_findings_and_remedies_are_told(asked):
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.stderr
    for told in ("a processor, 4 of 8 cores", "a GPU, 64 GiB, compute capability 9.0, driver 580"):
        assert told in done.stdout
    assert "mismatched" in done.stdout
    assert "torch: install the build for CUDA" in done.stdout
    assert "cuda:0, cuda:1  a GPU  no" in done.stdout
    assert "mps: needs a Mac" in done.stdout
    assert "cuda:0: needs" not in done.stdout
    assert "never run where unifmir is developed" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "fastest" not in done.stdout
    assert asked == [None]


def test_what_is_to_do_is_told_once_in_one_piece(asked, monkeypatch):
    one, two = "pip install openvino", "two reasons:\n  one\n  two"
    findings = (
        Finding("runtime", "openvino", "missing", "not here", one),
        Finding("format", "openvino", "missing", "not here", one),
        Finding("library", "zarr", "missing", "not here", two),
        Finding("library", "distributed", "missing", "not here", two),
    )
    found = Diagnosis(HARDWARE, {"torch": "2.13"}, findings, (ROUTE,), devices=())
    monkeypatch.setattr(doctor, "diagnose", lambda: found)
    told = CliRunner().invoke(app, ["doctor"]).stdout
    _, _, to_do = told.partition("to do, where you need it:\n")
    assert to_do.splitlines() == [
        "  openvino: pip install openvino",
        "  zarr, distributed: two reasons: one two",
    ]


def test_a_narrow_terminal_gets_rows_below_each_other(asked, monkeypatch):
    monkeypatch.setattr(output, "terminal_width", lambda: 40)
    told = CliRunner().invoke(app, ["doctor", "--task", "sr"]).stdout
    assert max(map(len, told.splitlines())) <= 40
    stacked = "\ncuda:0\n  runtime: eager\n  precision: fp32\n  ms: 2.0\n  times eager fp32: 4.00\n"
    assert stacked in told
    assert "\ninstructions  avx2\n" in told


def test_the_fastest_runtime_that_gives_the_picture_is_named(asked):
    done = CliRunner().invoke(app, ["doctor", "--task", "denoise"])
    assert "fastest for denoise: eager in fp32 on cuda:0" in done.stdout
    # The last column folds.
    told = " ".join(done.stdout.split())
    assert "another picture" in told
    assert "does not load" in told
    CliRunner().invoke(app, ["doctor", "--measure"])
    assert asked == ["denoise", "sr"]


def test_a_machine_where_nothing_runs_is_exit_1(monkeypatch):
    monkeypatch.setattr(doctor, "diagnose", lambda **_: Diagnosis(HARDWARE, {}, FINDINGS, ()))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "no model can run here" in done.stderr
